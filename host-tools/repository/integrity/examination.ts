// SPDX-License-Identifier: MIT
/**
 * Looks at everything that can be looked at without downloading files: logs, what is stored where, and whether all that
 * the versions refer to is among it. On top of that, and of what was found damaged before, reads as many packs as asked.
 * `verify` reports what comes of it, `repair` works on it. docs/repository.md "What verify proves".
 */

import { ChunkReader } from "../chunk-reader";
import type { Version } from "../history";
import type { Phase, Progress } from "../repository-api";
import type { RepositoryParts } from "../repository-parts";
import { TreeStore } from "../tree-store";
import { type DeviceBlobs, checkBlobs, indexBlobsOn } from "./blob-check";
import { type PackToRead, checkPacks, choosePacks } from "./data-check";
import { ChunkPlaces, DamageMap, type IndexBlobDamage, type LogDamage } from "./damage";
import { FoundDamage } from "./found-damage";
import { readIndexBlob } from "./index-blob-check";
import { checkLogs } from "./log-check";
import { ReferenceWalk } from "./reference-walk";

export interface ExaminedDevice extends DeviceBlobs {
  /** Downloaded and checked. */
  readPacks: number;
  readBytes: number;
}

export class Examination {
  readonly damage = new DamageMap();
  readonly indexDamage: IndexBlobDamage[] = [];
  readonly devices: ExaminedDevice[] = [];
  readonly places: ChunkPlaces;
  /** Says nothing about what it meets: everything is reported together. */
  readonly reader: ChunkReader;
  readonly trees: TreeStore;
  readonly found: FoundDamage;
  logDamage: LogDamage[] = [];
  /** Newest first. */
  versions: Version[] = [];
  readonly walk: ReferenceWalk;
  readonly #parts: RepositoryParts;
  readonly #onProgress: ((progress: Progress) => void) | undefined;
  #packBytes = 0;
  #readBytes = 0;
  #doing = "";

  static async run(
    parts: RepositoryParts,
    options: { readPercent: number; onProgress?: ((progress: Progress) => void) | undefined },
  ): Promise<Examination> {
    await parts.refresh();
    const examination = new Examination(parts, await FoundDamage.load(parts.folder), options.onProgress);
    await examination.#run(options.readPercent);
    return examination;
  }

  private constructor(
    parts: RepositoryParts,
    found: FoundDamage,
    onProgress: ((progress: Progress) => void) | undefined,
  ) {
    const { index, cipher, cache, chunker, options } = parts;
    const { devices, signal } = options;
    this.#parts = parts;
    this.found = found;
    this.#onProgress = onProgress;
    const names = devices.map((device) => device.name);
    this.places = new ChunkPlaces({ index, devices: names, damage: this.damage });
    this.reader = new ChunkReader({ devices, index, cipher, cache, onWarning: () => undefined });
    this.trees = new TreeStore({ reader: this.reader, cipher, chunker });
    // What several computers wrote apart and nobody has merged with an entry yet: its folders are nowhere but here.
    for (const [id, chunk] of parts.trees.pending) this.trees.pending.set(id, chunk);
    const { reader, trees } = this;
    const onFolder = (): void => {
      this.#tell("scan");
    };
    this.walk = new ReferenceWalk({ devices: names, index, trees, reader, onProgress: onFolder, signal });
  }

  /** Nothing that any version needs is damaged or missing, as far as was looked. */
  get isWhole(): boolean {
    const { broken, undecodable, nowhere, unknown } = this.walk;
    return this.damage.size + broken + undecodable + nowhere + unknown.size === 0;
  }

  /** Bytes that came from the devices. */
  get receivedBytes(): number {
    return this.reader.receivedBytes + this.#readBytes;
  }

  async #run(readPercent: number): Promise<void> {
    const { devices } = this.#parts.options;
    this.#doing = "logs";
    this.#tell("scan");
    this.logDamage = await checkLogs(this.#parts);
    for (const device of devices) {
      this.#doing = device.name;
      this.#tell("scan");
      const blobs = await checkBlobs(this.#parts, device, this.damage, this.indexDamage);
      this.devices.push({ ...blobs, readPacks: 0, readBytes: 0 });
    }
    await this.#readKnown();
    this.versions = await this.#parts.history.kept();
    for (const log of this.#parts.logs.logs.values())
      for (const body of log.uncovered) await this.walk.detail(body);
    for (const { root, body } of this.versions) {
      await this.walk.detail(body);
      await this.walk.folder(root);
    }
    await this.walk.folder(this.#parts.state.root);
    await this.#readUnread();
    if (readPercent > 0) {
      await this.#readIndexBlobs();
      await this.#read(
        devices.flatMap((device) => choosePacks(this.#parts, device, this.damage, readPercent)),
      );
    }
    this.#parts.cache.flush();
    for (const { name } of devices) await this.found.set(name, this.#foundOn(name));
  }

  /** What was found damaged before, and what may be no more than shortened: chunk by chunk. */
  async #readKnown(): Promise<void> {
    const { index, options } = this.#parts;
    await this.#read(
      options.devices.flatMap((device) =>
        [...index.packs()]
          .filter((pack) => pack.devices.has(device.name))
          .filter((pack) => {
            const damage = this.damage.get(device.name, pack);
            return damage ? damage.kind === "shortened" : this.found.has(device.name, pack.id);
          })
          .map((pack) => ({ device, pack })),
      ),
    );
    for (const device of options.devices)
      for (const id of indexBlobsOn(this.#parts, device.name))
        if (this.found.has(device.name, id)) await this.#readIndexBlob(device, id);
  }

  /** Packs with chunks that are needed to go on and did not open: everything said of them comes from reading them. */
  async #readUnread(): Promise<void> {
    const packs = new Map<string, PackToRead>();
    for (const { kind, id } of this.walk.unread)
      for (const { pack } of this.#parts.index.locations(kind, id)) {
        for (const device of this.#parts.options.devices)
          if (pack.devices.has(device.name) && !this.damage.get(device.name, pack))
            packs.set(`${device.name} ${Buffer.from(pack.id).toString("hex")}`, { device, pack });
      }
    await this.#read([...packs.values()]);
  }

  async #read(packs: readonly PackToRead[]): Promise<void> {
    this.#packBytes += packs.reduce((sum, { pack }) => sum + pack.sizeBytes, 0);
    await checkPacks({
      parts: this.#parts,
      packs,
      damage: this.damage,
      onReceived: (bytes) => {
        this.#readBytes += bytes;
        this.#tell("transfer");
      },
      onPack: ({ device, pack }) => {
        this.#doing = device.name;
        const examined = this.devices.find(({ name }) => name === device.name);
        if (!examined) return;
        examined.readPacks++;
        examined.readBytes += pack.sizeBytes;
      },
    });
  }

  async #readIndexBlobs(): Promise<void> {
    for (const device of this.#parts.options.devices)
      for (const id of indexBlobsOn(this.#parts, device.name)) await this.#readIndexBlob(device, id);
  }

  async #readIndexBlob(device: PackToRead["device"], id: Uint8Array): Promise<void> {
    this.#parts.options.signal?.throwIfAborted();
    if (this.indexDamage.some((known) => known.device === device.name && Buffer.compare(known.id, id) === 0))
      return;
    const read = await readIndexBlob(device, id);
    if ("damage" in read) this.indexDamage.push(read.damage);
    else this.#readBytes += read.blob.length;
  }

  /** What only reading tells: the rest is found again without. */
  #foundOn(device: string): Uint8Array[] {
    return [
      ...this.damage.all().flatMap((damage) => {
        return damage.device === device && damage.kind !== "missing" ? [damage.pack.id] : [];
      }),
      ...this.indexDamage.flatMap((damage) => {
        return damage.device === device && damage.kind !== "missing" ? [damage.id] : [];
      }),
    ];
  }

  #tell(phase: Phase): void {
    this.#onProgress?.({
      phase,
      filesDone: this.walk.files,
      filesTotal: this.walk.files,
      bytesDone: this.#readBytes,
      bytesTotal: this.#packBytes,
      isTotalFinal: false,
      transferredBytes: this.receivedBytes,
      path: this.#doing,
    });
  }
}
