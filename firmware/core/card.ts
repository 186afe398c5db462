// SPDX-License-Identifier: MIT
/**
 * The card as a whole: opened, recovered, in use, gone. A device without a usable card goes on and says so; the card is
 * tried again every 10 seconds.
 */
import { SECTOR_BYTES, cardMarker, decodeSector } from "../protocol/card-format";
import { DataError } from "../protocol/data-error";
import { CardState, FailureCode } from "../protocol/verbs";
import { attempt } from "./attempt";
import { recoverBlobs } from "./blob-recovery";
import { BlobStore } from "./blob-store";
import { MARKER_PATH, initialise, isEmpty, isForeign, repairMarker } from "./card-layout";
import type { DeviceLimits } from "./device-config";
import { StorageError } from "./io";
import type { Ports, TimerHandle } from "./io";
import { LogStore } from "./log-store";
import { Refusal, messageOf } from "./refusal";
import type { StoreParts } from "./store-parts";
import { UploadTable } from "./upload-table";

export interface CardOptions {
  ports: Pick<Ports, "storage" | "crypto" | "entropy" | "timers" | "log">;
  limits: DeviceLimits;
  /** Safe mode: it is neither opened nor read nor written. */
  isUntouched?: boolean;
  /** The first attempt to open it has ended, either way. */
  onSettled?(): void;
}

const RETRY_MS = 10_000;
/** Less room than this is reported as a full card. */
const FULL_BYTES = 256 * 1024;

interface Stores {
  blobs: BlobStore;
  logs: LogStore;
  table: UploadTable;
}

/** What is said to a request while there is no usable card. */
const REFUSALS: Record<number, [code: number, text: string]> = {
  [CardState.none]: [FailureCode.noCard, "there is no card in the device"],
  [CardState.foreign]: [
    FailureCode.cardFailed,
    "the card's coffer folder holds other files; empty it or use another card",
  ],
  [CardState.failed]: [FailureCode.cardFailed, "the card cannot be read; see the device's log"],
  [CardState.readOnly]: [FailureCode.readOnly, "the card is write-protected and was never used by Coffer"],
};

export class Card {
  readonly #options: CardOptions;
  #state: number = CardState.none;
  #stores: Stores | undefined;
  #retry: TimerHandle | undefined;
  #isClosed = false;
  #isSettled = false;
  /** So that a missing card is logged once and not every 10 seconds. */
  #logged = "";

  constructor(options: CardOptions) {
    this.#options = options;
    if (options.isUntouched === true) return;
    this.#retry = options.ports.timers.set(0, () => {
      this.open();
    });
  }

  get limits(): DeviceLimits {
    return this.#options.limits;
  }

  /** One of CardState. */
  get state(): number {
    if (this.#state === CardState.ok && this.space().freeBytes < FULL_BYTES) return CardState.full;
    return this.#state;
  }

  /** The stores; throws Refusal while there is no usable card. */
  get blobs(): BlobStore {
    return this.usable().blobs;
  }

  get logs(): LogStore {
    return this.usable().logs;
  }

  get uploadCount(): number {
    return this.#stores?.blobs.uploadCount ?? 0;
  }

  get logCount(): number {
    return this.#stores?.logs.count ?? 0;
  }

  /** Zeros while there is no card. */
  space(): { capacityBytes: number; freeBytes: number } {
    if (this.#options.isUntouched === true) return { capacityBytes: 0, freeBytes: 0 };
    try {
      return this.#options.ports.storage.space();
    } catch {
      return { capacityBytes: 0, freeBytes: 0 };
    }
  }

  /** A request was told that there is no card: if that is so, everything on it ends and the card is tried again. */
  suspect(): void {
    if (!this.#stores || this.#isClosed) return;
    try {
      this.#options.ports.storage.openFile(MARKER_PATH, "read").close();
    } catch (error) {
      this.closeStores();
      this.refuse(error);
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#retry) this.#options.ports.timers.clear(this.#retry);
    this.closeStores();
  }

  private usable(): Stores {
    if (this.#stores) return this.#stores;
    if (this.#options.isUntouched === true)
      throw new Refusal(
        FailureCode.safeMode,
        "in safe mode after starts that failed: the card is left alone",
      );
    const [code, text] = REFUSALS[this.#state] ?? [FailureCode.noCard, "the card is being opened; try again"];
    throw new Refusal(code, text);
  }

  private closeStores(): void {
    this.#stores?.blobs.close();
    this.#stores?.table.close();
    this.#stores = undefined;
  }

  private open(): void {
    this.#retry = undefined;
    attempt(
      () => {
        const marker = this.readMarker();
        if (marker === "ok") {
          this.recover(true);
          return;
        }
        const { storage } = this.#options.ports;
        if (isForeign(storage) || (marker === "missing" && !isEmpty(storage))) {
          this.settle(
            CardState.foreign,
            "the card's coffer folder holds files that are not Coffer's: left alone",
          );
          return;
        }
        const { timers, entropy } = this.#options.ports;
        const prepare = isEmpty(storage) ? initialise : repairMarker;
        this.#options.ports.log.write(
          "info",
          `card: ${prepare === initialise ? "initialising" : "repairing its marker"}`,
        );
        prepare({ storage, timers, entropy }, (error) => {
          if (error) this.refuse(error);
          else this.recover(true);
        });
      },
      (error) => {
        this.refuse(error);
      },
    );
  }

  private readMarker(): "ok" | "missing" | "damaged" {
    try {
      const file = this.#options.ports.storage.openFile(MARKER_PATH, "read");
      try {
        const bytes = new Uint8Array(SECTOR_BYTES);
        decodeSector(cardMarker, bytes.subarray(0, file.read(bytes, 0)));
        return "ok";
      } finally {
        file.close();
      }
    } catch (error) {
      if (error instanceof StorageError && error.code === "notFound") return "missing";
      if (error instanceof StorageError && error.code === "io") return "damaged";
      if (!(error instanceof DataError) || error.code === "version") throw error;
      return "damaged";
    }
  }

  /** Blobs first, then logs: both remove what was never confirmed, and neither takes room. */
  private recover(isWritable: boolean): void {
    if (this.#isClosed) return;
    const { ports, limits } = this.#options;
    let table: UploadTable;
    try {
      table = new UploadTable({ storage: ports.storage, isWritable });
    } catch (error) {
      if (isWritable && error instanceof StorageError && error.code === "readOnly") this.recover(false);
      else this.refuse(error);
      return;
    }
    const parts: StoreParts = { ...ports, limits, table };
    const logs = new LogStore(parts);
    const failed = (error: unknown): void => {
      table.close();
      if (isWritable && error instanceof StorageError && error.code === "readOnly") this.recover(false);
      else this.refuse(error);
    };
    recoverBlobs(parts, isWritable, (error) => {
      if (error) {
        failed(error);
        return;
      }
      logs.recover(isWritable, (logError) => {
        if (logError) failed(logError);
        else if (this.#isClosed) table.close();
        else {
          this.#stores = { blobs: new BlobStore(parts), logs, table };
          this.settle(
            isWritable ? CardState.ok : CardState.readOnly,
            isWritable ? "ready" : "ready, read-only",
          );
        }
      });
    });
  }

  private refuse(error: unknown): void {
    const code = error instanceof StorageError ? error.code : undefined;
    const isVersion = error instanceof DataError && error.code === "version";
    const state =
      code === "noCard"
        ? CardState.none
        : code === "readOnly"
          ? CardState.readOnly
          : isVersion
            ? CardState.foreign
            : CardState.failed;
    this.settle(state, messageOf(error));
  }

  private settle(state: number, message: string): void {
    const { log, timers } = this.#options.ports;
    this.#state = state;
    if (this.#logged !== message) log.write(this.#stores ? "info" : "warn", `card: ${message}`);
    this.#logged = message;
    if (!this.#stores && !this.#isClosed)
      this.#retry = timers.set(RETRY_MS, () => {
        this.open();
      });
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#options.onSettled?.();
  }
}
