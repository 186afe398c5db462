// SPDX-License-Identifier: MIT
/**
 * A run of the stores that can be cut short at any write, and what must hold of the card afterwards: everything that was
 * acknowledged, nothing that is torn, and no file left whose clusters were never confirmed.
 */
import assert from "node:assert/strict";
import { readBlobState } from "../../firmware/core/blob-header";
import { Refusal } from "../../firmware/core/refusal";
import { readRecord, readSegmentHeader, segmentStart } from "../../firmware/core/log-segment";
import { NO_ENTRY, entryHash } from "../../firmware/protocol/log-chain";
import { CardState, FailureCode } from "../../firmware/protocol/verbs";
import { nodeCrypto } from "../../firmware/platform/node/node-crypto";
import { StoreBench, randomBytes, sha256 } from "./store-bench";

class PowerGone extends Error {}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

interface LogModel {
  /** Sequence of the first of `entries`, and the hash of the entry before it. */
  start: number;
  previous: Uint8Array;
  entries: Uint8Array[];
  /** What it was asked to forget, and what it said is left. */
  before: number;
  first: number;
}

export class CrashRun {
  readonly bench: StoreBench;
  /** Acknowledged, and nobody has asked to delete it since. */
  readonly #stored = new Map<string, Uint8Array>();
  /** Asked for and not answered: it may be there or not, but never torn. */
  readonly #open = new Map<string, Uint8Array>();
  /** How far the client got with an upload that did not end. */
  readonly #sent = new Map<string, number>();
  readonly #logs = new Map<string, LogModel>();
  /** What a log may be as well: asked for and not answered. */
  #openLog: { log: string; models: LogModel[] } | undefined;

  /** `before`: a run that ended well on the card of which this one has a copy. */
  constructor(bench: StoreBench, before?: CrashRun) {
    this.bench = bench;
    if (before)
      for (const [log, model] of before.#logs) this.#logs.set(log, { ...model, entries: [...model.entries] });
  }

  /** Runs until it is through or the power goes; true when it went. */
  script(steps: (run: CrashRun) => void): boolean {
    try {
      steps(this);
      return false;
    } catch (error) {
      if (!this.bench.simCard.isPowered) return true;
      throw error;
    }
  }

  #checkPower(): void {
    if (!this.bench.simCard.isPowered) throw new PowerGone();
  }

  put(seed: number, size: number, options: { stopAt?: number; wrong?: boolean } = {}): void {
    const bytes = randomBytes(seed, size);
    const id = sha256(bytes);
    const hex = hexOf(id);
    if (!this.#stored.has(hex)) this.#open.set(hex, bytes);
    const given = bytes.slice();
    if (options.wrong) given[size - 1] = (given[size - 1] ?? 0) ^ 1;
    const outcome = this.bench.put(given, {
      id,
      ...(options.stopAt === undefined ? {} : { stopAt: options.stopAt }),
    });
    if (!options.wrong) this.#sent.set(hex, outcome.sentBytes);
    this.#checkPower();
    if (outcome.result === "stored" || outcome.result === "wasStored") {
      assert.ok(!options.wrong, "wrong bytes were acknowledged");
      this.#stored.set(hex, bytes);
      this.#open.delete(hex);
      this.#sent.delete(hex);
    } else if (outcome.result === "pending") {
      outcome.upload?.release();
      this.bench.turns.run();
      this.#checkPower();
    } else {
      this.#open.delete(hex);
      this.#sent.delete(hex);
    }
  }

  delete(seed: number, size: number): void {
    const bytes = randomBytes(seed, size);
    const id = sha256(bytes);
    const hex = hexOf(id);
    this.#stored.delete(hex);
    this.#sent.delete(hex);
    this.#open.set(hex, bytes);
    const outcome = this.bench.delete(id);
    this.#checkPower();
    if (outcome instanceof Refusal) throw outcome;
    this.#open.delete(hex);
  }

  append(log: number, seed: number, size: number): void {
    this.appendAll(log, [seed], size);
  }

  /** One for each seed, asked for all at once. */
  appendAll(log: number, seeds: readonly number[], size: number): void {
    const id = sha256(Uint8Array.of(log));
    const hex = hexOf(id);
    let model = this.#modelOf(hex);
    this.#logs.set(hex, model);
    const models: LogModel[] = [];
    this.#openLog = { log: hex, models };
    let failure: Error | undefined;
    for (const seed of seeds) {
      const entry = randomBytes(seed, size);
      const appended = { ...model, entries: [...model.entries, entry] };
      this.bench.logs.append(id, headOf(model), entry, (error) => {
        if (error) failure ??= error as Error;
        else this.#logs.set(hex, appended);
      });
      models.push(appended);
      model = appended;
    }
    this.bench.turns.run();
    this.#checkPower();
    if (failure) throw failure;
    this.#openLog = undefined;
  }

  /** The log begins anew at `first`; what was before is the log still when the power goes before that is done. */
  skip(log: number, first: number, seed: number, size: number, options: { isHasty?: boolean } = {}): void {
    const id = sha256(Uint8Array.of(log));
    const hex = hexOf(id);
    this.#logs.set(hex, this.#modelOf(hex));
    const previous = randomBytes(seed + 5000, 32);
    const entry = randomBytes(seed, size);
    const model = { start: first, previous, entries: [entry], before: first, first };
    this.#openLog = { log: hex, models: [model] };
    const onAnswer = (): void => {
      this.#logs.set(hex, model);
      this.#openLog = undefined;
    };
    const outcome = this.bench.skip(id, first, previous, entry, { ...options, onAnswer });
    this.#checkPower();
    if (outcome instanceof Refusal) throw outcome;
  }

  #modelOf(log: string): LogModel {
    return this.#logs.get(log) ?? { start: 0, previous: NO_ENTRY, entries: [], before: 0, first: 0 };
  }

  /** Forgets what is below `before`, as far as whole segments go. */
  trim(log: number, before: number): void {
    const id = sha256(Uint8Array.of(log));
    const asked = this.#modelOf(hexOf(id));
    this.#logs.set(hexOf(id), asked);
    asked.before = Math.max(asked.before, before);
    const outcome = this.bench.trim(id, before, headOf(asked));
    this.#checkPower();
    if (typeof outcome !== "number") throw outcome ?? new Error("trim did not answer");
    assert.ok(outcome >= asked.first && outcome <= asked.before, `entries from ${String(outcome)} are left`);
    asked.first = outcome;
  }

  /** After a reboot. */
  check(): void {
    const { bench } = this;
    assert.ok(
      bench.card.state === CardState.ok || bench.card.state === CardState.full,
      bench.lines.join("\n"),
    );
    const listed = new Set(bench.list().map(hexOf));
    for (const [hex, bytes] of this.#stored) {
      assert.ok(
        listed.has(hex),
        `lost: blob ${hex.slice(0, 8)} of ${String(bytes.length)} bytes is not listed`,
      );
    }
    for (const hex of listed) {
      const id = new Uint8Array(Buffer.from(hex, "hex"));
      assert.ok(
        this.#stored.has(hex) || this.#open.has(hex),
        `blob ${hex.slice(0, 8)} is listed although it is gone`,
      );
      assert.ok(bench.blobs.has(id), `listed and not had: ${hex.slice(0, 8)}`);
      assert.equal(hexOf(sha256(bench.read(id))), hex, `torn: blob ${hex.slice(0, 8)}`);
    }
    this.#checkLogs();
    this.#checkFiles();
  }

  /** Uploads go on where they were, give or take what a cut may cost; everything can be stored after all. */
  finish(isEvicting = false): void {
    for (const [hex, bytes] of [...this.#open]) {
      const sent = this.#sent.get(hex);
      const outcome = this.bench.put(bytes);
      if (isEvicting && outcome.result instanceof Refusal && outcome.result.code === FailureCode.cardFull)
        continue;
      assert.ok(outcome.result === "stored" || outcome.result === "wasStored", String(outcome.result));
      if (sent !== undefined && outcome.result === "stored" && !isEvicting) {
        const lost = sent - (outcome.resumedAt ?? 0);
        assert.ok(lost <= 2 * this.bench.limits.syncBytes, `${String(lost)} bytes have to be sent again`);
      }
      this.#stored.set(hex, bytes);
      this.#open.delete(hex);
    }
    this.#sent.clear();
    for (const [log, { entries }] of this.#logs) {
      const id = new Uint8Array(Buffer.from(log, "hex"));
      const entry = randomBytes(99, 777);
      const outcome = this.bench.append(id, this.bench.logs.head(id).head, entry);
      if (isEvicting && outcome instanceof Refusal && outcome.code === FailureCode.cardFull) continue;
      assert.ok(outcome && !(outcome instanceof Refusal), JSON.stringify(outcome));
      entries.push(entry);
    }
    this.check();
  }

  #checkLogs(): void {
    for (const log of this.#logs.keys()) {
      const id = new Uint8Array(Buffer.from(log, "hex"));
      const { count, head } = this.bench.logs.head(id);
      const open = this.#openLog?.log === log ? this.#openLog.models : [];
      // What was answered is not taken back: of two with as many entries, the one that was answered.
      const isKnown = countOf(this.#modelOf(log)) === count;
      const found = isKnown ? undefined : open.find((one) => countOf(one) === count);
      if (found) this.#logs.set(log, found);
      const model = this.#modelOf(log);
      assert.equal(count, countOf(model));
      assert.equal(hexOf(head), hexOf(headOf(model)));
      if (count === 0) continue;
      const first = this.#checkTrimmed(id, model);
      assert.deepEqual(
        this.bench.entries(id, first).map(hexOf),
        model.entries.slice(first - model.start).map(hexOf),
        "entries of the log",
      );
    }
    this.#openLog = undefined;
  }

  /** Where the log begins now: not before what was answered once, not after what may be forgotten. */
  #checkTrimmed(id: Uint8Array, asked: LogModel): number {
    const first = this.bench.trim(id, 0);
    assert.ok(typeof first === "number", String(first));
    assert.ok(
      first >= asked.first && first <= asked.before,
      `the log begins at ${String(first)}, not within ${String(asked.first)}..${String(asked.before)}`,
    );
    asked.first = first;
    if (first > 0) {
      assert.throws(
        () => this.bench.entries(id, first - 1),
        (error) => error instanceof Refusal && error.code === FailureCode.notFound,
      );
    }
    return first;
  }

  /** Every file is one whose creation was confirmed: anything else may share clusters with what is made next. */
  #checkFiles(): void {
    const { storage } = this.bench;
    for (const folder of [
      "",
      "blobs",
      "logs",
      ...Array.from({ length: 256 }, (_, i) => `blobs/${hexOf(Uint8Array.of(i))}`),
    ]) {
      const scan = storage.scan(folder);
      for (let entry = scan.next(); entry; entry = scan.next()) {
        if (entry.isDirectory) continue;
        const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
        if (folder.startsWith("blobs")) this.#checkBlobFile(path, entry.name);
        else if (folder === "logs") this.#checkSegment(path, entry.name);
        else assert.ok(entry.name === "card" || entry.name === "uploads", path);
      }
      scan.close();
    }
  }

  #checkBlobFile(path: string, name: string): void {
    assert.match(name, /^[0-9a-f]{64}$/, path);
    const file = this.bench.storage.openFile(path, "read");
    const state = readBlobState(file, new Uint8Array(Buffer.from(name, "hex")));
    file.close();
    assert.notEqual(state.kind, "invalid", `left over: ${path}`);
  }

  #checkSegment(path: string, name: string): void {
    assert.match(name, /^[0-9a-f]{64}-[0-9a-f]{8}$/, path);
    const file = this.bench.storage.openFile(path, "read");
    const header = readSegmentHeader(file, new Uint8Array(Buffer.from(name.slice(0, 64), "hex")));
    assert.ok(header && readRecord(file, header.segment, segmentStart(header)), `left over: ${path}`);
    file.close();
  }
}

function countOf({ start, entries }: LogModel): number {
  return start + entries.length;
}

function headOf({ previous, entries }: LogModel): Uint8Array {
  return entries.reduce((hash, entry) => entryHash(nodeCrypto, hash, entry), previous);
}
