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
/** A card whose writes fail is given another chance so often: perhaps it was the contacts. */
const WORN_RETRY_MS = 10 * 60_000;
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
  [CardState.unformatted]: [
    FailureCode.cardFailed,
    "the card is not formatted with FAT32, and is left as it is; see the device's log",
  ],
  [CardState.failed]: [FailureCode.cardFailed, "the card cannot be read; see the device's log"],
  [CardState.readOnly]: [FailureCode.readOnly, "the card is write-protected and was never used by Coffer"],
};

/** Of a card that can be read: why it takes no writes, and what is said to who wants some. */
type Unwritable = typeof CardState.readOnly | typeof CardState.worn;
const WRITE_REFUSALS: Record<Unwritable, string> = {
  [CardState.readOnly]: "the card is write-protected",
  [CardState.worn]: "the card takes no more writes, as at the end of its life; it can still be read",
};

export class Card {
  readonly #options: CardOptions;
  #state: number = CardState.none;
  #stores: Stores | undefined;
  #retry: TimerHandle | undefined;
  #isClosed = false;
  #isSettled = false;
  #isProving = false;
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

  /**
   * A request was told that there is no card, or that it fails. When it is gone, or takes no writes any more, everything on it
   * ends and it is opened anew, in the latter case for reading.
   */
  suspect(): void {
    const stores = this.#stores;
    if (!stores || this.#isClosed || this.#isProving) return;
    try {
      this.#options.ports.storage.openFile(MARKER_PATH, "read").close();
    } catch (error) {
      this.closeStores();
      this.refuse(error);
      return;
    }
    if (!stores.table.isWritable) return;
    this.#isProving = true;
    stores.table.prove((error) => {
      this.#isProving = false;
      if (error === undefined || this.#stores !== stores) return;
      this.closeStores();
      this.open();
    });
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
          this.recover();
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
          else this.recover();
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

  /**
   * Blobs first, then logs: both remove what was never confirmed, and neither takes room. A card that takes no write on the
   * way is recovered once more for reading only.
   */
  private recover(unwritable?: Unwritable): void {
    if (this.#isClosed) return;
    const { ports, limits } = this.#options;
    const isWritable = unwritable === undefined;
    let table: UploadTable | undefined;
    const end = (error: unknown): void => {
      table?.close();
      const code = error instanceof StorageError ? error.code : undefined;
      if (isWritable && code === "readOnly") this.recover(CardState.readOnly);
      else if (isWritable && code === "io") {
        ports.log.write("warn", `card: writing to it fails: ${messageOf(error)}`);
        this.recover(CardState.worn);
      } else this.refuse(error);
    };
    attempt(() => {
      const opened = new UploadTable({ storage: ports.storage, isWritable });
      table = opened;
      const writeRefusal = WRITE_REFUSALS[unwritable ?? CardState.readOnly];
      const parts: StoreParts = { ...ports, limits, table: opened, writeRefusal };
      const logs = new LogStore(parts);
      const ready = (error?: unknown): void => {
        if (error) end(error);
        else if (this.#isClosed) opened.close();
        else {
          this.#stores = { blobs: new BlobStore(parts), logs, table: opened };
          this.settle(unwritable ?? CardState.ok, isWritable ? "ready" : "ready, read-only");
        }
      };
      recoverBlobs(parts, isWritable, (error) => {
        if (error) end(error);
        else
          logs.recover(isWritable, (logError) => {
            // Shows a card that takes no writes before anybody relies on it.
            if (logError || !isWritable || this.#isClosed) ready(logError);
            else opened.prove(ready);
          });
      });
    }, end);
  }

  /** Who reads meanwhile is not disturbed by an attempt that fails. */
  private retryWrites(): void {
    const { storage, timers } = this.#options.ports;
    const again = (): void => {
      this.#retry = timers.set(WORN_RETRY_MS, () => {
        this.retryWrites();
      });
    };
    attempt(() => {
      const table = new UploadTable({ storage, isWritable: true });
      table.prove((error) => {
        table.close();
        if (this.#isClosed || this.#state !== CardState.worn) return;
        if (error !== undefined) {
          again();
          return;
        }
        this.closeStores();
        this.open();
      });
    }, again);
  }

  private refuse(error: unknown): void {
    const code = error instanceof StorageError ? error.code : undefined;
    const isVersion = error instanceof DataError && error.code === "version";
    const state =
      code === "noCard"
        ? CardState.none
        : code === "readOnly"
          ? CardState.readOnly
          : code === "unformatted"
            ? CardState.unformatted
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
    if (this.#retry) timers.clear(this.#retry);
    this.#retry = undefined;
    if (this.#isClosed) return;
    if (!this.#stores) {
      this.#retry = timers.set(RETRY_MS, () => {
        this.open();
      });
    } else if (state === CardState.worn) {
      this.#retry = timers.set(WORN_RETRY_MS, () => {
        this.retryWrites();
      });
    }
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#options.onSettled?.();
  }
}
