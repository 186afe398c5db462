// SPDX-License-Identifier: MIT
/** A card that is part of a medium: how much is free follows what its files hold, whatever happens to them. */
import assert from "node:assert/strict";
import { type Storage, StorageError } from "../../firmware/core/io";
import { LimitedStorage } from "../../firmware/core/limited-storage";
import { SimCard } from "../card";

const LIMIT = 100_000;

function make(storage: Storage, path: string, sizeBytes: number): void {
  const file = storage.openFile(path, "create");
  try {
    file.allocate(sizeBytes);
  } finally {
    file.close();
  }
}

const isFull = (error: unknown): boolean => error instanceof StorageError && error.code === "full";

describe("a part of a medium", () => {
  let card: SimCard;
  let storage: LimitedStorage;
  const free = (): number => storage.space().freeBytes;

  beforeEach(() => {
    card = new SimCard({ capacityBytes: 1_000_000, clusterBytes: 512 });
    storage = new LimitedStorage({ storage: card, capacityBytes: LIMIT });
  });

  it("is as large as its limit, or as the medium when that is smaller", () => {
    assert.deepEqual(storage.space(), { capacityBytes: LIMIT, freeBytes: LIMIT });
    const wide = new LimitedStorage({ storage: card, capacityBytes: 2_000_000 });
    assert.deepEqual(wide.space(), card.space());
  });

  it("counts what is there already, in all folders", () => {
    card.createDirectory("one");
    card.createDirectory("one/two");
    make(card, "a.bin", 1000);
    make(card, "one/b.bin", 200);
    make(card, "one/two/c.bin", 30);
    assert.equal(free(), LIMIT - 1230);
  });

  it("takes files until it is full, and then says so and leaves the file as it was", () => {
    make(storage, "a.bin", 60_000);
    assert.equal(free(), 40_000);
    const file = storage.openFile("b.bin", "create");
    file.allocate(30_000);
    assert.throws(() => {
      file.allocate(40_001);
    }, isFull);
    assert.equal(file.sizeBytes, 30_000);
    file.allocate(40_000);
    assert.equal(free(), 0);
    file.close();
  });

  it("refuses although the files have not been looked at before", () => {
    make(card, "a.bin", 60_000);
    const file = storage.openFile("a.bin", "update");
    assert.throws(() => {
      file.allocate(LIMIT + 1);
    }, isFull);
    file.close();
  });

  it("has the room again when a file is removed, and none more for a folder or a removal that fails", () => {
    storage.createDirectory("one");
    make(storage, "one/a.bin", 60_000);
    assert.equal(free(), 40_000);
    assert.throws(() => {
      storage.remove("one");
    });
    assert.throws(() => {
      storage.remove("none");
    });
    assert.equal(free(), 40_000);
    storage.remove("one/a.bin");
    assert.equal(free(), LIMIT);
    storage.remove("one");
    assert.equal(free(), LIMIT);
  });

  it("counts nothing for what the medium itself refuses", () => {
    const tight = new LimitedStorage({ storage: card, capacityBytes: 10_000_000 });
    const file = tight.openFile("a.bin", "create");
    assert.throws(() => {
      file.allocate(2_000_000);
    }, isFull);
    file.close();
    assert.equal(tight.space().freeBytes, card.space().freeBytes);
  });

  it("wants a limit", () => {
    for (const capacityBytes of [0, -1, NaN])
      assert.throws(() => new LimitedStorage({ storage: card, capacityBytes }), RangeError);
  });
});
