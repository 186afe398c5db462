// SPDX-License-Identifier: MIT
/* eslint-disable @typescript-eslint/require-await -- a case that has nothing to wait for has the same shape */
/** The storage port's contract (firmware/core/io.ts), each sentence a case. Each case gets an empty card. */
import type { Storage, StorageFile } from "../../firmware/core/io";
import { type PortCase, check, equal, equalBytes, pattern, refusalOf } from "./case";

function flushed(file: StorageFile): Promise<void> {
  return new Promise((resolve, reject) => {
    let isInside = true;
    file.flush((error) => {
      if (isInside) reject(new Error("done was called inside flush"));
      else if (error) reject(error);
      else resolve();
    });
    isInside = false;
  });
}

function namesIn(storage: Storage, path: string): string {
  const scan = storage.scan(path);
  const names: string[] = [];
  for (let entry = scan.next(); entry !== undefined; entry = scan.next())
    names.push(`${entry.name}${entry.isDirectory ? "/" : `:${String(entry.sizeBytes)}`}`);
  scan.close();
  scan.close();
  return names.sort().join(" ");
}

export const storageCases: PortCase<Storage>[] = [
  {
    name: "a file holds what was written",
    async run(storage) {
      const file = storage.openFile("a.bin", "create");
      equal(file.sizeBytes, 0, "size of a new file");
      file.allocate(10_000);
      equal(file.sizeBytes, 10_000, "size after allocate");
      file.write(pattern(10_000), 0);
      await flushed(file);
      file.close();
      const again = storage.openFile("a.bin", "read");
      equal(again.sizeBytes, 10_000, "size when opened again");
      const into = new Uint8Array(10_000);
      equal(again.read(into, 0), 10_000, "bytes read");
      equalBytes(into, pattern(10_000), "content");
      again.close();
    },
  },
  {
    name: "reads and writes at any position, across sectors",
    async run(storage) {
      const file = storage.openFile("a.bin", "create");
      file.allocate(4096);
      file.write(new Uint8Array(4096), 0);
      file.write(pattern(700), 300);
      await flushed(file);
      file.write(pattern(5, 9), 510);
      const into = new Uint8Array(704);
      equal(file.read(into, 298), 704, "bytes read");
      const expected = new Uint8Array(704);
      expected.set(pattern(700), 2);
      expected.set(pattern(5, 9), 212);
      equalBytes(into, expected, "content");
      file.close();
    },
  },
  {
    name: "a read near the end is short, beyond the end empty",
    async run(storage) {
      const file = storage.openFile("a.bin", "create");
      file.allocate(600);
      file.write(pattern(600), 0);
      const into = new Uint8Array(200);
      equal(file.read(into, 500), 100, "bytes read near the end");
      equalBytes(into.subarray(0, 100), pattern(100, 500), "content");
      equal(file.read(into, 600), 0, "bytes read at the end");
      equal(file.read(into, 6000), 0, "bytes read beyond the end");
      await flushed(file);
      file.close();
    },
  },
  {
    name: "a caller's buffer is free when write has returned",
    async run(storage) {
      const file = storage.openFile("a.bin", "create");
      file.allocate(512);
      const buffer = pattern(512);
      file.write(buffer, 0);
      buffer.fill(0);
      await flushed(file);
      const into = new Uint8Array(512);
      file.read(into, 0);
      equalBytes(into, pattern(512), "content");
      file.close();
    },
  },
  {
    name: "writing outside the allocated size is refused",
    async run(storage) {
      const file = storage.openFile("a.bin", "create");
      file.allocate(100);
      check(
        refusalOf(() => {
          file.write(pattern(2), 99);
        }) !== "nothing thrown",
        "a write over the end was taken",
      );
      file.close();
    },
  },
  {
    name: "allocate keeps what is there",
    async run(storage) {
      const file = storage.openFile("a.bin", "create");
      file.allocate(512);
      file.write(pattern(512), 0);
      file.allocate(5000);
      equal(file.sizeBytes, 5000, "size");
      await flushed(file);
      file.close();
      const again = storage.openFile("a.bin", "update");
      again.allocate(9000);
      const into = new Uint8Array(512);
      again.read(into, 0);
      equalBytes(into, pattern(512), "content");
      again.close();
    },
  },
  {
    name: "create refuses what exists, read and update what does not",
    async run(storage) {
      storage.openFile("a.bin", "create").close();
      equal(
        refusalOf(() => storage.openFile("a.bin", "create")),
        "exists",
        "create twice",
      );
      equal(
        refusalOf(() => storage.openFile("b.bin", "read")),
        "notFound",
        "read",
      );
      equal(
        refusalOf(() => storage.openFile("b.bin", "update")),
        "notFound",
        "update",
      );
      equal(
        refusalOf(() => storage.openFile("none/b.bin", "create")),
        "notFound",
        "create in no folder",
      );
    },
  },
  {
    name: "folders are made once and listed",
    async run(storage) {
      storage.createDirectory("one");
      storage.createDirectory("one/two");
      equal(
        refusalOf(() => {
          storage.createDirectory("one");
        }),
        "exists",
        "made twice",
      );
      equal(
        refusalOf(() => {
          storage.createDirectory("none/two");
        }),
        "notFound",
        "made in no folder",
      );
      const file = storage.openFile("one/two/file.bin", "create");
      file.allocate(7);
      file.write(pattern(7), 0);
      await flushed(file);
      file.close();
      equal(namesIn(storage, "one"), "two/", "one");
      equal(namesIn(storage, "one/two"), "file.bin:7", "one/two");
      equal(
        refusalOf(() => storage.scan("none")),
        "notFound",
        "scan of no folder",
      );
    },
  },
  {
    name: "what is removed is gone, and its name free",
    async run(storage) {
      storage.createDirectory("one");
      const file = storage.openFile("one/a.bin", "create");
      file.allocate(600);
      await flushed(file);
      file.close();
      storage.remove("one/a.bin");
      equal(
        refusalOf(() => storage.openFile("one/a.bin", "read")),
        "notFound",
        "read",
      );
      equal(
        refusalOf(() => {
          storage.remove("one/a.bin");
        }),
        "notFound",
        "remove twice",
      );
      equal(namesIn(storage, "one"), "", "names");
      const again = storage.openFile("one/a.bin", "create");
      equal(again.sizeBytes, 0, "size of the new file");
      again.close();
      storage.remove("one/a.bin");
      storage.remove("one");
      equal(
        refusalOf(() => storage.scan("one")),
        "notFound",
        "scan",
      );
    },
  },
  {
    name: "a folder that holds something is not removed",
    async run(storage) {
      storage.createDirectory("one");
      storage.openFile("one/a.bin", "create").close();
      check(
        refusalOf(() => {
          storage.remove("one");
        }) !== "nothing thrown",
        "removed",
      );
      equal(namesIn(storage, "one"), "a.bin:0", "names");
    },
  },
  {
    name: "several files are open at once",
    async run(storage) {
      const files = [1, 2, 3, 4].map((n) => storage.openFile(`f${String(n)}.bin`, "create"));
      files.forEach((file, n) => {
        file.allocate(1000);
        file.write(pattern(1000, n), 0);
      });
      await Promise.all(files.map(flushed));
      files.forEach((file, n) => {
        const into = new Uint8Array(1000);
        file.read(into, 0);
        equalBytes(into, pattern(1000, n), "content");
        file.close();
      });
    },
  },
  {
    name: "files that are written, read, flushed and grown in any order hold what each was given",
    async run(storage) {
      // It has to fit the memory of a board.
      const SIZE = 6000;
      const seed = 20_260_731;
      let state = seed;
      const below = (limit: number): number => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        return (state >>> 8) % limit;
      };
      const files = ["a.bin", "b.bin"].map((name) => {
        const file = storage.openFile(name, "create");
        file.allocate(SIZE);
        // What the clusters held before is nobody's business.
        file.write(new Uint8Array(SIZE), 0);
        return { name, file, model: new Uint8Array(SIZE), nextAt: 0 };
      });
      for (let step = 0; step < 400; step++) {
        const one = files[below(files.length)] ?? files[0];
        if (!one) return;
        const { file, model } = one;
        const what = `step ${String(step)} of seed ${String(seed)}`;
        const choice = below(10);
        // Mostly in a row, as a store writes; now and then anywhere.
        const at = choice < 6 ? one.nextAt : below(model.length);
        const length = Math.min(model.length - at, 1 + below(choice === 0 ? 4000 : 1200));
        if (choice < 8) {
          const bytes = pattern(length, below(65_536));
          file.write(bytes, at);
          model.set(bytes, at);
          one.nextAt = at + length < model.length ? at + length : 0;
        } else if (choice === 8) {
          const into = new Uint8Array(length);
          equal(file.read(into, at), length, `${what}, bytes`);
          equalBytes(into, model.slice(at, at + length), what);
        } else if (step % 5 > 0 || model.length > SIZE) await flushed(file);
        else {
          file.allocate(model.length + 700);
          file.write(new Uint8Array(700), model.length);
          one.model = new Uint8Array(model.length + 700);
          one.model.set(model);
        }
      }
      for (const { name, file, model } of files) {
        await flushed(file);
        file.close();
        const again = storage.openFile(name, "read");
        const into = new Uint8Array(model.length + 1);
        equal(again.read(into, 0), model.length, `${name} at the end, bytes`);
        equalBytes(into.slice(0, model.length), model, `${name} at the end`);
        again.close();
      }
    },
  },
  {
    name: "close twice is harmless",
    async run(storage) {
      const file = storage.openFile("a.bin", "create");
      file.close();
      file.close();
    },
  },
  {
    name: "done is not called after close",
    async run(storage) {
      const file = storage.openFile("a.bin", "create");
      file.allocate(512);
      file.write(pattern(512), 0);
      let calls = 0;
      file.flush(() => calls++);
      file.close();
      const other = storage.openFile("b.bin", "create");
      await flushed(other);
      await flushed(other);
      other.close();
      equal(calls, 0, "calls");
    },
  },
  {
    name: "space tells a capacity and what of it is free",
    async run(storage) {
      const { capacityBytes, freeBytes } = storage.space();
      check(capacityBytes > 0 && freeBytes > 0 && freeBytes <= capacityBytes, "numbers out of order");
    },
  },
];
