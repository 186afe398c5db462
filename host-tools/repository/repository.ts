// SPDX-License-Identifier: MIT
/** An open repository: what the commands see of it. docs/repository.md describes what it stores. */

import { formatRemotePath, parseRemotePath, toBytes, toText } from "./byte-names";
import { ChunkFetcher } from "./chunk-fetcher";
import { FileStorer } from "./file-storer";
import { PushJournal } from "./journal";
import { LocalScan } from "./local-scan";
import type { Operation } from "./log-entry";
import { makeDirectory, move, remove, removeDirectory } from "./path-changes";
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
import { RepositoryParts } from "./repository-parts";
import { EntryType, type TreeEntry, encodeEntry } from "./tree";
import { unlock } from "./unlock";

export type * from "./repository-api";

export class Repository {
  readonly #parts: RepositoryParts;

  static async open(options: OpenOptions): Promise<Repository> {
    const parts = new RepositoryParts(
      options,
      await unlock(options.home, options.passphrase, options.devices),
    );
    try {
      await parts.load();
    } catch (error) {
      await parts.close();
      throw error;
    }
    return new Repository(parts);
  }

  private constructor(parts: RepositoryParts) {
    this.#parts = parts;
  }

  /** Hexadecimal. */
  get id(): string {
    return Buffer.from(this.#parts.keys.repositoryId).toString("hex");
  }

  /** Takes up what the devices have gained. Refuses with `logTampered` what does not fit with what was seen before. */
  async refresh(): Promise<void> {
    await this.#parts.refresh();
  }

  /** undefined when there is nothing at `path`. */
  async stat(path: string): Promise<RemoteNode | undefined> {
    const entry = await this.#parts.find(parseRemotePath(path));
    return entry && toRemoteNode(entry);
  }

  /** What is in a folder, by name; of a file or link itself. */
  async list(path: string): Promise<RemoteNode[]> {
    const entry = await this.#parts.require(path);
    if (entry.type !== EntryType.directory) return [toRemoteNode(entry)];
    return (await this.#parts.trees.load(entry)).map(toRemoteNode);
  }

  /** The node at `path` and everything below, parents first. */
  async *walk(path: string): AsyncGenerator<WalkedNode> {
    const names = parseRemotePath(path);
    yield* this.#walk(await this.#parts.require(path), names.length === 0 ? "" : formatRemotePath(names));
  }

  async *#walk(entry: TreeEntry, path: string): AsyncGenerator<WalkedNode> {
    yield { ...toRemoteNode(entry), path: path === "" ? "/" : path };
    if (entry.type !== EntryType.directory) return;
    for (const child of await this.#parts.trees.load(entry))
      yield* this.#walk(child, `${path}/${toText(child.name)}`);
  }

  async push(options: PushOptions): Promise<PushReport> {
    const { sources, to, force = false, onProgress } = options;
    const parts = this.#parts;
    const { signal } = parts.options;
    const started = performance.now();
    const roots = pushRoots(sources);
    const folder = parseRemotePath(to);
    await parts.refresh();
    const target = await parts.targetFolder(folder);
    const { journal, left } = PushJournal.open(parts.folder);
    const uploader = await parts.uploader(journal);
    const scan = new LocalScan(roots);
    const meter = new ProgressMeter({
      onProgress,
      totals: () => ({ files: scan.files, bytes: scan.bytes, isFinal: scan.isComplete }),
      transferred: () => uploader.sentBytes,
    });
    const files = new FileStorer({
      cipher: parts.cipher,
      chunker: parts.chunker,
      uploader,
      journal,
      known: left.files,
      onBytes: (bytes) => {
        meter.addBytes(bytes);
      },
      signal,
    });
    const pusher = new TreePusher({
      store: parts.trees,
      uploader,
      files,
      mayReuse: !force,
      areTargetsEqual: parts.isEverythingOnAllDevices(),
      folder,
      onWarning: parts.onWarning,
      onFile: (path, unchangedBytes) => {
        meter.file(path, unchangedBytes);
      },
      signal,
    });
    try {
      await uploader.resume(left.packs);
      meter.phase = "transfer";
      const pushed = await pusher.push(scan, target ? await parts.trees.load(target) : []);
      meter.phase = "commit";
      const operations = pushed.nodes.map((node): Operation => ({
        op: "put",
        folder: folder.map(toBytes),
        node: encodeEntry(node),
      }));
      const isChanged = await parts.committer().commit(operations, [folder], uploader);
      journal.finish();
      await parts.settle();
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
      parts.cache.flush();
      throw error;
    } finally {
      scan.close();
    }
  }

  async pull(options: PullOptions): Promise<PullReport> {
    const { remote, to, overwrite = "always", onProgress } = options;
    const { reader, cipher, cache, trees, options: opened } = this.#parts;
    const { signal } = opened;
    const started = performance.now();
    const entry = await this.#parts.require(remote);
    const fetcher = new ChunkFetcher({
      cipher,
      reader,
      onReceived: () => {
        meter.update();
      },
      signal,
    });
    const receivedBefore = reader.receivedBytes;
    const received = (): number => fetcher.receivedBytes + reader.receivedBytes - receivedBefore;
    const files = entry.type === EntryType.directory ? entry.entries + 1 : 1;
    const meter: ProgressMeter = new ProgressMeter({
      onProgress,
      totals: () => ({ files, bytes: entry.sizeBytes, isFinal: true }),
      transferred: received,
    });
    meter.phase = "transfer";
    const puller: TreePuller = new TreePuller({
      trees,
      fetcher,
      overwrite,
      onEntry: (path) => {
        meter.setBytes(puller.result.bytes);
        meter.file(path, 0);
      },
      signal,
    });
    const counts = await puller.pull(entry, to);
    cache.flush();
    meter.finish();
    return { ...counts, receivedBytes: received(), seconds: (performance.now() - started) / 1000 };
  }

  async makeDirectory(path: string, options: { parents?: boolean } = {}): Promise<void> {
    await this.#change(await makeDirectory(this.#parts, path, { parents: options.parents === true }));
  }

  /** Only an empty folder. */
  async removeDirectory(path: string): Promise<void> {
    await this.#change(await removeDirectory(this.#parts, path));
  }

  async remove(path: string, options: { recursive?: boolean } = {}): Promise<void> {
    await this.#change(await remove(this.#parts, path, { recursive: options.recursive === true }));
  }

  /** As mv: into `to` when it is a folder, else to that name; a file replaces a file. */
  async move(from: string, to: string): Promise<void> {
    await this.#change(await move(this.#parts, from, to));
  }

  /** From now on nothing counts that the computer of that name writes. Gives how many logs it had that were not ended. */
  async revokeWriter(name: string): Promise<number> {
    const uploader = await this.#parts.uploader(undefined);
    const logs = await this.#parts.committer().revoke(name, uploader);
    await this.#parts.settle();
    return logs;
  }

  async usage(): Promise<RepositoryUsage> {
    const { index, logs, state, options } = this.#parts;
    const { packs } = index;
    const sum = (of: typeof packs): number => of.reduce((bytes, pack) => bytes + pack.sizeBytes, 0);
    const devices = await Promise.all(
      options.devices.map(async (device) => {
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
      bytes: state.root.sizeBytes,
      chunks: index.size,
      packs: packs.length,
      packBytes: sum(packs),
      entries: [...logs.logs.values()].reduce((count, log) => count + log.count, 0),
      devices,
    };
  }

  /** Zeroes keys and closes local files; the devices stay the caller's. */
  async close(): Promise<void> {
    await this.#parts.close();
  }

  async #change(operations: readonly Operation[]): Promise<void> {
    if (operations.length === 0) return;
    const uploader = await this.#parts.uploader(undefined);
    try {
      await this.#parts.committer().commit(operations, [], uploader);
    } catch (error) {
      await uploader.abandon();
      throw error;
    }
    await this.#parts.settle();
  }
}
