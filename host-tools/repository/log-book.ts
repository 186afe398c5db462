// SPDX-License-Identifier: MIT
/**
 * All logs of the repository, as far as this computer has seen them on any device. What a device shows is held against
 * what it showed before and against what other devices showed: a log may only grow, and only by entries that fit.
 * docs/repository.md "Rollback and forks".
 */

import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "../../firmware/protocol/data-error";
import { MAX_LOGS } from "../../firmware/protocol/limits";
import { Refusal } from "../refusal";
import { LogConflict, LogTrimmed } from "../remote/device-failure";
import type { BlobDevice, LogHead } from "./blob-device";
import type { SnapshotLog } from "./checkpoint-snapshot";
import type { Checkpoints } from "./checkpoints";
import type { LocalState, RememberedHead } from "./local-state";
import type { EntryBody, EntryDetail } from "./log-entry";
import { refuseNewerVersion } from "./newer-version";
import type { RepositoryKeys } from "./repository-keys";
import { applyRevocations } from "./revocations";
import { tamperedLog } from "./tampered-log";
import { WriterLog } from "./writer-log";

/** More entries than any honest log has; a device that claims more is not read to the end. */
const MAX_ENTRIES = 10_000_000;
const CONFLICT_ATTEMPTS = 3;

export class LogBook {
  readonly logs = new Map<string, WriterLog>();
  readonly #keys: RepositoryKeys;
  readonly #folder: string;
  readonly #state: LocalState;
  readonly #onWarning: (text: string) => void;
  /** Device and log of each warning: once is enough. */
  readonly #warned = new Set<string>();

  constructor(options: {
    keys: RepositoryKeys;
    folder: string;
    state: LocalState;
    onWarning: (text: string) => void;
  }) {
    this.#keys = options.keys;
    this.#folder = join(options.folder, "logs");
    this.#state = options.state;
    this.#onWarning = options.onWarning;
  }

  /** The log of a writer, new if need be. */
  log(writer: Uint8Array): WriterLog {
    const key = hex(writer);
    let log = this.logs.get(key);
    if (!log) {
      log = new WriterLog({ keys: this.#keys, writer, path: join(this.#folder, `${key}.log`) });
      this.logs.set(key, log);
    }
    return log;
  }

  /** How many entries of each log count, by the writer's id in hexadecimal and in the order of the ids. */
  counts(): Map<string, number> {
    const known = [...this.logs].filter(([, log]) => log.acceptedCount > 0);
    return new Map(
      known.sort(([a], [b]) => (a < b ? -1 : 1)).map(([writer, log]) => [writer, log.acceptedCount]),
    );
  }

  /** Takes a checkpoint for the entries that it stands for. */
  startFrom(starts: readonly SnapshotLog[]): void {
    for (const start of starts) this.log(start.writer).startFrom(start);
    applyRevocations(this.logs);
  }

  /** Reads this computer's copies. */
  load(): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(this.#folder)) {
      const match = /^([0-9a-f]{32})\.log$/.exec(file);
      if (!match?.[1] || this.logs.size >= MAX_LOGS) continue;
      const log = this.log(Buffer.from(match[1], "hex"));
      if (!log.load(this.#state.verifiedHead(log.key)))
        this.#onWarning(`this computer's copy of the log of ${log.name} was damaged; it is fetched again`);
    }
    applyRevocations(this.logs);
  }

  /** Takes up what is new on a device. Refuses with `logTampered` what does not fit. */
  async sync(device: BlobDevice, checkpoints: Pick<Checkpoints, "take" | "isNewerOn">): Promise<void> {
    const present = new Map<string, LogHead & { log: Uint8Array }>();
    const heads = await device.logList();
    const checkpointLog = hex(this.#keys.checkpointLogId);
    await checkpoints.take(
      device,
      heads.find(({ log }) => hex(log) === checkpointLog),
    );
    for (const head of heads) if (this.#keys.writerOf(head.log)) present.set(hex(head.log), head);
    for (const key of this.#state.deviceLogs(device.name))
      if (!present.has(key)) {
        const log = this.#logByKey(key);
        throw tampered(device, log?.name ?? key.slice(0, 8), "is gone", 0);
      }
    const failures = new Map<string, Refusal>();
    for (const [key, head] of present)
      try {
        await this.#take(device, key, head);
      } catch (error) {
        if (!(error instanceof Refusal) || !["logTampered", "newerVersion"].includes(error.kind)) throw error;
        failures.set(key, error);
      }
    applyRevocations(this.logs);
    for (const { cause } of failures.values())
      if (cause instanceof LogTrimmed && checkpoints.isNewerOn(device.name))
        throw new Refusal("newerVersion", `the checkpoint on ${device.name} was made by a newer Coffer`, {
          hint: "Update Coffer on this computer.",
          cause,
        });
    for (const [key, head] of present) {
      const failure = failures.get(key);
      if (!failure) continue;
      // What a revoked writer appended may be anything. Who revoked it may have come up only now.
      if (this.log(head.log.slice(0, 16)).limit === undefined) throw failure;
      await this.#take(device, key, head);
    }
  }

  async #take(device: BlobDevice, key: string, head: LogHead & { log: Uint8Array }): Promise<void> {
    const log = this.log(head.log.slice(0, 16));
    if (log.limit !== undefined && head.count >= log.limit) {
      await this.#takeRevoked(device, log, log.limit, head.count);
      return;
    }
    const remembered = this.#state.deviceHead(device.name, key);
    if (remembered && head.count < remembered.count)
      throw tampered(
        device,
        log.name,
        `was rolled back: it had ${String(remembered.count)} entries and now has ${String(head.count)}`,
        head.count,
      );
    // Behind the checkpoint: nothing of it is needed, and nothing said about it.
    const isBehind = head.count < log.first;
    if (head.count > log.count) await this.#fetch(device, log, head.count);
    const known = isBehind ? rememberedAt(remembered, head.count) : log.headAt(head.count);
    if (!known ? !isBehind : Buffer.compare(known, head.head) !== 0)
      throw tampered(
        device,
        log.name,
        "was forked: it ends differently from what other devices or earlier visits showed",
        head.count - 1,
      );
    this.#state.setDeviceHead(device.name, key, { count: head.count, head: hex(head.head) });
  }

  /** Only what counts of the log of a revoked writer, whatever follows. */
  async #takeRevoked(device: BlobDevice, log: WriterLog, limit: number, shown: number): Promise<void> {
    if (log.count < limit) await this.#fetch(device, log, limit);
    if (shown > limit && !this.#warned.has(`${device.name} ${log.key}`)) {
      this.#warned.add(`${device.name} ${log.key}`);
      this.#onWarning(
        `${device.name}: ${log.name} was revoked and wrote ${String(shown - limit)} more entries, which are ignored`,
      );
    }
    const head = log.headAt(limit);
    if (head) this.#state.setDeviceHead(device.name, log.key, { count: limit, head: hex(head) });
  }

  async #fetch(device: BlobDevice, log: WriterLog, count: number): Promise<void> {
    try {
      await this.#read(device, log, count);
    } catch (error) {
      if (!(error instanceof LogTrimmed)) throw error;
      const what = "lacks its beginning, and no checkpoint stands for it";
      throw tampered(device, log.name, what, log.count, error);
    }
  }

  async #read(device: BlobDevice, log: WriterLog, count: number): Promise<void> {
    if (count > MAX_ENTRIES) throw tampered(device, log.name, "is longer than any log can be", count);
    const from = log.count;
    try {
      while (log.count < count) {
        const { entries } = await device.logRead(log.id, log.count, log.head);
        if (entries.length === 0)
          throw tampered(device, log.name, "is shorter than the device says", log.count);
        for (const entry of entries) if (log.count < count) this.#accept(device, log, entry);
      }
    } finally {
      if (log.count > from) {
        log.save(from, false);
        this.#state.setVerifiedHead(log.key, { count: log.count, head: hex(log.head) });
      }
    }
  }

  #accept(device: BlobDevice, log: WriterLog, entry: Uint8Array): void {
    try {
      log.accept(entry);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      refuseNewerVersion(error, `entry ${String(log.count)} of the log of ${log.name}`);
      throw tampered(device, log.name, `does not verify (${error.message})`, log.count, error);
    }
  }

  /**
   * A writer brings all logs that it knows to a device before it writes its own entry there: so a device that shows an
   * entry and not what the entry's writer had seen hides something.
   */
  async checkSeen(device: BlobDevice, detailOf: (entry: EntryBody) => Promise<EntryDetail>): Promise<void> {
    for (const log of this.logs.values()) {
      const last = log.bodyAt(this.#shownCount(device, log) - 1);
      if (!last) continue;
      for (const { writer, count, head } of (await detailOf(last)).seen) {
        const seen = this.logs.get(hex(writer));
        const shown = seen ? this.#shownCount(device, seen) : 0;
        const name = seen?.name ?? hex(writer.subarray(0, 4));
        if (!seen || shown < Math.min(count, seen.limit ?? count))
          throw tampered(device, name, `lacks entries that ${log.name} had seen there`, shown);
        const known = seen.headAt(count);
        if (known && Buffer.compare(known, head) !== 0)
          throw tampered(device, name, `was forked: ${log.name} had seen another entry`, count - 1);
      }
    }
  }

  /** What a log ends with on a device, when it was last seen. */
  shownHead(device: BlobDevice, log: WriterLog): { count: number; head: Uint8Array } | undefined {
    const shown = this.#state.deviceHead(device.name, log.key);
    return shown && { count: shown.count, head: Buffer.from(shown.head, "hex") };
  }

  #shownCount(device: BlobDevice, log: WriterLog): number {
    return this.#state.deviceHead(device.name, log.key)?.count ?? 0;
  }

  /** Appends to the device's logs whatever it lacks of what this computer has seen. */
  async bringUpToDate(
    device: BlobDevice,
    checkpoints: Pick<Checkpoints, "take" | "isNewerOn" | "bring" | "isDueOn">,
  ): Promise<void> {
    // Where the device lacks more than is here, it goes on where the checkpoint does.
    const isBehind = [...this.logs.values()].some((log) => this.#shownCount(device, log) < log.first);
    if (isBehind || checkpoints.isDueOn(device.name)) await checkpoints.bring(device);
    for (const log of this.logs.values()) {
      for (let attempt = 1; ; attempt++) {
        try {
          await this.#append(device, log);
          break;
        } catch (error) {
          if (!(error instanceof LogConflict) || attempt === CONFLICT_ATTEMPTS) throw error;
          await this.sync(device, checkpoints);
        }
      }
    }
  }

  async #append(device: BlobDevice, log: WriterLog): Promise<void> {
    let count = this.#shownCount(device, log);
    while (count < log.acceptedCount) {
      const isBehind = count < log.first;
      if (isBehind) count = log.first;
      const [previous, entry] = [log.headAt(count), log.sealedAt(count)];
      if (!previous || !entry) throw new Error("log without its entries");
      const head = isBehind
        ? await device.logSkip(log.id, count, previous, entry)
        : await device.logAppend(log.id, previous, entry);
      count++;
      if (head.count !== count || Buffer.compare(head.head, log.headAt(count) ?? previous) !== 0)
        throw tampered(device, log.name, "answered an append with another head", count - 1);
      this.#state.setDeviceHead(device.name, log.key, { count, head: hex(head.head) });
    }
  }

  /** Takes up an entry of this computer's own and makes it durable here, before any device gets it. */
  acceptOwn(log: WriterLog, entry: Uint8Array): void {
    log.accept(entry);
    log.save(log.count - 1, true);
    applyRevocations(this.logs);
    this.#state.setVerifiedHead(log.key, { count: log.count, head: hex(log.head) });
  }

  #logByKey(key: string): WriterLog | undefined {
    for (const log of this.logs.values()) if (log.key === key) return log;
    return undefined;
  }
}

function tampered(device: BlobDevice, writer: string, what: string, entry: number, cause?: unknown): Refusal {
  return tamperedLog(`${device.name}: the log of ${writer} ${what} (entry ${String(entry)})`, cause);
}

function rememberedAt(remembered: RememberedHead | undefined, count: number): Uint8Array | undefined {
  return remembered?.count === count ? Buffer.from(remembered.head, "hex") : undefined;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
