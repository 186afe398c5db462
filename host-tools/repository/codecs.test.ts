// SPDX-License-Identifier: MIT
/** Every decoder: round trips, one encoding only, and nothing but DataError for anything that a device could store. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { decode, encode } from "cborg";
import { ByteReader } from "../../firmware/protocol/byte-reader";
import { MAX_ENTRY_BYTES } from "../../firmware/protocol/limits";
import { DataError } from "../../firmware/protocol/data-error";
import { toByteString, toBytes, toText, parseRemotePath, formatRemotePath } from "./byte-names";
import { CborReader } from "./cbor-reader";
import { CborWriter } from "./cbor-writer";
import { ChunkCipher, SEAL_BYTES } from "./chunk-cipher";
import { MAX_CHUNK_BYTES } from "./chunker";
import { type ChunkItem, ContentBuilder, contentItems, directItems } from "./content";
import { decodeIndex, encodeIndex, openIndexBlob, sealIndexBlob } from "./index-blob";
import { SlotKind, slotSecret } from "./key-secret";
import { MAX_LABEL_BYTES, encodeKeySlot, makeKeySlot, openKeySlot, readKeySlot } from "./key-slot";
import {
  MAX_SLOTS,
  decodeLink,
  decodeStatement,
  isStatementAuthentic,
  isSuccessor,
  makeLink,
  makeStatement,
  openLink,
  openStatement,
} from "./key-statement";
import { isRecoveryCode, makeRecoveryCode, readRecoveryCode } from "./recovery-code";
import { makeSlotPair } from "./slot-seal";
import {
  type EntryBody,
  MAX_FORGOTTEN_VERSIONS,
  type Operation,
  decodeDetail,
  encodeDetail,
  exportPublicKey,
  openEntry,
  sealEntry,
} from "./log-entry";
import { PackBuilder, packCapacity } from "./pack-builder";
import {
  PackStream,
  VARIANT_BYTES,
  openIndex,
  packIndexBinding,
  readPackEpoch,
  readPackHeader,
  readPackTrailer,
} from "./pack-format";
import { PackedChunks } from "./packed-chunks";
import { ChunkKind, EpochKeys, RepositoryKeys, keyLogId, repositoryOfKeyLog } from "./repository-keys";
import {
  EntryType,
  type TreeEntry,
  decodeEntry,
  decodeEntries,
  encodeEntry,
  encodeTree,
  makeEntry,
} from "./tree";
import { plain } from "./testing/plain";
import { noise } from "./testing/scratch";

const decodeTree = (bytes: Uint8Array): TreeEntry[] => [...decodeEntries(bytes)];

const repositoryId = noise(1, 16);
const keys = new RepositoryKeys(noise(2, 32), repositoryId);
const cipher = new ChunkCipher(keys);
const seed = Number(process.env["COFFER_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** Truncations, bit flips and noise: the decoder may accept or throw DataError, and nothing else. */
function attack(name: string, good: Uint8Array, read: (bytes: Uint8Array) => unknown): void {
  const tryIt = (bytes: Uint8Array, what: string): void => {
    try {
      read(bytes);
    } catch (error) {
      assert.ok(
        error instanceof DataError,
        `${name}, ${what}, COFFER_SEED=${String(seed)}: ${String(error)}`,
      );
    }
  };
  for (let length = 0; length < good.length; length++)
    tryIt(good.subarray(0, length), `cut to ${String(length)}`);
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bad = Uint8Array.from(good);
    bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    tryIt(bad, `bit ${String(bit)}`);
  }
  for (let round = 0; round < 300; round++) {
    const bad = Uint8Array.from(good);
    const random = noise(seed + round * 7919, 16);
    for (let i = 0; i < 4; i++) bad[random.readUInt16BE(i * 4) % bad.length] = random[i * 4 + 2] ?? 0;
    tryIt(bad, `round ${String(round)}`);
    tryIt(noise(seed + round, round), `noise ${String(round)}`);
  }
}

const sampleTree: TreeEntry[] = [
  makeEntry({
    name: "a\xff\xfe",
    type: EntryType.file,
    mode: 0o644,
    mtimeSeconds: 1_700_000_000,
    mtimeNanos: 5,
    sizeBytes: 3,
    content: encode(noise(3, 32)),
    inode: 2 ** 52,
    ctimeSeconds: 1,
    ctimeNanos: 999_999_999,
    device: 64_512,
  }),
  makeEntry({
    name: "b",
    type: EntryType.directory,
    mode: 0o7777,
    mtimeSeconds: -5,
    sizeBytes: 10,
    entries: 3,
    content: encode(noise(4, 32)),
  }),
  makeEntry({ name: "c", type: EntryType.symlink, mode: 0o777, target: "../x", sizeBytes: 4 }),
];

describe("repository formats", () => {
  before(function () {
    this.timeout(60_000);
  });

  it("CBOR is what cborg writes and reads, and only the short form is taken", () => {
    for (const value of [
      0,
      1,
      23,
      24,
      255,
      256,
      65_535,
      65_536,
      2 ** 32 - 1,
      2 ** 32,
      Number.MAX_SAFE_INTEGER,
      -1,
      -24,
      -25,
      -257,
      -65_537,
      -(2 ** 40),
    ]) {
      const bytes = new CborWriter().int(value).take();
      assert.deepEqual(Buffer.from(bytes), Buffer.from(encode(value)), String(value));
      assert.equal(new CborReader(bytes).int(), value);
    }
    for (const long of [
      "1800",
      "190010",
      "1a00000100",
      "1b0000000000010000",
      "5800",
      "980100",
      "9fff",
      "5fff",
    ])
      assert.throws(
        () => {
          new CborReader(Buffer.from(long, "hex")).skip();
        },
        DataError,
        long,
      );
    assert.throws(() => new CborReader(Buffer.from("9bffffffffffffffff", "hex")).array(2 ** 53), DataError);
    let nested = Buffer.from("00", "hex");
    for (let i = 0; i < 100; i++) nested = Buffer.concat([Buffer.from("81", "hex"), nested]);
    assert.throws(() => {
      new CborReader(nested).skip();
    }, DataError);
  });

  it("trees are plain CBOR, come back as they were, and survive any bytes", () => {
    const { bytes, sizeBytes, entries } = encodeTree(sampleTree);
    assert.deepEqual(plain(decodeTree(bytes)), plain(sampleTree));
    assert.equal(sizeBytes, 13);
    assert.equal(entries, 6);
    const oracle = decode(bytes) as [number, unknown[][]];
    assert.deepEqual(
      oracle[1].map((entry) => entry.length),
      [11, 8, 6],
    );
    assert.deepEqual(Buffer.from(encode(oracle)), Buffer.from(bytes));
    attack("tree", bytes, decodeTree);
  });

  it("a tree refuses names that could leave it, disorder and duplicates", () => {
    for (const name of ["", ".", "..", "a/b", "/", "a\0", "n".repeat(256)]) {
      const entry = encodeEntry({ ...(sampleTree[2] as TreeEntry), name });
      assert.throws(() => decodeEntry(entry), DataError, JSON.stringify(name));
    }
    const tree = (names: string[]): Uint8Array => {
      const writer = new CborWriter().array(2).int(1).array(names.length);
      for (const name of names) writer.raw(encodeEntry({ ...(sampleTree[2] as TreeEntry), name }));
      return writer.take();
    };
    assert.equal(decodeTree(tree(["a", "b"])).length, 2);
    for (const names of [
      ["b", "a"],
      ["a", "a"],
    ])
      assert.throws(() => decodeTree(tree(names)), DataError);
  });

  it("a tree keeps what a later version added to an entry", () => {
    const oracle = decode(encodeEntry(sampleTree[0] as TreeEntry)) as unknown[];
    const longer = encode([...oracle, 7, [1, noise(5, 3)]]);
    const entry = decodeEntry(longer);
    assert.deepEqual(Buffer.from(encodeEntry(entry)), Buffer.from(longer));
  });

  it("content of any length needs few bytes in a folder and comes back in order", async () => {
    for (const count of [0, 1, 2, 16, 17, 4096, 4097, 70_000]) {
      const lists = new Map<string, Uint8Array>();
      const builder = new ContentBuilder({
        storeList: (plaintext) => {
          const id = cipher.id(ChunkKind.list, plaintext);
          lists.set(id.toString("hex"), plaintext);
          return Promise.resolve(id);
        },
      });
      const items: ChunkItem[] = [];
      for (let i = 0; i < count; i++)
        items.push({
          lengthBytes: 1 + (i % MAX_CHUNK_BYTES),
          id: i % 5 === 1 ? undefined : Buffer.alloc(32, i),
        });
      for (const item of items) await builder.add({ ...item });
      const content = await builder.finish();
      assert.ok(content.length <= 640, `${String(count)}: ${String(content.length)}`);
      const found: ChunkItem[] = [];
      const load = (item: ChunkItem): Promise<Uint8Array> => {
        const list = lists.get(Buffer.from(item.id ?? []).toString("hex"));
        return list?.length === item.lengthBytes
          ? Promise.resolve(list)
          : Promise.reject(new Error("no such list"));
      };
      for await (const part of contentItems(content, builder.sizeBytes, load)) found.push(...part);
      assert.equal(found.length, items.length);
      found.forEach((item, i) => {
        assert.equal(item.lengthBytes, items[i]?.lengthBytes);
        assert.deepEqual(item.id && Buffer.from(item.id), items[i]?.id);
      });
      const readAs = async (sizeBytes: number): Promise<void> => {
        for await (const part of contentItems(content, sizeBytes, load)) assert.ok(part);
      };
      // A single chunk is as long as the file, whatever the folder says: the chunk itself will tell.
      if (count > 1) await assert.rejects(readAs(builder.sizeBytes + 1), DataError);
      if (count === 16) attack("content", content, (bytes) => directItems(bytes, builder.sizeBytes));
    }
  }).timeout(60_000);

  it("names go to text and back whatever their bytes", () => {
    for (let round = 0; round < 2000; round++) {
      const bytes = noise(seed + round, 1 + (round % 40))
        .toString("latin1")
        .replace(/[/\0]/g, "x");
      assert.equal(toByteString(toText(bytes)), bytes, `COFFER_SEED=${String(seed)} round ${String(round)}`);
    }
    for (const text of ["caf\u00e9", "cafe\u0301", "\u{1f510}", "plain"])
      assert.equal(toBytes(toByteString(text)).toString("utf8"), text);
    assert.equal(formatRemotePath(parseRemotePath("a//b/./c/../d/")), "/a/b/d");
    assert.equal(formatRemotePath(parseRemotePath("/../..")), "/");
  });

  it("sealed chunks open only as what they are, and are the same every time", () => {
    const plaintext = noise(6, 1000);
    const id = cipher.id(ChunkKind.data, plaintext);
    const seal = (): Buffer => {
      const sealed = Buffer.alloc(plaintext.length + SEAL_BYTES);
      cipher.seal(ChunkKind.data, id, plaintext, sealed, 0);
      return sealed;
    };
    assert.deepEqual(seal(), seal());
    assert.deepEqual(cipher.open(ChunkKind.data, id, seal()), plaintext);
    assert.notDeepEqual(cipher.id(ChunkKind.tree, plaintext), id);
    assert.throws(() => cipher.open(ChunkKind.tree, id, seal()), DataError);
    assert.throws(() => cipher.open(ChunkKind.data, noise(7, 32), seal()), DataError);
    const others = [
      new RepositoryKeys(noise(2, 32), noise(8, 16)),
      new RepositoryKeys(noise(9, 32), repositoryId),
    ];
    for (const other of others)
      assert.throws(() => new ChunkCipher(other).open(ChunkKind.data, id, seal()), DataError);
    for (const at of [0, 1, 500, 1001, 1016]) {
      const bad = seal();
      bad[at] = (bad[at] ?? 0) ^ 1;
      assert.throws(() => cipher.open(ChunkKind.data, id, bad), DataError, String(at));
    }
  });

  it("a pack is readable without any index, and deterministic", () => {
    const build = (): ReturnType<PackBuilder["finish"]> => {
      const targetBytes = 1024 * 1024;
      const builder = new PackBuilder({
        variant: 0,
        stream: PackStream.data,
        keys,
        cipher,
        buffer: new Uint8Array(new SharedArrayBuffer(packCapacity(targetBytes))),
        targetBytes,
      });
      for (let i = 0; i < 5; i++) {
        const plaintext = noise(50 + i, 3000 * (i + 1));
        assert.ok(builder.fits(plaintext.length));
        builder.add(ChunkKind.data, cipher.id(ChunkKind.data, plaintext), plaintext);
      }
      return builder.finish();
    };
    const { bytes, id, chunks } = build();
    assert.deepEqual(build().id, id);
    const stream = readPackHeader(bytes);
    const indexBytes = readPackTrailer(bytes.subarray(-8));
    const sealed = bytes.subarray(bytes.length - 8 - indexBytes, bytes.length - 8);
    const opened = openIndex(
      keys.at(readPackEpoch(bytes)).packIndexKey,
      packIndexBinding(repositoryId, stream),
      sealed,
    );
    const found = PackedChunks.read(opened, 0, bytes.length);
    assert.equal(found.bytes.length + VARIANT_BYTES, opened.length);
    assert.deepEqual(plain([...found]), plain([...chunks]));
    assert.deepEqual(found.idOf(found.length - 1), [...found].at(-1)?.id);
    assert.equal(found.idOf(found.length), undefined);
    for (const { kind, id: chunkId, offsetBytes, sealedBytes } of found)
      cipher.open(kind, chunkId, bytes.subarray(offsetBytes, offsetBytes + sealedBytes));
    attack("pack index", opened, (bad) => PackedChunks.read(Buffer.from(bad), 0, bytes.length));
    attack("sealed pack index", sealed, (bad) =>
      openIndex(keys.at(readPackEpoch(bytes)).packIndexKey, packIndexBinding(repositoryId, stream), bad),
    );
  });

  it("an index comes back as it was, and survives any bytes", () => {
    const chunks = [0, 1, 2].map((i) => ({
      id: noise(60 + i, 32),
      kind: ChunkKind.data,
      offsetBytes: 8 + i * 100,
      sealedBytes: 100,
    }));
    const pack = { id: noise(70, 32), stream: PackStream.tree, sizeBytes: 1000, deviceMask: 5 };
    const packs = [{ ...pack, chunks: PackedChunks.of(chunks) }];
    const listed = (read: typeof packs): unknown =>
      plain(read.map((it) => ({ ...it, chunks: [...it.chunks] })));
    assert.deepEqual(listed(decodeIndex(encodeIndex(packs)) as typeof packs), plain([{ ...pack, chunks }]));
    assert.deepEqual(listed(openIndexBlob(keys, sealIndexBlob(keys, packs)) as typeof packs), listed(packs));
    attack("index", encodeIndex(packs), decodeIndex);
    attack("index blob", sealIndexBlob(keys, packs), (bytes) => openIndexBlob(keys, bytes));
  });

  it("a log entry opens in its place only", () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    const body: EntryBody = {
      writer: noise(80, 16), sequence: 0, previous: Buffer.alloc(32), lamport: 7, timeMs: 123,
      root: encodeEntry(makeEntry({ name: "", type: EntryType.directory, mode: 0o755 })),
      index: [noise(81, 32)], detail: encodeDetail({ operations: [{ op: "remove", path: [Buffer.from("x")] }], seen: [] }),
      devices: ["one"], publicKey: exportPublicKey(publicKey), name: "laptop",
    }; // prettier-ignore
    const sealed = sealEntry(keys, privateKey, body);
    const place = { keys, writer: body.writer, sequence: 0, previous: body.previous, publicKey: undefined };
    const opened = openEntry(sealed, place);
    assert.equal(opened.lamport, 7);
    assert.deepEqual(decodeDetail(opened.detail as Uint8Array).operations.length, 1);
    assert.notDeepEqual(sealEntry(keys, privateKey, body), sealed, "salted");
    const other = exportPublicKey(generateKeyPairSync("ed25519").publicKey);
    for (const wrong of [
      { sequence: 1 },
      { writer: noise(82, 16) },
      { previous: noise(83, 32) },
      { publicKey: other },
      { keys: new RepositoryKeys(noise(2, 32), noise(84, 16)) },
    ])
      assert.throws(() => openEntry(sealed, { ...place, ...wrong }), DataError);
    attack("entry", sealed, (bytes) => openEntry(bytes, place));
    attack(
      "detail",
      encodeDetail({
        operations: [{ op: "move", from: [Buffer.from("a")], to: [Buffer.from("b")] }],
        seen: [{ writer: noise(85, 16), count: 3, head: noise(86, 32) }],
      }),
      decodeDetail,
    );
  }).timeout(60_000);

  it("every operation comes back as it was, and nothing beyond its bounds is taken", () => {
    const [path, node] = [[Buffer.from("a"), Buffer.from("b")], encodeEntry(sampleTree[0] as TreeEntry)];
    const operations: Operation[] = [
      { op: "put", folder: path, node },
      { op: "mkdir", path, node },
      { op: "remove", path },
      { op: "move", from: path, to: [Buffer.from("c")] },
      { op: "set", path, node },
      { op: "set", path: [], node },
      { op: "tag", name: "v1.0_a-b", version: noise(88, 32) },
      { op: "untag", name: "x".repeat(64) },
      { op: "forget", versions: [noise(89, 32), noise(90, 32)] },
      { op: "condemn", packs: [noise(92, 32), noise(93, 32)] },
      { op: "drop", packs: [noise(92, 32)] },
      { op: "lost", device: "cam1", packs: [noise(92, 32)] },
      { op: "forget", versions: Array.from({ length: MAX_FORGOTTEN_VERSIONS }, () => noise(91, 32)) },
    ];
    const bytes = encodeDetail({ operations: operations.slice(0, -1), seen: [] });
    for (const operation of operations)
      assert.deepEqual(
        plain(decodeDetail(encodeDetail({ operations: [operation], seen: [] })).operations),
        plain([operation]),
      );
    attack("operations", bytes, decodeDetail);
    const bad: object[] = [
      { op: "set", path },
      { op: "set", path: [new Uint8Array(0)], node },
      { op: "tag", name: "", version: noise(88, 32) },
      { op: "tag", name: "-a", version: noise(88, 32) },
      { op: "tag", name: "a b", version: noise(88, 32) },
      { op: "tag", name: "x".repeat(65), version: noise(88, 32) },
      { op: "tag", name: "v1\n", version: noise(88, 32) },
      { op: "tag", name: "v1", version: noise(88, 31) },
      { op: "tag", name: "v1" },
      { op: "untag", name: 7 },
      { op: "forget", versions: [noise(89, 33)] },
      { op: "forget", versions: noise(89, 32) },
      { op: "forget", versions: Array.from({ length: MAX_FORGOTTEN_VERSIONS + 1 }, () => noise(91, 32)) },
      { op: "condemn", packs: [noise(89, 31)] },
      { op: "drop", packs: Array.from({ length: 4097 }, () => noise(91, 32)) },
      { op: "lost", packs: [noise(89, 32)] },
      { op: "other", name: "v1" },
    ];
    for (const operation of bad)
      assert.throws(() => decodeDetail(encode({ v: 1, ops: [operation], seen: [] })), DataError);
  });

  it("key slots, statements and links open with what belongs to them only, and are bounded", async () => {
    const anchor = { epoch: 0, mark: noise(94, 16) };
    const secret = slotSecret("pass\u00e9");
    const options = { secret, label: "caf\u00e9", repositoryId, createdAtMs: 1_700_000_000_000, anchor };
    const { slot, opened: pair } = await makeKeySlot(options);
    const bytes = encodeKeySlot(slot);
    const read = readKeySlot(new ByteReader(bytes));
    assert.deepEqual(plain(read), plain(slot));
    assert.deepEqual(
      await openKeySlot(read, slotSecret("passe\u0301"), repositoryId),
      pair,
      "any Unicode form",
    );
    for (const [wrong, other] of [
      [read, slotSecret("passe")],
      [{ ...read, passes: 4 }, secret],
      [{ ...read, label: "cafe" }, secret],
      [{ ...read, publicKey: noise(88, 32) }, secret],
      [read, { ...secret, kind: SlotKind.keyfile }],
    ] as const)
      assert.equal(await openKeySlot(wrong, other, repositoryId), undefined);
    attack("key slot", bytes, (bad) => {
      const { memoryKiB, passes, lanes, label } = readKeySlot(new ByteReader(bad));
      assert.ok(memoryKiB <= 2 ** 20 && passes <= 16 && lanes <= 8 && label.length <= 64);
    });

    const master = noise(2, 32);
    const epochKeys = new EpochKeys(master, repositoryId);
    const before = new EpochKeys(noise(89, 32), repositoryId);
    const statement = makeStatement({
      repositoryId,
      generation: 3,
      epoch: 1,
      slots: [slot],
      master,
      keys: epochKeys,
      previousKeys: before,
    });
    assert.deepEqual(openStatement(statement, pair, repositoryId), master);
    assert.ok(isStatementAuthentic(statement, epochKeys) && isSuccessor(statement, before));
    assert.ok(!isStatementAuthentic(statement, before) && !isSuccessor(statement, epochKeys));
    assert.throws(() => openStatement(statement, makeSlotPair(), repositoryId), DataError);
    assert.throws(() => decodeStatement(statement.bytes, noise(90, 16)), DataError);
    for (let bit = 0; bit < statement.bytes.length * 8; bit++) {
      const bad = Uint8Array.from(statement.bytes);
      bad[bit >> 3] = (bad[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.throws(() => {
        if (!isStatementAuthentic(decodeStatement(bad, repositoryId), epochKeys))
          throw new DataError("forged", "as it should be");
      }, DataError);
    }
    attack("key statement", statement.bytes, (bad) =>
      openStatement(decodeStatement(bad, repositoryId), pair, repositoryId),
    );
    const link = makeLink(repositoryId, 1, epochKeys, noise(89, 32));
    assert.deepEqual(openLink(link, epochKeys), noise(89, 32));
    assert.equal(openLink(link, before), undefined);
    attack("key link", link.bytes, (bad) => {
      const opened = openLink(decodeLink(bad, repositoryId), epochKeys);
      assert.ok(opened === undefined || Buffer.compare(bad, link.bytes) === 0);
    });
    assert.deepEqual(repositoryOfKeyLog(keyLogId(repositoryId)), repositoryId);
    assert.equal(repositoryOfKeyLog(noise(87, 32)), undefined);
  }).timeout(60_000);

  it("the largest key statement fits in an entry of a log", async () => {
    const { slot } = await makeKeySlot({
      secret: { kind: SlotKind.keyfile, bytes: noise(91, 32) },
      label: "x".repeat(MAX_LABEL_BYTES),
      repositoryId,
      createdAtMs: 1,
      anchor: { epoch: 0, mark: noise(94, 16) },
    });
    const { bytes } = makeStatement({
      repositoryId,
      generation: 1,
      epoch: 0,
      slots: Array.from({ length: MAX_SLOTS }, () => slot),
      master: noise(2, 32),
      keys: keys.current,
      previousKeys: undefined,
    });
    assert.ok(bytes.length <= MAX_ENTRY_BYTES, String(bytes.length));
  });

  it("every epoch seals chunks, indexes and entries under keys of its own, and reads those before it", () => {
    const later = new RepositoryKeys(noise(2, 32), repositoryId);
    later.addEpoch(noise(92, 32));
    const laterCipher = new ChunkCipher(later);
    const plaintext = noise(93, 1000);
    const id = cipher.id(ChunkKind.data, plaintext);
    assert.deepEqual(laterCipher.id(ChunkKind.data, plaintext), id, "equal chunks stay one");
    const seal = (by: ChunkCipher): Uint8Array => {
      const sealed = new Uint8Array(plaintext.length + SEAL_BYTES);
      by.seal(ChunkKind.data, id, plaintext, sealed, 0);
      return sealed;
    };
    assert.deepEqual(laterCipher.open(ChunkKind.data, id, seal(cipher)), plaintext);
    assert.deepEqual(laterCipher.open(ChunkKind.data, id, seal(laterCipher)), plaintext);
    assert.throws(() => cipher.open(ChunkKind.data, id, seal(laterCipher)), /epoch 1/);
    const relabelled = seal(laterCipher);
    relabelled[relabelled.length - 1] = 0;
    assert.throws(() => laterCipher.open(ChunkKind.data, id, relabelled), DataError);
    assert.deepEqual(openIndexBlob(later, sealIndexBlob(keys, [])), []);
    assert.throws(() => openIndexBlob(keys, sealIndexBlob(later, [])), /epoch 1/);
  });

  it("a recovery code has every single wrong character named by its group", () => {
    const code = makeRecoveryCode();
    assert.match(code, /^CFR1(-[0-9A-HJKMNP-TV-Z]{5}){8}$/);
    assert.equal(readRecoveryCode(`  ${code.toLowerCase().replaceAll("-", " ")} `), code);
    for (let at = 5; at < code.length; at++) {
      if (code[at] === "-") continue;
      const wrong = `${code.slice(0, at)}${code[at] === "7" ? "8" : "7"}${code.slice(at + 1)}`;
      assert.throws(() => readRecoveryCode(wrong), {
        message: `group ${String(Math.floor((at - 5) / 6) + 1)} of the recovery code is mistyped`,
      });
    }
    assert.throws(() => readRecoveryCode(code.slice(0, -6)), /has 7 groups/);
    const groups = code.split("-");
    const [a = "", b = ""] = groups.splice(1, 2);
    assert.throws(() => readRecoveryCode(["CFR1", b, a, ...groups.slice(1)].join("-")), /group 1/);
    assert.equal(isRecoveryCode("correct horse battery staple"), false);
  });
});
