// SPDX-License-Identifier: MIT
/**
 * A reader of repositories written from docs/repository.md alone: it shares nothing with the code beside it, so that where
 * both understand the same bytes, the document is what says how. It holds everything in memory and is made for small
 * repositories. Merging concurrent heads ("Several writers") is not in it: `heads` has one entry when one has seen
 * all others, and its root is the present state; with more than one, each root is what that writer knew, and the state is
 * their merge.
 */

import {
  Refused,
  asArray,
  asBytes,
  asMap,
  asText,
  check,
  checkVersion,
  decodeCbor,
  hex,
  sha256,
} from "./second-reader-bytes";
import { openKeys } from "./second-reader-keys";
import type { DeviceContents, Keys, Secret } from "./second-reader-keys";
import { type Checkpoint, checkBelieved, readCheckpoint } from "./second-reader-checkpoint";
import { checkSeen, compareEntries, parsePoints, readLogs } from "./second-reader-log";
import type { Entry, EntryPlace, LogPoint } from "./second-reader-log";
import { ChunkStore, chunkKind, openIndexBlob, parseIndex, parseNode, readPack } from "./second-reader-store";
import type { IndexedPack, PackedChunk, TreeNode } from "./second-reader-store";

export { Refused } from "./second-reader-bytes";
export type { DeviceContents, Secret } from "./second-reader-keys";
export { textOf } from "./second-reader-store";
export type { PackedChunk, TreeNode } from "./second-reader-store";

/** A pack as all entries together tell it. */
export interface KnownPack {
  readonly chunks: readonly PackedChunk[];
  readonly size: number;
  /** Names of devices that have it. */
  readonly devices: Set<string>;
}

export interface Version {
  readonly id: string;
  readonly root: TreeNode;
  readonly isForgotten: boolean;
}

interface Operation {
  readonly op: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What an entry says, or a checkpoint in its place. */
interface Said extends EntryPlace {
  readonly operations: readonly Operation[];
  readonly index: Entry["index"];
  readonly devices: readonly string[];
}

interface ReadEntry extends Entry {
  readonly seen: readonly LogPoint[];
  readonly operations: readonly Operation[];
}

const treeOperations = ["put", "mkdir", "remove", "move", "set"];
const otherOperations = ["condemn", "drop", "lost", "tag", "untag", "forget"];

export class SecondReader {
  readonly packs = new Map<string, KnownPack>();
  /** Ids of packs, and of blobs that no index names. */
  readonly condemned = new Set<string>();
  readonly versions: readonly Version[];
  /** Names of versions: their ids by name. */
  readonly tags: ReadonlyMap<string, string>;
  /** The roots of the entries that no other entry has seen. */
  readonly heads: readonly TreeNode[];
  readonly #devices: readonly DeviceContents[];
  readonly #keys: Keys;
  readonly #checkpoint: Checkpoint | undefined;
  /** Those that the checkpoint does not stand for. */
  readonly #entries: readonly ReadEntry[];
  /** By all entries, in their common order. */
  readonly #said: readonly Said[];
  #store: ChunkStore;

  private constructor(devices: readonly DeviceContents[], keys: Keys) {
    this.#devices = devices;
    this.#keys = keys;
    const checkpoint = readCheckpoint(devices, keys, (id) => this.#blob(id));
    this.#checkpoint = checkpoint;
    const logs = readLogs(devices, keys, checkpoint?.logs);
    if (checkpoint) checkBelieved(checkpoint, logs);
    const entries = logs.entries.filter((entry) => !this.#isCovered(entry));
    const saidByCheckpoint = checkpoint ? [sayingOf(checkpoint)] : [];
    this.#store = this.#storeOfAllIndexes([...saidByCheckpoint, ...entries]);
    this.#entries = entries.map((entry) => this.#readDetail(entry));
    for (const { seen } of this.#entries) checkSeen(seen, logs, checkpoint?.logs ?? new Map());
    this.#said = [...saidByCheckpoint, ...this.#entries].sort(compareEntries);
    for (const said of this.#said) this.#followPacks(said);
    this.#store = new ChunkStore(keys);
    for (const [id, pack] of this.packs) this.#store.add(pack.chunks, () => this.#blob(id, pack.devices));
    this.tags = this.#readTags();
    this.versions = this.#readVersions();
    this.heads = this.#findHeads(logs.entries).map(({ root }) => parseNode(decodeCbor(root)));
  }

  static async open(devices: readonly DeviceContents[], secret: Secret): Promise<SecondReader> {
    await ChunkStore.isReady;
    return new SecondReader(devices, await openKeys(devices, secret));
  }

  /** Everything below a folder, folders before what is in them. */
  *walk(
    folder: TreeNode,
    path: readonly Buffer[] = [],
  ): Generator<{ path: readonly Buffer[]; node: TreeNode }> {
    let [bytes, entries] = [0, 0];
    for (const node of this.#store.folder(folder)) {
      const below = [...path, node.name];
      yield { path: below, node };
      if (node.type === "folder") yield* this.walk(node, below);
      bytes += node.size;
      entries += 1 + node.entriesBelow;
    }
    check(
      bytes === folder.size && entries === folder.entriesBelow,
      "a folder holds another number of bytes or entries",
    );
  }

  read(file: TreeNode): Buffer {
    return this.#store.file(file);
  }

  /** The chunks of all packs on a device by the packs' own indexes, with no help from any entry. */
  packsAlone(device: DeviceContents): Map<string, readonly PackedChunk[]> {
    const packs = new Map<string, readonly PackedChunk[]>();
    for (const [id, blob] of device.blobs) {
      const chunks = readPack(blob, this.#keys);
      if (chunks !== undefined) packs.set(id, chunks);
    }
    return packs;
  }

  #blob(id: string, devices?: ReadonlySet<string>): Buffer | undefined {
    const holders = this.#devices.filter(({ name }) => devices?.has(name) ?? true);
    const blobs = holders.flatMap((holder) => holder.blobs.get(id) ?? []);
    const good = blobs.find((bytes) => hex(sha256(bytes)) === id);
    check(good !== undefined || blobs.length === 0, `blob ${id} is damaged`);
    return good;
  }

  #indexOf(entry: Pick<Said, "index">): IndexedPack[] {
    if (Buffer.isBuffer(entry.index)) return parseIndex(entry.index);
    return entry.index.flatMap((id) => {
      const blob = this.#blob(hex(id));
      if (blob === undefined) throw new Refused("missing", `index blob ${hex(id)} is missing`);
      return parseIndex(openIndexBlob(blob, this.#keys));
    });
  }

  /** Enough to read details of entries, which say what became of packs. */
  #storeOfAllIndexes(entries: readonly Pick<Said, "index">[]): ChunkStore {
    const store = new ChunkStore(this.#keys);
    for (const pack of entries.flatMap((entry) => this.#indexOf(entry)))
      store.add(pack.chunks, () => this.#blob(pack.id));
    return store;
  }

  #detailBytes({ detail }: Entry): Buffer {
    if (Buffer.isBuffer(detail)) return detail;
    const [content, size] = detail;
    const bytes = this.#store.content(decodeCbor(asBytes(content)), chunkKind.detail);
    check(bytes.length === size, "the detail of an entry has another length");
    return bytes;
  }

  #readDetail(entry: Entry): ReadEntry {
    const fields = asMap(decodeCbor(this.#detailBytes(entry)));
    checkVersion(fields["v"], 1, "the detail of an entry");
    const operations = asArray(fields["ops"]).map(asMap);
    return {
      ...entry,
      seen: parsePoints(fields["seen"]),
      operations: operations.map((one) => {
        const op = asText(one["op"]);
        if (treeOperations.includes(op) || otherOperations.includes(op)) return { op, fields: one };
        throw new Refused("newerVersion", `an operation "${op}"`);
      }),
    };
  }

  /** Entries come in their common order; of one entry, what it takes away comes before what its index brings. */
  #followPacks(entry: Said): void {
    for (const { op, fields } of entry.operations) {
      if (op !== "condemn" && op !== "drop" && op !== "lost") continue;
      for (const id of asArray(fields["packs"]).map((bytes) => hex(asBytes(bytes, 32)))) {
        if (op === "condemn") this.condemned.add(id);
        else if (op === "lost") this.packs.get(id)?.devices.delete(asText(fields["device"]));
        else for (const known of [this.packs, this.condemned]) known.delete(id);
      }
    }
    for (const { id, chunks, size, devices } of this.#indexOf(entry)) {
      const pack = this.packs.get(id) ?? { chunks, size, devices: new Set<string>() };
      entry.devices
        .filter((_, bit) => (devices & (2 ** bit)) !== 0)
        .forEach((name) => pack.devices.add(name));
      this.packs.set(id, pack);
    }
  }

  #readTags(): Map<string, string> {
    const tags = new Map<string, string>();
    for (const { op, fields } of this.#said.flatMap((said) => said.operations)) {
      if (op === "tag") tags.set(asText(fields["name"]), hex(asBytes(fields["version"], 32)));
      else if (op === "untag") tags.delete(asText(fields["name"]));
    }
    return tags;
  }

  #readVersions(): Version[] {
    const forgets = this.#said.flatMap((said) => said.operations).filter(({ op }) => op === "forget");
    const named = forgets.flatMap(({ fields }) =>
      asArray(fields["versions"]).map((id) => hex(asBytes(id, 32))),
    );
    const tagged = new Set(this.tags.values());
    const forgotten = new Set(named.filter((id) => !tagged.has(id)));
    const made = this.#entries.filter(({ operations }) =>
      operations.some(({ op }) => treeOperations.includes(op)),
    );
    const known = [
      ...(this.#checkpoint?.versions ?? []),
      ...made.map(({ hash, root }) => ({ id: hex(hash), root })),
    ];
    return known.map(({ id, root }) => ({
      id,
      root: parseNode(decodeCbor(root)),
      isForgotten: forgotten.has(id),
    }));
  }

  /** The cut has seen everything that its checkpoint stands for. */
  #findHeads(entries: readonly Entry[]): Entry[] {
    const isSeen = (entry: Entry, other: ReadEntry): boolean =>
      entry.writer === other.writer
        ? other.sequence > entry.sequence
        : other.seen.some((point) => point.writer === entry.writer && point.count > entry.sequence);
    const isUnder = (entry: Entry): boolean =>
      this.#isCovered(entry) && hex(entry.hash) !== hex(this.#checkpoint?.cut.hash ?? entry.hash);
    return entries.filter((entry) => !isUnder(entry) && !this.#entries.some((other) => isSeen(entry, other)));
  }

  #isCovered({ writer, sequence }: Entry): boolean {
    return sequence < (this.#checkpoint?.logs.get(writer)?.covered ?? 0);
  }
}

/** As if the cut's entry said what the checkpoint says. */
function sayingOf({ cut, devices, index, tags, held, condemned, lost }: Checkpoint): Said {
  const { lamport, writer, sequence } = cut;
  const operations = [
    { op: "condemn", fields: { packs: condemned } },
    ...lost.map(([device, pack]) => ({ op: "lost", fields: { device, packs: [pack] } })),
    { op: "forget", fields: { versions: held } },
    ...tags.map(([name, version]) => ({ op: "tag", fields: { name, version } })),
  ];
  return { lamport, writer, sequence, operations, index: [...index], devices };
}
