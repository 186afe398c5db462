// SPDX-License-Identifier: MIT
/** Everything that an open repository consists of, put together once, and what all its commands have in common. */

import type { KeyObject } from "node:crypto";
import { join } from "node:path";
import { Refusal } from "../refusal";
import { type ByteString, formatRemotePath, parseRemotePath } from "./byte-names";
import { ChunkCache } from "./chunk-cache";
import { ChunkCipher } from "./chunk-cipher";
import { ChunkIndex } from "./chunk-index";
import { ChunkReader } from "./chunk-reader";
import { WINDOW_BYTES } from "./chunk-window";
import { Chunker } from "./chunker";
import { Committer } from "./committer";
import { IndexLoader } from "./index-loader";
import type { PushJournal } from "./journal";
import { makeWriter, openWriter, repositoryFolder, saveKeyFile } from "./key-file";
import { LocalState } from "./local-state";
import { LogBook } from "./log-book";
import { MergedState } from "./merged-state";
import { PackUploader } from "./pack-uploader";
import type { OpenOptions } from "./repository-api";
import type { RepositoryKeys } from "./repository-keys";
import { EntryType, type TreeEntry } from "./tree";
import { TreeEditor, collision } from "./tree-edit";
import { TreeStore } from "./tree-store";
import { type Unlocked, storeKeySlots } from "./unlock";

const MIN_PACK_BYTES = 1024 * 1024;
const MAX_PACK_BYTES = 16 * 1024 * 1024;

export class RepositoryParts {
  readonly options: OpenOptions;
  readonly keys: RepositoryKeys;
  /** Where this computer keeps what it knows of the repository. */
  readonly folder: string;
  readonly onWarning: (text: string) => void;
  readonly cipher: ChunkCipher;
  readonly index = new ChunkIndex();
  readonly cache: ChunkCache;
  readonly logs: LogBook;
  readonly reader: ChunkReader;
  readonly chunker: Chunker;
  readonly trees: TreeStore;
  readonly state: MergedState;
  readonly #unlocked: Unlocked;
  readonly #local: LocalState;
  readonly #editor: TreeEditor;
  readonly #indexLoader: IndexLoader;
  #writer: { id: Uint8Array; signingKey: KeyObject } | undefined;
  #packBytes: number | undefined;

  constructor(options: OpenOptions, unlocked: Unlocked) {
    const { devices } = options;
    const { keys } = unlocked;
    this.options = options;
    this.#unlocked = unlocked;
    this.keys = keys;
    this.folder = repositoryFolder(options.home);
    const onWarning = options.onWarning ?? ((): void => undefined);
    this.onWarning = onWarning;
    const cacheFolder = join(this.folder, "cache");
    this.cipher = new ChunkCipher(keys);
    this.cache = new ChunkCache(cacheFolder);
    this.#local = new LocalState({ folder: this.folder, keys });
    this.logs = new LogBook({ keys, folder: this.folder, state: this.#local, onWarning });
    const { cipher, index, cache, logs } = this;
    this.reader = new ChunkReader({ devices, index, cipher, cache, onWarning });
    this.chunker = new Chunker({ gearKey: keys.gearKey, capacityBytes: WINDOW_BYTES });
    this.trees = new TreeStore({ reader: this.reader, cipher, chunker: this.chunker });
    this.#editor = new TreeEditor(this.trees);
    const { reader, trees } = this;
    this.state = new MergedState({ logs, reader, trees, editor: this.#editor, onWarning });
    const forgotten = new Set(options.forgetDevices ?? []);
    this.#indexLoader = new IndexLoader({
      keys,
      index,
      devices,
      folder: join(cacheFolder, "index"),
      forgotten,
      onWarning,
    });
  }

  async load(): Promise<void> {
    if (!(await this.#local.load()))
      this.onWarning(
        "this computer's memory of the devices' logs was damaged; what they took back since cannot be told",
      );
    for (const device of this.options.forgetDevices ?? []) this.#local.forgetDevice(device);
    this.logs.load();
    await this.refresh();
  }

  /** Takes up what the devices have gained. Refuses with `logTampered` what does not fit with what was seen before. */
  async refresh(): Promise<void> {
    this.options.signal?.throwIfAborted();
    for (const device of this.options.devices) await this.logs.sync(device);
    await this.#indexLoader.load(this.logs.logs.values());
    for (const device of this.options.devices) await this.logs.checkSeen(device, this.state.detail);
    await this.state.compute();
    await this.#local.save();
  }

  async close(): Promise<void> {
    await this.#local.save();
    this.cache.close();
    this.keys.zero();
  }

  async uploader(journal: PushJournal | undefined): Promise<PackUploader> {
    const targets = this.options.devices;
    if (targets.length === 0)
      throw new Refusal("usage", "no device to store on", { hint: "Name one with --device." });
    this.#writer ??= await this.#loadWriter();
    this.#packBytes ??= Math.min(
      ...(await Promise.all(targets.map(async (target) => (await target.status()).preferredBlobBytes))),
    );
    return new PackUploader({
      keys: this.keys,
      cipher: this.cipher,
      index: this.index,
      targets,
      targetBytes: Math.min(MAX_PACK_BYTES, Math.max(MIN_PACK_BYTES, this.#packBytes)),
      ...(journal ? { journal } : {}),
      onWarning: this.onWarning,
      onSealed: (_kind, id, sealed) => {
        this.cache.put(id, sealed);
      },
    });
  }

  committer(): Committer {
    if (!this.#writer) throw new Error("committer: before the uploader");
    return new Committer({
      keys: this.keys,
      cipher: this.cipher,
      logs: this.logs,
      state: this.state,
      editor: this.#editor,
      trees: this.trees,
      indexLoader: this.#indexLoader,
      targets: this.options.devices,
      writer: this.#writer,
      computer: this.options.computer,
      folder: this.folder,
      refresh: () => this.refresh(),
      prepare: (device) => storeKeySlots(device, this.#unlocked.file),
    });
  }

  /** After an entry was written. */
  async settle(): Promise<void> {
    this.cache.flush();
    await this.#indexLoader.load(this.logs.logs.values());
    await this.#local.save();
  }

  isEverythingOnAllDevices(): boolean {
    const names = this.options.devices.map((device) => device.name);
    return this.index.packs.every((pack) => names.every((name) => pack.devices.has(name)));
  }

  async find(parts: readonly ByteString[]): Promise<TreeEntry | undefined> {
    return this.trees.find(this.state.root, parts);
  }

  async require(path: string): Promise<TreeEntry> {
    const parts = parseRemotePath(path);
    const entry = await this.find(parts);
    if (!entry)
      throw new Refusal("pathNotFound", `there is no ${formatRemotePath(parts)} in the repository`, {
        hint: "See what there is with `coffer ls`.",
      });
    return entry;
  }

  async requireFolder(parts: readonly ByteString[]): Promise<TreeEntry> {
    const entry = await this.require(formatRemotePath(parts));
    if (entry.type !== EntryType.directory)
      throw new Refusal("wrongKind", `${formatRemotePath(parts)} is no folder`);
    return entry;
  }

  /** The folder at `parts`, or undefined when it can be made; refuses when a file is in the way. */
  async targetFolder(parts: readonly ByteString[]): Promise<TreeEntry | undefined> {
    for (let depth = 1; depth <= parts.length; depth++) {
      const path = parts.slice(0, depth);
      const entry = await this.find(path);
      if (!entry) return undefined;
      if (entry.type !== EntryType.directory) throw collision(entry, path);
    }
    return this.find(parts);
  }

  /** A computer that recovered the repository by passphrase gets a log of its own when it first writes. */
  async #loadWriter(): Promise<{ id: Uint8Array; signingKey: KeyObject }> {
    const { file } = this.#unlocked;
    if (file.writer) return { id: file.writer.id, signingKey: openWriter(this.keys, file.writer) };
    const { id, sealedKey, signingKey } = makeWriter(this.keys);
    file.writer = { id, sealedKey };
    await saveKeyFile(this.options.home, file);
    return { id, signingKey };
  }
}
