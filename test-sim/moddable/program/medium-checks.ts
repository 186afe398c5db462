// SPDX-License-Identifier: MIT
/**
 * A card that is pulled out and comes back, as the storage port and the core above it see it. The medium is a switch and a
 * folder that is moved away; on a board it is the SD card (firmware/platform/moddable/esp32/sd-card.ts).
 */
import { BOARD_LIMITS } from "../../../firmware/core/device-config";
import { Card } from "../../../firmware/core/card";
import { type Ports, StorageError, type Timers } from "../../../firmware/core/io";
import { CardState } from "../../../firmware/protocol/verbs";
import {
  FileMode,
  NativeFile,
  createDirectory,
  replace,
} from "../../../firmware/platform/moddable/coffer-files";
import { ModdableStorage } from "../../../firmware/platform/moddable/moddable-storage";
import type { StorageMedium } from "../../../firmware/platform/moddable/storage-medium";
import { check, equal, equalBytes, pattern, refusalOf } from "../../conformance/case";
import { type StoreCase, digestOf, get, openCard, put } from "./store-checks";

class Slot implements StorageMedium {
  isIn = true;
  attachments = 0;
  readonly #folder: string;

  /** The card is `folder`/sd. */
  constructor(folder: string) {
    this.#folder = folder;
    equal(createDirectory(`${folder}/sd`), 0, "making the card");
  }

  get root(): string {
    return `${this.#folder}/sd/coffer`;
  }

  pull(): void {
    this.isIn = false;
    equal(replace(`${this.#folder}/sd`, `${this.#folder}/drawer`), 0, "pulling the card");
  }

  insert(): void {
    this.isIn = true;
    equal(replace(`${this.#folder}/drawer`, `${this.#folder}/sd`), 0, "inserting the card");
  }

  attach(): void {
    if (!this.isIn) throw new StorageError("noCard", "nothing in the slot");
    this.attachments++;
  }

  isThere(): boolean {
    return this.isIn;
  }

  detach(): void {}
}

interface MediumPorts extends Ports {
  folder: string;
}

/** The core waits 10 s before it looks for a card again: here as many ms at most. */
function impatient(timers: Timers): Timers {
  return {
    set: (delayMs, callback) => timers.set(Math.min(delayMs, 10), callback),
    clear: (handle) => {
      timers.clear(handle);
    },
  };
}

const flushOf = (file: { flush(done: (error?: StorageError) => void): void }): Promise<string> =>
  new Promise((resolve) => {
    file.flush((error) => {
      resolve(error?.code ?? "done");
    });
  });

export const mediumCases: (Omit<StoreCase, "run"> & { run(ports: MediumPorts): Promise<void> })[] = [
  {
    name: "without a card every operation says so, and with one it works",
    async run({ folder, timers }) {
      const slot = new Slot(folder);
      const storage = new ModdableStorage({ root: slot.root, timers, medium: slot });
      slot.pull();
      equal(
        refusalOf(() => storage.openFile("a", "create")),
        "noCard",
        "creating",
      );
      equal(
        refusalOf(() => storage.space()),
        "noCard",
        "space",
      );
      equal(
        refusalOf(() => storage.scan("")),
        "noCard",
        "scanning",
      );
      slot.insert();
      storage.openFile("a", "create").close();
      check(storage.space().capacityBytes > 0, "no room");
      equal(slot.attachments, 1, "attachments");
    },
  },
  {
    name: "a failure with the card still there is a failure, and nothing is closed",
    async run({ folder, timers }) {
      const slot = new Slot(folder);
      const storage = new ModdableStorage({ root: slot.root, timers, medium: slot });
      const file = storage.openFile("a", "create");
      file.allocate(1000);
      storage.createDirectory("blobs");
      // A folder does not like to be read.
      const broken = storage.openFile("blobs", "read");
      equal(
        refusalOf(() => broken.read(new Uint8Array(10), 0)),
        "io",
        "reading a folder",
      );
      file.write(pattern(1000), 0);
      equal(await flushOf(file), "done", "the other file");
      broken.close();
      file.close();
    },
  },
  {
    name: "a card that was pulled ends what is open on it, and none is taken before that is closed",
    async run({ folder, timers }) {
      const slot = new Slot(folder);
      const storage = new ModdableStorage({ root: slot.root, timers, medium: slot });
      const file = storage.openFile("a", "create");
      file.allocate(2000);
      file.write(pattern(2000), 0);
      equal(await flushOf(file), "done", "flush");
      const scan = storage.scan("");
      slot.pull();
      equal(
        refusalOf(() => storage.openFile("b", "create")),
        "noCard",
        "creating on no card",
      );
      equal(
        refusalOf(() => file.read(new Uint8Array(10), 0)),
        "noCard",
        "reading what was open",
      );
      equal(
        refusalOf(() => {
          file.write(new Uint8Array(10), 0);
        }),
        "noCard",
        "writing what was open",
      );
      equal(await flushOf(file), "noCard", "flushing what was open");
      equal(
        refusalOf(() => scan.next()),
        "noCard",
        "going on with a scan",
      );
      slot.insert();
      equal(
        refusalOf(() => storage.openFile("a", "read")),
        "noCard",
        "before it was closed",
      );
      file.close();
      file.close();
      scan.close();
      const again = storage.openFile("a", "read");
      const into = new Uint8Array(2000);
      equal(again.read(into, 0), 2000, "bytes");
      equalBytes(into, pattern(2000), "content");
      again.close();
      equal(slot.attachments, 2, "attachments");
    },
  },
  {
    name: "the core notices, says that there is no card, and goes on when it is back",
    async run(ports) {
      const slot = new Slot(ports.folder);
      const timers = impatient(ports.timers);
      const storage = new ModdableStorage({ root: slot.root, timers, medium: slot });
      const own = { ...ports, timers, storage };
      const card = await openCard(own);
      const bytes = pattern(100_000);
      const id = digestOf(ports, bytes);
      await put(card, id, bytes);
      equal(card.state, CardState.ok, "state with a card");
      slot.pull();
      const other = pattern(1000, 1);
      let refused = "stored";
      await put(card, digestOf(ports, other), other).catch(
        (error: unknown) => (refused = (error as Error).name),
      );
      check(refused !== "stored", "it was stored on no card");
      // A request that is told so tells the card.
      card.suspect();
      equal(card.state, CardState.none, "state without a card");
      slot.insert();
      for (let i = 0; i < 200 && card.state !== CardState.ok; i++)
        await new Promise<void>((resolve) => ports.timers.set(10, resolve));
      equal(card.state, CardState.ok, "state with the card back");
      equalBytes(get(card, id), bytes, "what was on it");
      await put(card, digestOf(ports, other), other);
      card.close();
    },
  },
  {
    name: "bytes that are lost on their way to the card fail their file for good, and no other",
    async run({ folder }) {
      const FULL = 3; // the kind of a failure, coffer-files.c
      const lost = new NativeFile();
      // Takes every byte and keeps none: Linux's own full disk.
      equal(lost.open("/dev/full", FileMode.update), 0, "opening");
      equal(lost.write(pattern(5000), 0), 0, "what waits is taken");
      const other = new NativeFile();
      equal(other.open(`${folder}/other`, FileMode.create), 0, "opening another, which lets nothing wait");
      equal(other.write(pattern(100), 0), 0, "writing the other");
      equal(other.flush(), 0, "flushing the other");
      equal(-lost.flush() % 8, FULL, "flush");
      equal(-lost.write(pattern(10), 5000) % 8, FULL, "the next write");
      equal(-lost.read(new Uint8Array(10), 0) % 8, FULL, "the next read");
      equal(-lost.close() % 8, FULL, "close");
      equal(lost.close(), 0, "close again");
      equal(other.close(), 0, "closing the other");

      const big = new NativeFile();
      equal(big.open("/dev/full", FileMode.update), 0, "opening again");
      equal(-big.write(pattern(100_000), 0) % 8, FULL, "more than can wait");
      big.close();
    },
  },
  {
    name: "no card at the start, and one later",
    async run(ports) {
      const slot = new Slot(ports.folder);
      slot.pull();
      const timers = impatient(ports.timers);
      const storage = new ModdableStorage({ root: slot.root, timers, medium: slot });
      const card = new Card({ ports: { ...ports, timers, storage }, limits: BOARD_LIMITS });
      await new Promise<void>((resolve) => ports.timers.set(50, resolve));
      equal(card.state, CardState.none, "state without a card");
      slot.insert();
      for (let i = 0; i < 200 && card.state !== CardState.ok; i++)
        await new Promise<void>((resolve) => ports.timers.set(10, resolve));
      equal(card.state, CardState.ok, "state with a card");
      card.close();
    },
  },
];
