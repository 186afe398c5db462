// SPDX-License-Identifier: MIT
/** Compressed chunks: smaller when it pays, the same every time, and no frame of any maker does harm. */
import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { createCipheriv, createHmac } from "node:crypto";
import { DataError } from "../../firmware/protocol/data-error";
import { CborWriter } from "./cbor-writer";
import { ChunkCipher, SEAL_BYTES } from "./chunk-cipher";
import { ChunkEncoder } from "./chunk-encoding";
import { MAX_CHUNK_BYTES } from "./chunker";
import { type BuiltPack, PackBuilder, packCapacity } from "./pack-builder";
import { PackStream, openIndex, packIndexBinding, readPackTrailer } from "./pack-format";
import { PackSealer } from "./pack-sealer";
import { PackedChunks } from "./packed-chunks";
import { ChunkKind, RepositoryKeys } from "./repository-keys";
import { prose } from "./testing/prose";
import { noise } from "./testing/scratch";
import { EntryType, encodeTree, makeEntry } from "./tree";

const KIB = 1024;
const MIB = 1024 * KIB;
const repositoryId = noise(1, 16);
const keys = new RepositoryKeys(noise(2, 32), repositoryId);
const cipher = new ChunkCipher(keys);
const { data, tree, list } = ChunkKind;

function seal(plaintext: Uint8Array, kind: ChunkKind = data, by = cipher): Buffer {
  const into = Buffer.alloc(plaintext.length + SEAL_BYTES, 0xee);
  const length = by.seal(kind, by.id(kind, plaintext), plaintext, into, 0);
  assert.ok(length <= into.length);
  return into.subarray(0, length);
}

function open(plaintext: Uint8Array, sealed: Uint8Array, kind: ChunkKind = data): Buffer {
  return cipher.open(kind, cipher.id(kind, plaintext), sealed);
}

/** As docs/repository.md has it, for any bytes in the place of the frame. */
function sealFrame(kind: ChunkKind, id: Uint8Array, frame: Uint8Array): Buffer {
  const hmac = (...parts: Uint8Array[]): Buffer =>
    createHmac("sha256", keys.current.chunkKey).update(Buffer.concat(parts)).digest();
  const e = hmac(Uint8Array.of(255, 1), frame);
  const gcm = createCipheriv("aes-256-gcm", hmac(Uint8Array.of(kind, 1), id, e), Buffer.alloc(12));
  gcm.setAAD(Buffer.concat([Buffer.from("coffer chunk 1"), repositoryId, Uint8Array.of(kind, 1), id]));
  return Buffer.concat([
    Uint8Array.of(1),
    e,
    gcm.update(frame),
    gcm.final(),
    gcm.getAuthTag(),
    Buffer.alloc(2),
  ]);
}

/** A frame of blocks that each repeat one byte: 4 bytes for 128 KiB. */
function repeated(blocks: number, header: Uint8Array): Buffer {
  const body = Buffer.alloc(blocks * 4);
  for (let i = 0; i < blocks; i++)
    body.writeUInt32LE(
      (((128 * KIB) << 3) | (1 << 1) | (i === blocks - 1 ? 1 : 0) | (120 << 24)) >>> 0,
      i * 4,
    );
  return Buffer.concat([Buffer.from("28b52ffd", "hex"), header, body]);
}

/** Single segment, content size in 4 bytes. */
function headerOf(sizeBytes: number): Buffer {
  const header = Buffer.from([0xa0, 0, 0, 0, 0]);
  header.writeUInt32LE(sizeBytes, 1);
  return header;
}

function mixed(length: number): Buffer {
  return Buffer.concat([prose(3, length / 2), noise(4, length / 2)]);
}

describe("compression of chunks", function () {
  this.timeout(60_000);

  it("text takes less than 60 %, and comes back", () => {
    for (const length of [4 * KIB, 64 * KIB, MIB, MAX_CHUNK_BYTES]) {
      const plaintext = prose(length, length);
      const sealed = seal(plaintext);
      assert.equal(sealed[0], 1);
      assert.ok(sealed.length < 0.6 * length, `${String(sealed.length)} of ${String(length)}`);
      assert.deepEqual(open(plaintext, sealed), plaintext);
      assert.deepEqual(seal(plaintext), sealed, "the same every time");
    }
  });

  it("a folder shrinks, although it is half ids", () => {
    const { bytes } = encodeTree(
      Array.from({ length: 200 }, (_, i) =>
        makeEntry({
          name: `IMG_${String(10_000 + i)}.jpg`,
          type: EntryType.file,
          mode: 0o644,
          mtimeSeconds: 1_700_000_000 + i * 31,
          mtimeNanos: i * 5_000_011,
          sizeBytes: 3_000_000 + i * 7919,
          content: new CborWriter().bytes(noise(30 + i, 32)).take(),
        }),
      ),
    );
    const sealed = seal(bytes, tree);
    assert.ok(sealed.length < 0.8 * bytes.length, `${String(sealed.length)} of ${String(bytes.length)}`);
    assert.deepEqual(open(bytes, sealed, tree), Buffer.from(bytes));
  });

  it("what does not shrink grows by the seal alone", () => {
    for (const length of [0, 1, 511, 512, 64 * KIB, MIB, MAX_CHUNK_BYTES]) {
      const plaintext = noise(5, length);
      const sealed = seal(plaintext);
      assert.equal(sealed.length, length + SEAL_BYTES);
      assert.equal(sealed[0], 0);
      assert.deepEqual(open(plaintext, sealed), plaintext);
    }
    // Shrinks, but by less than it costs.
    const barely = Buffer.concat([Buffer.alloc(2 * KIB), noise(6, 62 * KIB)]);
    assert.equal(seal(barely)[0], 0);
  });

  it("a head of text does not speak for what follows, nor noise for the text between", () => {
    const film = Buffer.concat([prose(7, 16 * KIB), noise(8, MIB)]);
    assert.equal(seal(film)[0], 0);
    const sealed = seal(mixed(MIB));
    assert.equal(sealed[0], 1);
    assert.ok(sealed.length < 0.8 * MIB);
    assert.deepEqual(open(mixed(MIB), sealed), mixed(MIB));
  });

  it("a compressed chunk opens only as what it is", () => {
    const plaintext = prose(9, 4 * KIB);
    const id = cipher.id(data, plaintext);
    const sealed = seal(plaintext);
    assert.throws(() => cipher.open(tree, id, sealed), DataError);
    assert.throws(() => cipher.open(data, noise(10, 32), sealed), DataError);
    for (const other of [
      new RepositoryKeys(noise(2, 32), noise(8, 16)),
      new RepositoryKeys(noise(9, 32), repositoryId),
    ])
      assert.throws(() => new ChunkCipher(other).open(data, id, sealed), DataError);
    for (let length = 0; length < sealed.length; length++)
      assert.throws(() => cipher.open(data, id, sealed.subarray(0, length)), DataError, String(length));
    for (let at = 0; at < sealed.length; at++) {
      const bad = Buffer.from(sealed);
      bad[at] = (bad[at] ?? 0) ^ 1;
      assert.throws(() => cipher.open(data, id, bad), DataError, String(at));
    }
  });

  it("is sealed as the format says, with another key for each frame of one plaintext", () => {
    const plaintext = prose(11, 64 * KIB);
    const id = cipher.id(data, plaintext);
    const frames = [new ChunkEncoder(), new ChunkEncoder(5)].map((encoder) =>
      Buffer.from(encoder.encode(plaintext) ?? []),
    );
    assert.notDeepEqual(frames[0], frames[1]);
    const sealed = frames.map((frame) => sealFrame(data, id, frame));
    assert.deepEqual(seal(plaintext), sealed[0]);
    assert.deepEqual(seal(plaintext, data, new ChunkCipher(keys, new ChunkEncoder(5))), sealed[1]);
    for (const bytes of sealed) assert.deepEqual(cipher.open(data, id, bytes), plaintext);
    // What one keystream would show: the difference of the two texts.
    const [one, other] = sealed.map((bytes) => bytes.subarray(33, 49)) as [Buffer, Buffer];
    const [a, b] = frames as [Buffer, Buffer];
    assert.notDeepEqual(
      one.map((byte, i) => byte ^ (other[i] ?? 0)),
      a.subarray(0, 16).map((byte, i) => byte ^ (b[i] ?? 0)),
    );
  });

  it("frames of other makers are read: zstd 1.5.4, level 19 with a checksum, level 1 without", () => {
    const plaintext = Buffer.from("coffer coffer coffer, a strongbox you own. ".repeat(12));
    for (const frame of [
      "KLUv/WQEAUUBAPBjb2ZmZXIgLCBhIHN0cm9uZ2JveCB5b3Ugb3duLiACAK2dUpuOYgRUXAXj",
      "KLUv/WAEAV0BAOhjb2ZmZXIgLCBhIHN0cm9uZ2JveCB5b3Ugb3duLgQAwk4pAC5wlNx0FCM=",
    ])
      assert.deepEqual(
        open(plaintext, sealFrame(data, cipher.id(data, plaintext), Buffer.from(frame, "base64"))),
        plaintext,
      );
  });

  it("a bomb is refused before anything is taken for it", () => {
    const id = noise(12, 32);
    const refuse = (what: string, frame: Uint8Array): void => {
      assert.throws(
        () => cipher.open(data, id, sealFrame(data, id, frame), () => assert.fail(`${what}: memory taken`)),
        DataError,
        what,
      );
    };
    const most = repeated(32, headerOf(MAX_CHUNK_BYTES));
    assert.deepEqual(cipher.open(data, id, sealFrame(data, id, most)), Buffer.alloc(MAX_CHUNK_BYTES, "x"));
    refuse("more than a chunk", repeated(33, headerOf(33 * 128 * KIB)));
    refuse("more than it says", repeated(8000, headerOf(MAX_CHUNK_BYTES)));
    refuse("less than it says", repeated(31, headerOf(MAX_CHUNK_BYTES)));
    refuse("2^63 bytes", repeated(8000, Buffer.from("e0ffffffffffffff7f", "hex")));
    refuse("two frames", Buffer.concat([most, most]));
    refuse("bytes behind the frame", Buffer.concat([most, Buffer.from("x")]));
    refuse("no size", repeated(32, Buffer.from("0060", "hex")));
    refuse(
      "no size, as zstd writes to a pipe",
      Buffer.from("KLUv/QRIXQEA6GNvZmZlciAsIGEgc3Ryb25nYm94IHlvdSBvd24uBADCTikALnCU3HQUI1RcBeM=", "base64"),
    );
    refuse("a dictionary", repeated(1, Buffer.from("a10100000200", "hex")));
    refuse("a frame longer than any chunk", Buffer.concat([most, Buffer.alloc(MAX_CHUNK_BYTES)]));
    refuse("no frame", Buffer.from("28b52ffc00", "hex"));
    refuse("nothing", Buffer.alloc(0));
    refuse("a header cut off", Buffer.from("28b52ffda000", "hex"));
    assert.deepEqual(
      open(prose(13, MIB), seal(prose(13, MIB))),
      prose(13, MIB),
      "the next one is read as ever",
    );
  });

  it("any damage to a frame gives a chunk of the size it says, or a DataError", () => {
    const seed = Number(process.env["COFFER_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
    const plaintext = prose(14, 3000);
    const id = cipher.id(data, plaintext);
    const good = Buffer.from(new ChunkEncoder().encode(plaintext) ?? []);
    let refused = 0;
    const attempt = (frame: Buffer, what: string): void => {
      try {
        assert.ok(cipher.open(data, id, sealFrame(data, id, frame)).length <= MAX_CHUNK_BYTES);
      } catch (error) {
        assert.ok(error instanceof DataError, `${what}, COFFER_SEED=${String(seed)}: ${String(error)}`);
        refused++;
      }
    };
    for (let length = 0; length < good.length; length++)
      attempt(good.subarray(0, length), `cut to ${String(length)}`);
    assert.equal(refused, good.length);
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bad = Buffer.from(good);
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      attempt(bad, `bit ${String(bit)}`);
    }
    for (let round = 0; round < 500; round++) {
      const bad = Buffer.from(good);
      const random = noise(seed + round * 7919, 16);
      for (let i = 0; i < 4; i++) bad[random.readUInt16BE(i * 4) % bad.length] = random[i * 4 + 2] ?? 0;
      attempt(bad, `round ${String(round)}`);
    }
  });
});

describe("packs of compressed chunks", function () {
  this.timeout(60_000);

  /** Both encodings in turns, and chunks that are sealed as they are added, in between. */
  const chunks: { kind: ChunkKind; plaintext: Buffer }[] = [
    { kind: list, plaintext: noise(20, 1000) },
    { kind: data, plaintext: prose(21, 600 * KIB) },
    { kind: data, plaintext: noise(22, 700 * KIB) },
    { kind: list, plaintext: noise(23, 40 * KIB) },
    { kind: data, plaintext: Buffer.from("x") },
    { kind: list, plaintext: prose(24, 30 * KIB) },
    { kind: data, plaintext: prose(25, 1400 * KIB) },
    { kind: data, plaintext: noise(26, 300) },
    { kind: list, plaintext: noise(27, 5000) },
  ];

  function builder(): PackBuilder {
    const targetBytes = 4 * MIB;
    const pack = new PackBuilder({
      stream: PackStream.data,
      variant: 0,
      keys,
      cipher,
      buffer: new Uint8Array(new SharedArrayBuffer(packCapacity(targetBytes))).fill(0xdd),
      targetBytes,
    });
    for (const { kind, plaintext } of chunks) {
      assert.ok(pack.fits(plaintext.length));
      pack.add(kind, cipher.id(kind, plaintext), plaintext);
    }
    return pack;
  }

  function check({ bytes, chunks: found }: BuiltPack): void {
    const indexBytes = readPackTrailer(bytes.subarray(-8));
    const sealedIndex = bytes.subarray(bytes.length - 8 - indexBytes, bytes.length - 8);
    const index = openIndex(
      keys.current.packIndexKey,
      packIndexBinding(repositoryId, PackStream.data),
      sealedIndex,
    );
    const listed = [...PackedChunks.read(index, 0, bytes.length)];
    assert.deepEqual(
      listed.map(({ offsetBytes, sealedBytes }) => [offsetBytes, sealedBytes]),
      [...found].map(({ offsetBytes, sealedBytes }) => [offsetBytes, sealedBytes]),
    );
    const last = listed.at(-1);
    assert.equal(
      (last?.offsetBytes ?? 0) + (last?.sealedBytes ?? 0),
      bytes.length - 8 - indexBytes,
      "no gaps",
    );
    const encodings = listed.map(({ kind, id, offsetBytes, sealedBytes }, i) => {
      const sealed = bytes.subarray(offsetBytes, offsetBytes + sealedBytes);
      assert.equal(kind, chunks[i]?.kind);
      assert.deepEqual(cipher.open(kind, id, sealed), chunks[i]?.plaintext);
      return sealed[0];
    });
    assert.deepEqual(encodings, [0, 1, 0, 0, 0, 1, 1, 0, 0]);
  }

  it("hold both encodings, without gaps, and are the same every time", () => {
    const pack = builder().finish();
    check(pack);
    assert.deepEqual(builder().finish().id, pack.id);
    assert.ok(pack.sizeBytes < 0.75 * chunks.reduce((sum, { plaintext }) => sum + plaintext.length, 0));
  });

  it("come out of every thread as they do here", async () => {
    const sealer = new PackSealer(keys, cipher);
    try {
      const { id } = builder().finish();
      sealer.prepare();
      const packs = [await sealer.seal(builder().close())];
      while (!sealer.hasThread) await setTimeout(5);
      // More than there are threads: some wait.
      packs.push(...(await Promise.all(Array.from({ length: 5 }, () => sealer.seal(builder().close())))));
      for (const pack of packs) {
        assert.deepEqual(Buffer.from(pack.id), Buffer.from(id));
        check(pack);
      }
    } finally {
      sealer.close();
    }
  });
});
