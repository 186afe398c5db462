// SPDX-License-Identifier: MIT
/**
 * The sessions with one device over one relay connection, made when they are needed and made again when they are lost.
 * Tasks are repeated until they succeed, are refused for good, or nothing has succeeded for the length of the
 * patience. Only tasks that may run twice are given to it.
 *
 * Bulk that goes on for a while moves to a line (line-keeper.ts). A task that a line fails is done again, in the end over the
 * relay's link.
 */

import { CloseReason } from "../../firmware/protocol/link-messages";
import { FailureCode } from "../../firmware/protocol/verbs";
import { Refusal } from "../refusal";
import { DeviceFailure, failureRefusal, interrupted, isPassing } from "./device-failure";
import { DeviceLine } from "./device-line";
import { type Bulk, LineKeeper } from "./line-keeper";
import { RelayConnection } from "./relay-connection";
import { TlsSessionCache } from "./relay-tls";
import type { ClientIdentity, RelayAddress } from "./relay-tls";
import { Session, type SessionLink } from "./session";
import { SilentHangUp } from "./tls-refusal";
import { type TrafficStats, newTrafficStats } from "./traffic-stats";

export interface SessionPoolOptions {
  relay: RelayAddress;
  identity: ClientIdentity;
  device: string;
  /** 32 bytes from provisioning. */
  pairingSecret: Uint8Array;
  /** To be used first, and closed: of the same relay and identity. */
  link?: RelayConnection | undefined;
  /** Shared with others of the same relay and identity. */
  tlsSessions?: TlsSessionCache | undefined;
  /** Channels at most; the device may allow fewer. */
  channels: number;
  /** How long nothing may succeed before giving up; 0: the first trouble ends what is under way. */
  patienceMs: number;
  /** How long connecting, an accept or a handshake may take. */
  timeoutMs: number;
  /** How long a session with requests in flight may go without progress. */
  stallMs: number;
  signal?: AbortSignal | undefined;
  /** What happens to the connection, one sentence for a person. */
  onEvent?: ((text: string) => void) | undefined;
}

interface Task {
  attempt(session: Session): Promise<void>;
  fail(why: unknown): void;
  /** Occupies its request for long, and leaves room for the others: which way most of its bytes go. */
  bulk: Bulk | undefined;
  violations: number;
  busySinceMs: number | undefined;
  tries: number;
}

const FIRST_RETRY_MS = 150;
const LAST_RETRY_MS = 5000;
/** How long a channel is kept that nobody uses: one of several, and the last. */
const EXTRA_IDLE_MS = 2000;
const LAST_IDLE_MS = 60_000;
/** Failures that pass, and how long they may take; a device that has just started is still opening its card. */
const PASSES_IN_MS: ReadonlyMap<number, number> = new Map([
  [FailureCode.blobBusy, Infinity],
  [FailureCode.tooMany, Infinity],
  [FailureCode.noCard, 6000],
]);
/** Times that a task may meet a peer that breaks the protocol: a broken link heals, a hostile one does not. */
const MAX_VIOLATIONS = 2;

export class SessionPool {
  readonly stats: TrafficStats;
  readonly #options: SessionPoolOptions;
  readonly #tlsSessions: TlsSessionCache;
  readonly #sessions = new Set<Session>();
  #quick: Task[] = [];
  #bulk: Task[] = [];
  /** Tasks waiting for a busy blob or device. */
  readonly #waiting = new Map<Task, NodeJS.Timeout>();
  readonly #usedAtMs = new WeakMap<Session, number>();
  #idleTimer: NodeJS.Timeout | undefined;
  /** One, and those that are going away. */
  readonly #links = new Set<RelayConnection>();
  readonly #lines: LineKeeper;
  #limit: number;
  /** What it takes at most of a device that others use as well. */
  #share = Infinity;
  /** Tasks that are with a session. */
  #running = 0;
  #isOpening = false;
  #retryTimer: NodeJS.Timeout | undefined;
  #troubleSinceMs: number | undefined;
  #failures = 0;
  #wasConnected = false;
  #whyClosed: Refusal | undefined;
  readonly #onAbort = (): void => {
    void this.close(interrupted());
  };

  constructor(options: SessionPoolOptions) {
    this.#options = options;
    this.stats = options.link?.stats ?? newTrafficStats();
    this.#tlsSessions = options.tlsSessions ?? new TlsSessionCache();
    if (options.link) this.#adopt(options.link);
    this.#limit = options.channels;
    this.#lines = new LineKeeper({
      relay: options.relay,
      timeoutMs: options.timeoutMs,
      openSession: (line) => this.#openSession(line),
      onSettled: () => {
        this.#dispatch();
      },
    });
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (options.signal?.aborted === true) this.#onAbort();
  }

  /** Runs `task` on a session, again after every failure that passes. Rejects with a Refusal or a DeviceFailure. */
  run<T>(task: (session: Session) => Promise<T>, options: { bulk?: Bulk | undefined } = {}): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#whyClosed) {
        reject(this.#whyClosed);
        return;
      }
      // Patience is for what is under way: who comes later begins anew.
      if (!this.#hasTasks && this.#running + this.#waiting.size === 0) this.noteProgress();
      this.#enqueue({
        attempt: async (session) => {
          resolve(await task(session));
        },
        fail: reject,
        bulk: options.bulk,
        violations: 0,
        busySinceMs: undefined,
        tries: 0,
      });
      this.#dispatch();
    });
  }

  /** The same for callers without a use for the device's failures: all are refusals. */
  async ask<T>(
    task: (session: Session) => Promise<T>,
    options: { bulk?: Bulk | undefined } = {},
  ): Promise<T> {
    try {
      return await this.run(task, options);
    } catch (error) {
      throw error instanceof DeviceFailure ? failureRefusal(error) : error;
    }
  }

  /** Something got further: the patience begins anew with the next trouble. */
  noteProgress(): void {
    this.#troubleSinceMs = undefined;
    this.#failures = 0;
  }

  /** No more channels than this from now on; those that are open stay until they are idle. */
  limitChannels(channels: number): void {
    this.#share = channels;
  }

  async close(why = interrupted(`the connection to ${this.#options.device} was closed`)): Promise<void> {
    if (this.#whyClosed) return;
    this.#whyClosed = why;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#idleTimer);
    this.#failAll(why);
    for (const session of [...this.#sessions]) session.close(CloseReason.done);
    await Promise.all([this.#lines.close(), ...[...this.#links].map((link) => link.close())]);
  }

  // ---------------------------------------------------------------- tasks

  #enqueue(task: Task): void {
    (task.bulk ? this.#bulk : this.#quick).push(task);
  }

  get #hasTasks(): boolean {
    return this.#quick.length + this.#bulk.length > 0;
  }

  #dispatch(): void {
    if (this.#whyClosed) return;
    let isShared = false;
    for (const queue of [this.#quick, this.#bulk]) {
      for (let task = queue[0]; task; task = queue[0]) {
        const session = this.#pick(task.bulk !== undefined);
        if (!session) break;
        queue.shift();
        if (task.bulk) this.#lines.count(task.bulk);
        isShared ||= task.bulk !== undefined && session.inFlight > 0;
        void this.#attempt(task, session);
      }
    }
    // Quick requests share a channel gladly; bulk is faster with one of its own.
    if (this.#hasTasks || isShared) this.#grow();
    this.#lines.want(this.#sessions);
    this.#watchIdle();
  }

  /** Gives back channels that nobody uses: a board has few, and other clients wait for them. */
  #watchIdle(): void {
    const nowMs = performance.now();
    for (const session of this.#sessions) if (session.inFlight > 0) this.#usedAtMs.set(session, nowMs);
    if (this.#idleTimer !== undefined || this.#sessions.size === 0) return;
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = undefined;
      for (const session of [...this.#sessions]) {
        const idleMs = performance.now() - (this.#usedAtMs.get(session) ?? 0);
        const mayIdleMs = this.#sessions.size > 1 ? EXTRA_IDLE_MS : LAST_IDLE_MS;
        if (session.inFlight === 0 && idleMs >= mayIdleMs) session.close(CloseReason.done);
      }
      this.#watchIdle();
    }, EXTRA_IDLE_MS).unref();
  }

  /** The session with the least to do that has room; for bulk on the line, if there is one. */
  #pick(isBulk: boolean): Session | undefined {
    const { line } = this.#lines;
    let best: Session | undefined;
    for (const session of this.#sessions) {
      const room = isBulk && session.maxRequests > 1 ? session.maxRequests - 1 : session.maxRequests;
      if (session.inFlight >= room || !session.isOnOpenLink) continue;
      if (isBulk && line && session.link !== line) continue;
      if (!best || session.inFlight < best.inFlight) best = session;
    }
    return best;
  }

  async #attempt(task: Task, session: Session): Promise<void> {
    task.tries++;
    if (task.tries > 1) this.stats.repeats++;
    this.#running++;
    try {
      await task.attempt(session);
      this.noteProgress();
      this.#lines.noteProgress(session.link);
    } catch (error) {
      this.#onTaskFailed(task, session, error);
    }
    this.#running--;
    if (!session.isOnOpenLink && session.inFlight === 0) session.close(CloseReason.done);
    this.#dispatch();
  }

  #onTaskFailed(task: Task, session: Session, error: unknown): void {
    if (error instanceof DeviceFailure) {
      this.noteProgress();
      const passesIn = PASSES_IN_MS.get(error.code);
      if (passesIn === undefined) task.fail(error);
      else this.#waitForBusy(task, error, Math.min(passesIn, this.#options.patienceMs));
      return;
    }
    if (!(error instanceof Refusal)) {
      task.fail(error);
      return;
    }
    const isViolation = error.kind === "protocolViolation";
    if (isViolation) {
      task.violations++;
      session.close(CloseReason.protocol);
    }
    const mayPass = isPassing(error) || (isViolation && task.violations <= MAX_VIOLATIONS);
    const { link } = session;
    const isOnLine = link instanceof DeviceLine;
    // It does not carry what it should: the next try goes another way.
    if (isOnLine && isPassing(error)) link.abandon(error);
    if (this.#whyClosed || !mayPass || (!isOnLine && this.#isOutOfPatience()))
      task.fail(this.#whyClosed ?? error);
    else (task.bulk ? this.#bulk : this.#quick).unshift(task);
  }

  #waitForBusy(task: Task, failure: DeviceFailure, patienceMs: number): void {
    const nowMs = performance.now();
    task.busySinceMs ??= nowMs;
    const leftMs = task.busySinceMs + patienceMs - nowMs;
    if (leftMs <= 0) {
      task.fail(failureRefusal(failure));
      return;
    }
    const timer = setTimeout(
      () => {
        this.#waiting.delete(task);
        this.#enqueue(task);
        this.#dispatch();
      },
      Math.min(leftMs, 250 + 250 * Math.random() * Math.min(task.tries, 8)),
    );
    this.#waiting.set(task, timer);
  }

  #failAll(why: Refusal): void {
    const tasks = [...this.#quick, ...this.#bulk, ...this.#waiting.keys()];
    for (const timer of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
    this.#quick = [];
    this.#bulk = [];
    for (const task of tasks) task.fail(why);
  }

  // ---------------------------------------------------------------- sessions

  #grow(): void {
    const isFull = this.#sessions.size >= Math.min(this.#limit, this.#share);
    if (this.#whyClosed || this.#isOpening || this.#retryTimer !== undefined || isFull) return;
    this.#isOpening = true;
    void this.#openOne()
      .catch((error: unknown) => {
        if (error instanceof Refusal) this.#onOpenFailed(error);
        else
          this.#failAll(
            new Refusal("unexpected", "a defect in Coffer ended the connection", { cause: error }),
          );
      })
      .finally(() => {
        this.#isOpening = false;
        this.#dispatch();
      });
  }

  async #openOne(): Promise<void> {
    const { relay, identity, device, signal, timeoutMs } = this.#options;
    let link = [...this.#links].find(({ isOpen }) => isOpen);
    if (!link) {
      const { stats } = this;
      const opened = await RelayConnection.connect({
        relay,
        identity,
        signal,
        timeoutMs,
        stats,
        sessions: this.#tlsSessions,
      });
      link = opened;
      this.#adopt(opened);
      if (this.#whyClosed) await opened.close();
    }
    await this.#openSession(this.#lines.line ?? link);
    if (this.#failures > 0) this.#options.onEvent?.(`${device}: connected again`);
    this.#wasConnected = true;
  }

  async #openSession(link: SessionLink): Promise<void> {
    const { device, pairingSecret, timeoutMs, stallMs } = this.#options;
    const session = await Session.open({ link, device, pairingSecret, timeoutMs, stallMs });
    if (this.#whyClosed) {
      session.close(CloseReason.done);
      return;
    }
    this.#sessions.add(session);
    this.#usedAtMs.set(session, performance.now());
    session.onEnd = (why) => {
      this.#onSessionEnd(session, why);
    };
  }

  #adopt(link: RelayConnection): void {
    this.#links.add(link);
    link.onClosed = () => this.#links.delete(link);
    link.onGoAway = (retryMs) => {
      this.#onGoAway(retryMs);
    };
  }

  #onSessionEnd(session: Session, why: Refusal): void {
    this.#sessions.delete(session);
    if (this.#sessions.size > 0 || this.#whyClosed) return;
    this.#limit = this.#options.channels;
    // The tasks that were in flight come back to the queue after this.
    if (this.#running > 0 || this.#hasTasks) this.#onTrouble(why);
  }

  #onOpenFailed(why: Refusal): void {
    if (this.#sessions.size === 0) this.#onTrouble(why);
    // A further channel is a convenience: what there is will do.
    else this.#limit = this.#sessions.size;
  }

  /** Nothing works just now: tries again later, or gives up. */
  #onTrouble(why: Refusal): void {
    if (this.#whyClosed || this.#retryTimer !== undefined) return;
    this.#failures++;
    this.#troubleSinceMs ??= performance.now();
    // What it accepted before it will accept again: a relay that has just started knows no devices yet.
    const isBack = this.#wasConnected && (why.kind === "unknownDevice" || why instanceof SilentHangUp);
    const isDoubtful = why.kind === "protocolViolation" || why instanceof SilentHangUp;
    const mayPass = isPassing(why) || isBack || (isDoubtful && this.#failures <= MAX_VIOLATIONS);
    if (!mayPass || this.#isOutOfPatience()) {
      this.#failAll(why);
      return;
    }
    const fullMs = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    // What had worked until now is tried again at once, and less and less often when that does not help.
    this.#retryIn(this.#failures === 1 && this.#wasConnected ? 0 : fullMs * (0.75 + Math.random() / 2));
    if (this.#failures === 1)
      this.#options.onEvent?.(`${this.#options.device}: ${why.message}; trying again`);
  }

  #retryIn(delayMs: number): void {
    clearTimeout(this.#retryTimer);
    const nowMs = performance.now();
    const leftMs = (this.#troubleSinceMs ?? nowMs) + this.#options.patienceMs - nowMs;
    this.#retryTimer = setTimeout(
      () => {
        this.#retryTimer = undefined;
        this.#dispatch();
      },
      Math.max(0, Math.min(delayMs, leftMs)),
    );
  }

  /** The relay stops: what is in flight may finish, the rest waits for another relay. */
  #onGoAway(retryMs: number): void {
    this.#lines.retire();
    for (const session of [...this.#sessions]) if (session.inFlight === 0) session.close(CloseReason.done);
    this.#retryIn(retryMs);
  }

  #isOutOfPatience(): boolean {
    const { patienceMs } = this.#options;
    if (patienceMs <= 0) return true;
    this.#troubleSinceMs ??= performance.now();
    return performance.now() - this.#troubleSinceMs >= patienceMs;
  }
}
