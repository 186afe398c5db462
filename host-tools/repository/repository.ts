// SPDX-License-Identifier: MIT
/** An open repository: what the commands see of it. docs/repository.md describes what it stores. */

import type { KeyObject } from "node:crypto";
import { join } from "node:path";
import { Refusal } from "../refusal";
import { type ByteString, formatRemotePath, parseRemotePath, toBytes, toText } from "./byte-names";
import { ChunkCache } from "./chunk-cache";
import { ChunkCipher } from "./chunk-cipher";
import { ChunkFetcher } from "./chunk-fetcher";
import { ChunkIndex } from "./chunk-index";
import { ChunkReader } from "./chunk-reader";
import { WINDOW_BYTES } from "./chunk-window";
import { Chunker } from "./chunker";
import { Committer } from "./committer";
import { FileStorer } from "./file-storer";
import { IndexLoader } from "./index-loader";
import { PushJournal } from "./journal";
import { makeWriter, openWriter, repositoryFolder, saveKeyFile } from "./key-file";
import { LocalScan } from "./local-scan";
import { LocalState } from "./local-state";
import { LogBook } from "./log-book";
import type { Operation } from "./log-entry";
import { MergedState } from "./merged-state";
import { PackUploader } from "./pack-uploader";
import { ProgressMeter } from "./progress-meter";
import { TreePuller } from "./pull";
import { TreePusher, pushRoots } from "./push";
import { toRemoteNode } from "./remote-node";
import type {
  OpenOptions,
  PullOptions,
  PullReport,
  PushOptions,
  PushReport,
  RemoteNode,
  RepositoryUsage,
  WalkedNode,
} from "./repository-api";
import type { RepositoryKeys } from "./repository-keys";
import { EntryType, type TreeEntry, encodeEntry, makeEntry } from "./tree";
import { TreeEditor, collision, newFolder } from "./tree-edit";
import { TreeStore } from "./tree-store";
import { type Unlocked, storeKeySlots, unlock } from "./unlock";

export type * from "./repository-api";

const MIN_PACK_BYTES = 1024 * 1024;
const MAX_PACK_BYTES = 16 * 1024 * 1024;

export class Repository {
  readonly #options: OpenOptions;
  readonly #unlocked: Unlocked;
  readonly #keys: RepositoryKeys;
  readonly #folder: string;
  readonly #onWarning: (text: string) => void;
  readonly #cipher: ChunkCipher;
  readonly #index = new ChunkIndex();
  readonly #cache: ChunkCache;
  readonly #local: LocalState;
  readonly #logs: LogBook;
  readonly #reader: ChunkReader;
  readonly #chunker: Chunker;
  readonly #trees: TreeStore;
  readonly #editor: TreeEditor;
  readonly #state: MergedState;
  readonly #indexLoader: IndexLoader;
  #writer: { id: Uint8Array; signingKey: KeyObject } | undefined;
  #packBytes: number | undefined;

  static async open(options: OpenOptions): Promise<Repository> {
    const repository = new Repository(
      options,
      await unlock(options.home, options.passphrase, options.devices),
    );
    await repository.#load();
    return repository;
  }

  private constructor(options: OpenOptions, unlocked: Unlocked) {
    const { devices } = options;
    const { keys } = unlocked;
    this.#options = options;
    this.#unlocked = unlocked;
    this.#keys = keys;
    this.#folder = repositoryFolder(options.home);
    this.#onWarning = options.onWarning ?? ((): void => undefined);
    const onWarning = this.#onWarning;
    const cacheFolder = join(this.#folder, "cache");
    this.#cipher = new ChunkCipher(keys);
    this.#cache = new ChunkCache(cacheFolder);
    this.#local = new LocalState({ folder: this.#folder, keys });
    this.#logs = new LogBook({ keys, folder: this.#folder, state: this.#local, onWarning });
    this.#reader = new ChunkReader({
      devices,
      index: this.#index,
      cipher: this.#cipher,
      cache: this.#cache,
      onWarning,
    });
    this.#chunker = new Chunker({ gearKey: keys.gearKey, capacityBytes: WINDOW_BYTES });
    this.#trees = new TreeStore({ reader: this.#reader, cipher: this.#cipher, chunker: this.#chunker });
    this.#editor = new TreeEditor(this.#trees);
    this.#state = new MergedState({ logs: this.#logs, reader: this.#reader, editor: this.#editor });
    this.#indexLoader = new IndexLoader({
      keys,
      index: this.#index,
      devices,
      folder: join(cacheFolder, "index"),
      onWarning,
    });
  }

  get id(): string {
    return Buffer.from(this.#keys.repositoryId).toString("hex");
  }

  async #load(): Promise<void> {
    if (!(await this.#local.load()))
      this.#onWarning(
        "this computer's memory of the devices' logs was damaged; what they took back since cannot be told",
      );
    this.#logs.load();
    await this.refresh();
  }

  /** Takes up what the devices have gained. Refuses with `logTampered` what does not fit with what was seen before. */
  async refresh(): Promise<void> {
    this.#options.signal?.throwIfAborted();
    for (const device of this.#options.devices) await this.#logs.sync(device);
    await this.#indexLoader.load(this.#logs.logs.values());
    for (const device of this.#options.devices) await this.#logs.checkSeen(device, this.#state.detail);
    await this.#state.compute();
    await this.#local.save();
  }

  /** undefined when there is nothing at `path`. */
  async stat(path: string): Promise<RemoteNode | undefined> {
    const entry = await this.#find(parseRemotePath(path));
    return entry && toRemoteNode(entry);
  }

  /** What is in a folder, by name; of a file or link itself. */
  async list(path: string): Promise<RemoteNode[]> {
    const entry = await this.#require(path);
    if (entry.type !== EntryType.directory) return [toRemoteNode(entry)];
    return (await this.#trees.load(entry)).map(toRemoteNode);
  }

  /** The node at `path` and everything below, parents first. */
  async *walk(path: string): AsyncGenerator<WalkedNode> {
    const parts = parseRemotePath(path);
    yield* this.#walk(await this.#require(path), parts.length === 0 ? "" : formatRemotePath(parts));
  }

  async *#walk(entry: TreeEntry, path: string): AsyncGenerator<WalkedNode> {
    yield { ...toRemoteNode(entry), path: path === "" ? "/" : path };
    if (entry.type !== EntryType.directory) return;
    for (const child of await this.#trees.load(entry))
      yield* this.#walk(child, `${path}/${toText(child.name)}`);
  }

  async push(options: PushOptions): Promise<PushReport> {
    const { sources, to, force = false, onProgress } = options;
    const started = performance.now();
    const roots = pushRoots(sources);
    const folder = parseRemotePath(to);
    await this.refresh();
    const target = await this.#targetFolder(folder);
    const { journal, left } = PushJournal.open(this.#folder);
    const uploader = await this.#uploader(journal);
    const scan = new LocalScan(roots);
    const meter = new ProgressMeter({
      onProgress,
      totals: () => ({ files: scan.files, bytes: scan.bytes, isFinal: scan.isComplete }),
      transferred: () => uploader.sentBytes,
    });
    const { signal } = this.#options;
    const files = new FileStorer({
      cipher: this.#cipher,
      chunker: this.#chunker,
      uploader,
      journal,
      known: left.files,
      onBytes: (bytes) => {
        meter.addBytes(bytes);
      },
      signal,
    });
    const pusher = new TreePusher({
      store: this.#trees,
      uploader,
      files,
      mayReuse: !force,
      areTargetsEqual: this.#isEverythingOnAllDevices(),
      folder,
      onWarning: this.#onWarning,
      onFile: (path, unchangedBytes) => {
        meter.file(path, unchangedBytes);
      },
      signal,
    });
    try {
      await uploader.resume(left.packs);
      meter.phase = "transfer";
      const pushed = await pusher.push(scan, target ? await this.#trees.load(target) : []);
      meter.phase = "commit";
      const operations = pushed.nodes.map((node): Operation => ({
        op: "put",
        folder: folder.map(toBytes),
        node: encodeEntry(node),
      }));
      const isChanged = await this.#committer().commit(operations, [folder], uploader);
      journal.finish();
      await this.#afterWrite();
      meter.finish();
      const { nodes: _, ...counts } = pushed;
      return {
        ...counts,
        hashedBytes: files.hashedBytes,
        newChunks: uploader.newChunks,
        storedBytes: uploader.storedBytes,
        sentBytes: uploader.sentBytes,
        isChanged,
        seconds: (performance.now() - started) / 1000,
      };
    } catch (error) {
      await uploader.abandon();
      journal.close();
      this.#cache.flush();
      throw error;
    } finally {
      scan.close();
    }
  }

  async pull(options: PullOptions): Promise<PullReport> {
    const { remote, to, overwrite = "always", onProgress } = options;
    const started = performance.now();
    const entry = await this.#require(remote);
    const isFolder = entry.type === EntryType.directory;
    const { signal } = this.#options;
    const fetcher = new ChunkFetcher({
      index: this.#index,
      cipher: this.#cipher,
      reader: this.#reader,
      onReceived: () => {
        meter.update();
      },
      signal,
    });
    const receivedBefore = this.#reader.receivedBytes;
    const received = (): number => fetcher.receivedBytes + this.#reader.receivedBytes - receivedBefore;
    const meter: ProgressMeter = new ProgressMeter({
      onProgress,
      totals: () => ({ files: isFolder ? entry.entries + 1 : 1, bytes: entry.sizeBytes, isFinal: true }),
      transferred: received,
    });
    meter.phase = "transfer";
    const puller: TreePuller = new TreePuller({
      trees: this.#trees,
      fetcher,
      overwrite,
      onEntry: (path) => {
        meter.setBytes(puller.result.bytes);
        meter.file(path, 0);
      },
      signal,
    });
    const counts = await puller.pull(entry, to);
    this.#cache.flush();
    meter.finish();
    return { ...counts, receivedBytes: received(), seconds: (performance.now() - started) / 1000 };
  }

  async makeDirectory(path: string, options: { parents?: boolean } = {}): Promise<void> {
    const parts = parseRemotePath(path);
    const name = parts.at(-1);
    const present = await this.#find(parts);
    if (present?.type === EntryType.directory && options.parents === true) return;
    if (name === undefined || present)
      throw new Refusal("nameCollision", `${formatRemotePath(parts)} already exists`, {
        hint: "Choose another name.",
      });
    const parent = parts.slice(0, -1);
    if (options.parents === true) await this.#targetFolder(parent);
    else await this.#requireFolder(parent);
    const nowMs = Date.now();
    const node = makeEntry({
      ...newFolder(name, undefined),
      mtimeSeconds: Math.floor(nowMs / 1000),
      mtimeNanos: (nowMs % 1000) * 1_000_000,
    });
    await this.#change([{ op: "mkdir", path: parts.map(toBytes), node: encodeEntry(node) }]);
  }

  /** Only an empty folder. */
  async removeDirectory(path: string): Promise<void> {
    const parts = parseRemotePath(path);
    const entry = await this.#require(path);
    if (parts.length === 0) throw new Refusal("usage", "the root cannot be removed");
    if (entry.type !== EntryType.directory)
      throw new Refusal("wrongKind", `${formatRemotePath(parts)} is no folder`, {
        hint: "Remove files with `coffer rm`.",
      });
    if (entry.entries > 0)
      throw new Refusal("folderNotEmpty", `${formatRemotePath(parts)} is not empty`, {
        hint: "Remove what is in it first, or everything at once with `coffer rm -r`.",
      });
    await this.#change([{ op: "remove", path: parts.map(toBytes) }]);
  }

  async remove(path: string, options: { recursive?: boolean } = {}): Promise<void> {
    const parts = parseRemotePath(path);
    const entry = await this.#require(path);
    if (parts.length === 0) throw new Refusal("usage", "the root cannot be removed");
    if (entry.type === EntryType.directory && options.recursive !== true)
      throw new Refusal("wrongKind", `${formatRemotePath(parts)} is a folder`, {
        hint: "Remove it with everything in it with `coffer rm -r`, or with `coffer rmdir` when it is empty.",
      });
    await this.#change([{ op: "remove", path: parts.map(toBytes) }]);
  }

  /** As mv: into `to` when it is a folder, else to that name; a file replaces a file. */
  async move(from: string, to: string): Promise<void> {
    const source = parseRemotePath(from);
    const name = source.at(-1);
    const node = await this.#require(from);
    if (name === undefined) throw new Refusal("usage", "the root cannot be moved");
    let target = parseRemotePath(to);
    if ((await this.#find(target))?.type === EntryType.directory) target = [...target, name];
    if (formatRemotePath(target) === formatRemotePath(source)) return;
    if (target.length > source.length && source.every((part, i) => part === target[i]))
      throw new Refusal("wrongKind", `${formatRemotePath(source)} cannot be moved into itself`);
    await this.#requireFolder(target.slice(0, -1));
    const present = await this.#find(target);
    const isLeafOverLeaf = present?.type !== EntryType.directory && node.type !== EntryType.directory;
    if (present && !isLeafOverLeaf)
      throw new Refusal("nameCollision", `${formatRemotePath(target)} already exists`, {
        hint: "Remove it first, or choose another name.",
      });
    await this.#change([{ op: "move", from: source.map(toBytes), to: target.map(toBytes) }]);
  }

  async usage(): Promise<RepositoryUsage> {
    const { packs } = this.#index;
    const sum = (of: typeof packs): number => of.reduce((bytes, pack) => bytes + pack.sizeBytes, 0);
    const devices = await Promise.all(
      this.#options.devices.map(async (device) => {
        const { capacityBytes, freeBytes } = await device.status();
        const stored = packs.filter((pack) => pack.devices.has(device.name));
        return { name: device.name, capacityBytes, freeBytes, packs: stored.length, packBytes: sum(stored) };
      }),
    );
    let files = 0;
    let directories = 0;
    for await (const node of this.walk("/")) {
      if (node.type === "file") files++;
      else if (node.type === "directory" && node.path !== "/") directories++;
    }
    return {
      files,
      directories,
      bytes: this.#state.root.sizeBytes,
      chunks: this.#index.size,
      packs: packs.length,
      packBytes: sum(packs),
      entries: [...this.#logs.logs.values()].reduce((count, log) => count + log.count, 0),
      devices,
    };
  }

  /** Zeroes keys and closes local files; the devices stay the caller's. */
  async close(): Promise<void> {
    await this.#local.save();
    this.#cache.close();
    this.#keys.zero();
  }

  async #change(operations: Operation[]): Promise<void> {
    const uploader = await this.#uploader(undefined);
    try {
      await this.#committer().commit(operations, [], uploader);
    } catch (error) {
      await uploader.abandon();
      throw error;
    }
    await this.#afterWrite();
  }

  async #afterWrite(): Promise<void> {
    this.#cache.flush();
    await this.#indexLoader.load(this.#logs.logs.values());
    await this.#local.save();
  }

  async #uploader(journal: PushJournal | undefined): Promise<PackUploader> {
    const targets = this.#options.devices;
    if (targets.length === 0)
      throw new Refusal("usage", "no device to store on", { hint: "Name one with --device." });
    this.#writer ??= await this.#loadWriter();
    this.#packBytes ??= Math.min(
      ...(await Promise.all(targets.map((target) => target.status()))).map(
        (status) => status.preferredBlobBytes,
      ),
    );
    return new PackUploader({
      keys: this.#keys,
      cipher: this.#cipher,
      index: this.#index,
      targets,
      targetBytes: Math.min(MAX_PACK_BYTES, Math.max(MIN_PACK_BYTES, this.#packBytes)),
      ...(journal ? { journal } : {}),
      onWarning: this.#onWarning,
      onSealed: (_kind, id, sealed) => {
        this.#cache.put(id, sealed);
      },
    });
  }

  /** A computer that recovered the repository by passphrase gets a log of its own when it first writes. */
  async #loadWriter(): Promise<{ id: Uint8Array; signingKey: KeyObject }> {
    const { file } = this.#unlocked;
    if (file.writer) return { id: file.writer.id, signingKey: openWriter(this.#keys, file.writer) };
    const { id, sealedKey, signingKey } = makeWriter(this.#keys);
    file.writer = { id, sealedKey };
    await saveKeyFile(this.#options.home, file);
    return { id, signingKey };
  }

  #committer(): Committer {
    if (!this.#writer) throw new Error("no writer");
    return new Committer({
      keys: this.#keys,
      cipher: this.#cipher,
      logs: this.#logs,
      state: this.#state,
      editor: this.#editor,
      trees: this.#trees,
      indexLoader: this.#indexLoader,
      targets: this.#options.devices,
      writer: this.#writer,
      folder: this.#folder,
      refresh: () => this.refresh(),
      prepare: (device) => storeKeySlots(device, this.#unlocked.file),
    });
  }

  #isEverythingOnAllDevices(): boolean {
    const names = this.#options.devices.map((device) => device.name);
    return this.#index.packs.every((pack) => names.every((name) => pack.devices.has(name)));
  }

  async #find(parts: readonly ByteString[]): Promise<TreeEntry | undefined> {
    return this.#trees.find(this.#state.root, parts);
  }

  async #require(path: string): Promise<TreeEntry> {
    const parts = parseRemotePath(path);
    const entry = await this.#find(parts);
    if (!entry)
      throw new Refusal("pathNotFound", `there is no ${formatRemotePath(parts)} in the repository`, {
        hint: "See what there is with `coffer ls`.",
      });
    return entry;
  }

  async #requireFolder(parts: readonly ByteString[]): Promise<TreeEntry> {
    const entry = await this.#require(formatRemotePath(parts));
    if (entry.type !== EntryType.directory)
      throw new Refusal("wrongKind", `${formatRemotePath(parts)} is no folder`);
    return entry;
  }

  /** The folder at `parts`, or undefined when it can be made; refuses when a file is in the way. */
  async #targetFolder(parts: readonly ByteString[]): Promise<TreeEntry | undefined> {
    for (let depth = 1; depth <= parts.length; depth++) {
      const path = parts.slice(0, depth);
      const entry = await this.#find(path);
      if (!entry) return undefined;
      if (entry.type !== EntryType.directory) throw collision(entry, path);
    }
    return this.#find(parts);
  }
}
