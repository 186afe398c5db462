// SPDX-License-Identifier: MIT
/**
 * One XS machine in a process of its own (`host/`), seen from Node.
 *
 * The firmware's host calls are synchronous for it: it waits while `onCall` works, which may be asynchronous. Events are
 * delivered one at a time, each only when the machine has nothing left to do, in the order of `send`. So a run depends
 * on nothing but the events and the answers. `kill` is the power plug: after it returns nothing the machine did is seen
 * any more.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex } from "node:stream";

import { type XsBoardProgram, xsBoardProgram } from "./xs-build";
import { COUNTERS_BYTES, type XsCounters, readCounters } from "./xs-counters";
import { DEFAULT_CREATION, type XsCreation, creationArguments } from "./xs-creation";
import { type XsExit, describeExit } from "./xs-exit";

export interface XsMachineOptions {
  /** For people and the debugger. */
  name: string;
  /** One ES module whose default export is the function that starts the firmware. */
  source: string;
  creation?: XsCreation;
  /** Ends the machine when one event takes more instructions. Absent: no limit. */
  watchdogInstructions?: number;
  /** HOST:PORT of a waiting xsbug. */
  xsbug?: string;
  /** Answers a host call. What it throws the firmware gets as an Error with the same message. */
  onCall: (request: Uint8Array) => Uint8Array | Promise<Uint8Array>;
  /** Nothing is left to do: after the start, after each event. */
  onIdle?: (counters: XsCounters) => void;
  /** `hostTrace`. */
  onTrace?: (text: string) => void;
}

/** A function is asked when the machine is ready for it, so that what it tells is not stale; undefined: no event. */
export type XsEvent = Uint8Array | (() => Uint8Array | undefined);

/** Events waiting for the machine; a board that produces more than this has lost its flow control. */
const MAX_QUEUED_EVENTS = 4096;
const HEAD_BYTES = 5;

/** Somebody waits for counters. */
interface Waiter {
  resolve: (counters: XsCounters) => void;
  reject: (error: Error) => void;
}

/** Of host/xs-board.h: to the board, and from it. */
const FrameType = {
  Module: 0x4d,
  Event: 0x45,
  Collect: 0x47,
  Reply: 0x52,
  Throw: 0x58,
  Call: 0x48,
  Trace: 0x54,
  Idle: 0x49,
  Failure: 0x46,
} as const;

export class XsMachine {
  /** Resolves when the process has ended, however it ended. Never rejects. */
  readonly exited: Promise<XsExit>;
  readonly #options: XsMachineOptions;
  readonly #child: ChildProcess;
  readonly #toBoard: Duplex;
  #input: Buffer = Buffer.alloc(0);
  /** A waiter in the queue is an order to collect garbage. */
  #queue: (XsEvent | Waiter)[] = [];
  /** Whose collection is under way. */
  #collector: Waiter | undefined;
  #isBusy = true;
  #isDead = false;
  #counters: XsCounters | undefined;
  #failureText = "";
  #diagnostics = "";
  #idleWaiters: Waiter[] = [];

  /** Compiles the board if need be and boots the firmware; `idle()` tells when it has started. */
  static async start(options: XsMachineOptions): Promise<XsMachine> {
    return new XsMachine(options, await xsBoardProgram());
  }

  private constructor(options: XsMachineOptions, program: XsBoardProgram) {
    this.#options = options;
    const creation = creationArguments(options.creation ?? DEFAULT_CREATION, program.bits);
    const watchdog = String(options.watchdogInstructions ?? 0);
    this.#child = spawn(program.path, [options.name, watchdog, options.xsbug ?? "-", ...creation], {
      stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
    });
    this.#toBoard = this.#child.stdio[3] as Duplex;
    const fromBoard = this.#child.stdio[4] as Duplex;
    fromBoard.on("data", (bytes: Buffer) => {
      this.#receive(bytes);
    });
    this.#child.stderr?.on("data", (text: Buffer) => {
      this.#diagnostics = (this.#diagnostics + text.toString()).slice(-1000); // enough for what a crash says
    });
    // A pipe breaks when the machine dies while something is being written: `exited` tells that.
    this.#toBoard.on("error", () => undefined);
    fromBoard.on("error", () => undefined);
    this.exited = new Promise((resolve) => {
      this.#child.on("error", (error) => {
        this.#diagnostics += error.message;
        resolve(this.#end(null, null));
      });
      this.#child.on("close", (status, signal) => {
        resolve(this.#end(status, signal));
      });
    });
    this.#write(FrameType.Module, Buffer.from(options.source));
  }

  /** The last counters the machine told, undefined before it has started. */
  get counters(): XsCounters | undefined {
    return this.#counters;
  }

  /** Queues an event for the firmware's `onHostEvent`. Events for a dead machine are dropped. */
  send(event: XsEvent): void {
    if (this.#isDead) return;
    if (this.#queue.length >= MAX_QUEUED_EVENTS)
      throw new Error(
        `more than ${String(MAX_QUEUED_EVENTS)} events wait for the board ${this.#options.name}`,
      );
    this.#queue.push(event);
    this.#next();
  }

  /** Resolves when the machine has done everything sent so far; rejects when it has ended. */
  idle(): Promise<XsCounters> {
    if (this.#isDead) return this.exited.then((exit) => Promise.reject(endError(this.#options.name, exit)));
    if (this.#isSettled() && this.#counters) return Promise.resolve(this.#counters);
    return new Promise((resolve, reject) => this.#idleWaiters.push({ resolve, reject }));
  }

  /** Collects garbage, after what was sent so far; the counters tell what was live at that moment. */
  collectGarbage(): Promise<XsCounters> {
    if (this.#isDead) return this.idle();
    return new Promise((resolve, reject) => {
      this.#queue.push({ resolve, reject });
      this.#next();
    });
  }

  /** Pulls the plug (SIGKILL). No host call is answered, no event delivered, from this moment on. */
  kill(): Promise<XsExit> {
    this.#isDead = true;
    this.#child.kill("SIGKILL");
    return this.exited;
  }

  #next(): void {
    while (!this.#isBusy && !this.#isDead) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      const event = typeof next === "function" ? next() : next;
      if (event === undefined) continue;
      this.#isBusy = true;
      if (event instanceof Uint8Array) this.#write(FrameType.Event, event);
      else {
        this.#collector = event;
        this.#write(FrameType.Collect, Buffer.alloc(0));
      }
    }
  }

  #write(type: number, payload: Uint8Array): void {
    const frame = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
    frame[0] = type;
    frame.writeUInt32LE(payload.length, 1);
    frame.set(payload, HEAD_BYTES);
    this.#toBoard.write(frame);
  }

  #receive(bytes: Buffer): void {
    this.#input = this.#input.length === 0 ? bytes : Buffer.concat([this.#input, bytes]);
    for (;;) {
      if (this.#input.length < HEAD_BYTES) return;
      const type = this.#input.readUInt8(0);
      const end = HEAD_BYTES + this.#input.readUInt32LE(1);
      if (this.#input.length < end) return;
      const payload = this.#input.subarray(HEAD_BYTES, end);
      this.#input = this.#input.subarray(end);
      this.#handle(type, payload);
    }
  }

  #handle(type: number, payload: Buffer): void {
    if (type === FrameType.Failure) {
      this.#counters = readCounters(payload);
      this.#failureText = payload.subarray(COUNTERS_BYTES).toString();
    }
    if (this.#isDead) return;
    if (type === FrameType.Call) {
      this.#answer(payload);
    } else if (type === FrameType.Trace) {
      this.#options.onTrace?.(payload.toString());
    } else if (type === FrameType.Idle) {
      const counters = readCounters(payload);
      this.#counters = counters;
      this.#isBusy = false;
      this.#collector?.resolve(counters);
      this.#collector = undefined;
      this.#options.onIdle?.(counters);
      this.#next();
      if (this.#isSettled()) for (const waiter of this.#idleWaiters.splice(0)) waiter.resolve(counters);
    }
  }

  /** Nothing is under way and nothing waits. */
  #isSettled(): boolean {
    return !this.#isBusy && this.#queue.length === 0;
  }

  #answer(request: Buffer): void {
    let reply: Uint8Array | Promise<Uint8Array>;
    try {
      reply = this.#options.onCall(request);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    if (reply instanceof Promise)
      reply.then(
        (bytes) => {
          this.#reply(bytes);
        },
        (error: unknown) => {
          this.#refuse(error);
        },
      );
    else this.#reply(reply);
  }

  #reply(bytes: Uint8Array): void {
    if (!this.#isDead) this.#write(FrameType.Reply, bytes);
  }

  #refuse(error: unknown): void {
    if (!this.#isDead)
      this.#write(FrameType.Throw, Buffer.from(error instanceof Error ? error.message : String(error)));
  }

  #end(status: number | null, signal: NodeJS.Signals | null): XsExit {
    const wasKilled = this.#isDead;
    this.#isDead = true;
    const waiters = this.#queue.filter((queued) => typeof queued === "object" && "resolve" in queued);
    if (this.#collector) waiters.push(this.#collector);
    waiters.push(...this.#idleWaiters.splice(0));
    this.#queue = [];
    const counters = this.#counters === undefined ? {} : { counters: this.#counters };
    const exit: XsExit = wasKilled
      ? { reason: "powerCut", text: "the plug was pulled", ...counters }
      : { ...describeExit(status, signal, this.#failureText || this.#diagnostics), ...counters };
    for (const waiter of waiters) waiter.reject(endError(this.#options.name, exit));
    return exit;
  }
}

function endError(name: string, exit: XsExit): Error {
  return new Error(`the board ${name} ended (${exit.reason}): ${exit.text}`);
}
