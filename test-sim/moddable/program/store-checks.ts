// SPDX-License-Identifier: MIT
/** The store on a real folder, as a client would use it: put, resume, get, list, delete, logs, and all of it reopened. */
import { BOARD_LIMITS } from "../../../firmware/core/device-config";
import type { BlobPage } from "../../../firmware/core/blob-list";
import { Card } from "../../../firmware/core/card";
import type { Ports } from "../../../firmware/core/io";
import type { Upload } from "../../../firmware/core/upload";
import { NO_ENTRY } from "../../../firmware/protocol/log-chain";
import type { LogHead } from "../../../firmware/protocol/verbs";
import { check, equal, equalBytes, pattern, refusalOf } from "../../conformance/case";

const after = (ports: Ports, ms: number) => new Promise<void>((resolve) => ports.timers.set(ms, resolve));

export async function openCard(ports: Ports): Promise<Card> {
  const card = new Card({ ports, limits: BOARD_LIMITS });
  for (let i = 0; i < 500; i++) {
    await after(ports, 10);
    try {
      void card.blobs;
      return card;
    } catch {
      // It is being made or recovered.
    }
  }
  throw new Error(`the card was not ready after 5 s, state ${card.state}`);
}

export function digestOf(ports: Ports, bytes: Uint8Array): Uint8Array {
  const hash = ports.crypto.createSha256();
  hash.write(bytes);
  return hash.close();
}

interface Started {
  upload: Upload;
  readyAt: number;
  stored: Promise<void>;
  /** Resolves when the upload takes more. */
  room(): Promise<void>;
}

export function startUpload(card: Card, id: Uint8Array, sizeBytes: number): Promise<Started> {
  return new Promise((resolve, reject) => {
    let upload: Upload | undefined;
    let wake = () => {};
    let onStored = () => {};
    let onFailed: (error: Error) => void = reject;
    const stored = new Promise<void>((settle, fail) => {
      onStored = settle;
      onFailed = fail;
    });
    const outcome = card.blobs.put(id, sizeBytes, {
      onBegun(begun) {
        upload = begun;
      },
      onReady(readyAt) {
        const room = () => (upload?.isHeld ? new Promise<void>((go) => (wake = go)) : Promise.resolve());
        resolve({ upload: upload as Upload, readyAt, stored, room });
      },
      onStored() {
        onStored();
      },
      onFailed(refusal) {
        onFailed(refusal);
        reject(refusal);
        wake();
      },
      onRoom() {
        wake();
      },
    });
    if (outcome === "stored") reject(new Error("it is stored already"));
  });
}

export async function put(card: Card, id: Uint8Array, bytes: Uint8Array): Promise<void> {
  const { upload, readyAt, stored, room } = await startUpload(card, id, bytes.length);
  for (let at = readyAt; at < bytes.length; at += 4096) {
    await room();
    upload.write(bytes.subarray(at, Math.min(bytes.length, at + 4096)));
  }
  await stored;
}

export function get(card: Card, id: Uint8Array): Uint8Array {
  const reader = card.blobs.open(id);
  const bytes = new Uint8Array(reader.sizeBytes);
  reader.read(bytes, 0);
  reader.close();
  return bytes;
}

function list(card: Card, limit: number, after = new Uint8Array(32)): Promise<BlobPage> {
  return new Promise((resolve, reject) => {
    card.blobs.list(after, limit, (error, page) => {
      if (page) resolve(page);
      else reject(error as Error);
    });
  });
}

function remove(card: Card, id: Uint8Array): Promise<boolean> {
  return new Promise((resolve, reject) => {
    card.blobs.delete(id, (error, wasThere) => {
      if (error) reject(error as Error);
      else resolve(wasThere ?? false);
    });
  });
}

function append(card: Card, log: Uint8Array, previous: Uint8Array, entry: Uint8Array): Promise<LogHead> {
  return new Promise((resolve, reject) => {
    card.logs.append(log, previous, entry, (error, head) => {
      if (head) resolve(head);
      else reject(error as Error);
    });
  });
}

export interface StoreCase {
  name: string;
  run(ports: Ports): Promise<void>;
}

export const storeCases: StoreCase[] = [
  {
    name: "a blob is stored, read, listed, kept over a reopening, and deleted",
    async run(ports) {
      let card = await openCard(ports);
      const bytes = pattern(300_000);
      const id = digestOf(ports, bytes);
      check(!card.blobs.has(id), "there before it was put");
      await put(card, id, bytes);
      check(card.blobs.has(id), "not there");
      equalBytes(get(card, id), bytes, "content");
      equal(card.blobs.put(id, bytes.length, {} as never), "stored", "put again");
      card.close();
      card = await openCard(ports);
      equalBytes(get(card, id), bytes, "content after reopening");
      equal((await list(card, 10)).blobs.length, 1, "listed");
      equal(await remove(card, id), true, "deleted");
      equal(await remove(card, id), false, "deleted again");
      check(!card.blobs.has(id), "still there");
      card.close();
    },
  },
  {
    name: "an upload that was cut off goes on where progress was kept, over a reopening",
    async run(ports) {
      const bytes = pattern(500_000);
      const id = digestOf(ports, bytes);
      let card = await openCard(ports);
      const first = await startUpload(card, id, bytes.length);
      equal(first.readyAt, 0, "first offset");
      for (let at = 0; at < 350_000; at += 5000) {
        await first.room();
        first.upload.write(bytes.subarray(at, at + 5000));
      }
      first.upload.release();
      await after(ports, 100);
      card.close();
      card = await openCard(ports);
      check(!card.blobs.has(id), "a part counts as stored");
      const second = await startUpload(card, id, bytes.length);
      check(
        second.readyAt >= 350_000 - 512 - 256 * 1024 && second.readyAt <= 350_000,
        `goes on at ${second.readyAt}`,
      );
      check(second.readyAt > 0, "starts again");
      for (let at = second.readyAt; at < bytes.length; at += 4000) {
        await second.room();
        second.upload.write(bytes.subarray(at, Math.min(bytes.length, at + 4000)));
      }
      await second.stored;
      equalBytes(get(card, id), bytes, "content");
      card.close();
    },
  },
  {
    name: "other bytes than the id names are refused and leave nothing",
    async run(ports) {
      const card = await openCard(ports);
      const bytes = pattern(20_000);
      const id = digestOf(ports, pattern(20_000, 1));
      let code = "stored";
      await put(card, id, bytes).catch(
        (error: unknown) => (code = String((error as { code?: number }).code)),
      );
      equal(code, "5", "code");
      check(!card.blobs.has(id), "it is there");
      equal((await list(card, 10)).blobs.length, 0, "listed");
      card.close();
    },
  },
  {
    name: "many blobs are listed in pages, ascending",
    async run(ports) {
      const card = await openCard(ports);
      for (let i = 0; i < 25; i++) {
        const bytes = pattern(100 + i, i);
        await put(card, digestOf(ports, bytes), bytes);
      }
      const ids: string[] = [];
      let cursor = new Uint8Array(32);
      for (let isMore = true; isMore;) {
        const page = await list(card, 10, cursor);
        for (const blob of page.blobs) ids.push(blob.id.join());
        cursor = (page.blobs.at(-1)?.id ?? cursor) as Uint8Array<ArrayBuffer>;
        isMore = page.more;
      }
      equal(new Set(ids).size, 25, "different ids");
      card.close();
    },
  },
  {
    name: "a log takes only the entry that names its head, and reads back over a reopening",
    async run(ports) {
      let card = await openCard(ports);
      const log = digestOf(ports, pattern(5));
      const entries = Array.from({ length: 60 }, (_, i) => pattern(1 + ((i * 577) % 3000), i));
      let head: Uint8Array = NO_ENTRY;
      for (const entry of entries) head = (await append(card, log, head, entry)).head;
      let refused = "appended";
      await append(card, log, NO_ENTRY, pattern(9)).catch(
        (error: unknown) => (refused = String((error as { code?: number }).code)),
      );
      equal(refused, "8", "code of a conflict");
      card.close();
      card = await openCard(ports);
      equal(card.logs.head(log).count, 60, "count");
      equalBytes(card.logs.head(log).head, head, "head");
      const reader = card.logs.open(log, 10);
      const into = new Uint8Array(2 + 3072);
      for (const entry of entries.slice(10)) {
        equal(reader.read(into), 2 + entry.length, "bytes");
        equalBytes(into.subarray(2, 2 + entry.length), entry, "entry");
      }
      equal(reader.next(), 0, "end");
      reader.close();
      card.close();
    },
  },
  {
    name: "a folder with other files in it is left alone",
    async run(ports) {
      ports.storage.openFile("photo.jpg", "create").close();
      const card = new Card({ ports, limits: BOARD_LIMITS });
      await after(ports, 100);
      check(refusalOf(() => card.blobs) !== "nothing thrown", "it was taken");
      card.close();
    },
  },
];
