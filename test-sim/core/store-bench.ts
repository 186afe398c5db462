// SPDX-License-Identifier: MIT
/** The stores of the firmware over a simulated card, driven turn by turn. */
import { createHash } from "node:crypto";
import type { DeviceLimits } from "../../firmware/core/device-config";
import { BOARD_LIMITS } from "../../firmware/core/device-config";
import type { Storage } from "../../firmware/core/io";
import { Card } from "../../firmware/core/card";
import { refusalOf } from "../../firmware/core/refusal";
import type { Refusal } from "../../firmware/core/refusal";
import type { Upload } from "../../firmware/core/upload";
import { MAX_LOGS } from "../../firmware/protocol/limits";
import type { LogHead } from "../../firmware/protocol/verbs";
import { SimCard } from "../card";
import type { SimCardOptions } from "../card";
import { SeededRandom } from "../seeded-random";
import { nodeCrypto } from "../../firmware/platform/node/node-crypto";
import { SeededEntropy } from "../seeded-entropy";
import { Turns } from "./turns";

/** Small numbers, so that a short test has many writes. */
export const SMALL_LIMITS: DeviceLimits = {
  ...BOARD_LIMITS,
  writeBytes: 1024,
  syncBytes: 8192,
  windowBytes: 4096,
  maxLogs: MAX_LOGS,
};

export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}

export function randomBytes(seed: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  new SeededRandom(seed).fill(bytes);
  return bytes;
}

export interface PutOutcome {
  /** Where the device wanted to go on from; undefined when it did not ask. */
  resumedAt: number | undefined;
  result: "stored" | "wasStored" | "pending" | Refusal;
  /** Bytes handed over. */
  sentBytes: number;
  upload: Upload | undefined;
}

export class StoreBench {
  readonly turns: Turns;
  readonly simCard: SimCard;
  readonly lines: string[] = [];
  readonly limits: DeviceLimits;
  card: Card;
  #entropySeed: number;

  constructor(
    options: SimCardOptions & { limits?: DeviceLimits; simCard?: SimCard; cutAtWrite?: number } = {},
  ) {
    this.turns = new Turns();
    this.limits = options.limits ?? SMALL_LIMITS;
    const sim = { capacityBytes: 64 * 2 ** 20, clusterBytes: 4096, ...options, defer: this.turns.defer };
    this.simCard = options.simCard ? options.simCard.copy(sim) : new SimCard(sim);
    this.#entropySeed = 1000 + (options.seed ?? 1);
    if (options.cutAtWrite !== undefined) this.simCard.cutAtWrite(options.cutAtWrite);
    this.card = this.#newCard();
    try {
      this.turns.run();
    } catch (error) {
      // The power went meanwhile: whatever the dead device does is nobody's.
      if (this.simCard.isPowered) throw error;
    }
  }

  get blobs() {
    return this.card.blobs;
  }

  get logs() {
    return this.card.logs;
  }

  get storage(): Storage {
    return this.simCard;
  }

  /** What the device was doing is gone; it starts again with what the card holds. */
  reboot(): void {
    this.turns.drop();
    if (this.simCard.isPowered) this.simCard.cutPower();
    this.simCard.powerOn();
    this.restart();
  }

  /** The device starts on a card as it is. */
  restart(): void {
    this.card = this.#newCard();
    try {
      this.turns.run();
    } catch (error) {
      // The power went meanwhile: whatever the dead device does is nobody's.
      if (this.simCard.isPowered) throw error;
    }
  }

  #newCard(): Card {
    return new Card({
      ports: {
        storage: this.simCard,
        crypto: nodeCrypto,
        entropy: new SeededEntropy(this.#entropySeed++),
        timers: this.turns,
        log: { write: (level, line) => this.lines.push(`${level}: ${line}`) },
      },
      limits: this.limits,
    });
  }

  /**
   * Stores a blob as a client would that keeps to its credit: stops at `stopAt` bytes when given, and leaves the upload
   * to be released. `id` other than the hash lets the device find a mismatch.
   */
  put(bytes: Uint8Array, options: { id?: Uint8Array; stopAt?: number } = {}): PutOutcome {
    const id = options.id ?? sha256(bytes);
    const outcome: PutOutcome = { resumedAt: undefined, result: "pending", sentBytes: 0, upload: undefined };
    const started = this.blobs.put(id, bytes.length, {
      onBegun: (upload) => {
        outcome.upload = upload;
      },
      onReady: (offset) => {
        outcome.resumedAt = offset;
      },
      onStored: (wasStored) => {
        outcome.result = wasStored ? "wasStored" : "stored";
      },
      onFailed: (refusal) => {
        outcome.result = refusal;
      },
      onRoom: () => undefined,
    });
    if (started === "stored") {
      outcome.result = "wasStored";
      return outcome;
    }
    this.turns.run();
    this.#feed(outcome, bytes, options.stopAt ?? bytes.length);
    return outcome;
  }

  #feed(outcome: PutOutcome, bytes: Uint8Array, stopAt: number): void {
    const { upload } = outcome;
    if (!upload || outcome.resumedAt === undefined) return;
    let at = outcome.resumedAt;
    let windowBytes = this.limits.windowBytes;
    while (at < stopAt && outcome.result === "pending" && this.simCard.isPowered) {
      if (upload.isHeld && windowBytes < 700) {
        // Nothing more may come until the flush that is under way has ended.
        this.turns.run(() => upload.isHeld);
        continue;
      }
      if (!upload.isHeld) windowBytes = this.limits.windowBytes;
      const piece = bytes.slice(at, Math.min(stopAt, at + 700));
      upload.write(piece);
      at += piece.length;
      windowBytes -= piece.length;
      outcome.sentBytes = at;
    }
    if (stopAt === bytes.length) this.turns.run();
  }

  delete(id: Uint8Array): boolean | Refusal | undefined {
    let outcome: boolean | Refusal | undefined;
    this.blobs.delete(id, (error, wasThere) => {
      outcome = error ? refusalOf(error) : wasThere;
    });
    this.turns.run();
    return outcome;
  }

  list(limit = 90): Uint8Array[] {
    const found: Uint8Array[] = [];
    let after = new Uint8Array(32);
    for (;;) {
      let isMore: boolean | undefined;
      this.blobs.list(after, limit, (error, page) => {
        if (!page) throw error as Error;
        found.push(...page.blobs.map((blob) => blob.id));
        isMore = page.more;
      });
      this.turns.run();
      if (isMore === undefined) throw new Error("list did not answer");
      after = new Uint8Array(found.at(-1) ?? after);
      if (!isMore) return found;
    }
  }

  read(id: Uint8Array): Uint8Array {
    const reader = this.blobs.open(id);
    const bytes = new Uint8Array(reader.sizeBytes);
    reader.read(bytes, 0);
    reader.close();
    return bytes;
  }

  append(log: Uint8Array, previous: Uint8Array, entry: Uint8Array): LogHead | Refusal | undefined {
    let outcome: LogHead | Refusal | undefined;
    this.logs.append(log, previous, entry, (error, head) => {
      outcome = head ?? refusalOf(error);
    });
    this.turns.run();
    return outcome;
  }

  /** `onAnswer` when it comes, which may be before the power goes; `isHasty`: what else is to be done then, waits. */
  skip(
    log: Uint8Array,
    first: number,
    previous: Uint8Array,
    entry: Uint8Array,
    { onAnswer, isHasty }: { onAnswer?: () => void; isHasty?: boolean | undefined } = {},
  ): LogHead | Refusal | undefined {
    let outcome: LogHead | Refusal | undefined;
    this.logs.skip(log, first, previous, entry, (error, head) => {
      outcome = head ?? refusalOf(error);
      if (head) onAnswer?.();
    });
    this.turns.run(() => !isHasty || outcome === undefined);
    return outcome;
  }

  /** The sequence of the first entry that is left. */
  trim(
    log: Uint8Array,
    before: number,
    head: Uint8Array = this.logs.head(log).head,
  ): number | Refusal | undefined {
    let outcome: number | Refusal | undefined;
    this.logs.trim(log, before, head, (error, first) => {
      outcome = first ?? refusalOf(error);
    });
    this.turns.run();
    return outcome;
  }

  entries(log: Uint8Array, from = 0): Uint8Array[] {
    const reader = this.logs.open(log, from);
    const entries: Uint8Array[] = [];
    const buffer = new Uint8Array(4096);
    try {
      while (reader.next() > 0) entries.push(buffer.slice(2, reader.read(buffer)));
    } finally {
      reader.close();
    }
    return entries;
  }
}
