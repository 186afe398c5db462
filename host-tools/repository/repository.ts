// SPDX-License-Identifier: MIT
/** An open repository: what the commands see of it. docs/repository.md describes what it stores. */

import { formatRemotePath, parseRemotePath, toBytes, toText } from "./byte-names";
import { ChunkFetcher } from "./chunk-fetcher";
import { ChunkOpener } from "./chunk-opener";
import type { IndexedPack } from "./chunk-index";
import { FileStorer } from "./file-storer";
import { type RepairOptions, type RepairReport, Repairer } from "./integrity/repair";
import { type VerifyOptions, type VerifyReport, verify } from "./integrity/verify";
import { PushJournal } from "./journal";
import { LocalScan } from "./local-scan";
import type { KeyAdministration } from "./key-administration";
import type { Operation } from "./log-entry";
import { untilNothingIsCondemned } from "./pack-fate";
import { makeDirectory, move, remove, removeDirectory } from "./path-changes";
import { ProgressMeter } from "./progress-meter";
import { prune } from "./prune";
import { TreePuller } from "./pull";
import { TreePusher, pushRoots } from "./push";
import { toRemoteNode } from "./remote-node";
import type {
  AtOptions,
  OpenOptions,
  PullOptions,
  PruneOptions,
  PruneReport,
  PullReport,
  PushOptions,
  PushReport,
  RemoteNode,
  RepositoryUsage,
  WalkedNode,
} from "./repository-api";
import { RepositoryParts } from "./repository-parts";
import { RepositoryVersions } from "./repository-versions";
import { EntryType, type TreeEntry, encodeEntry } from "./tree";
import { unlock } from "./unlock";

export type * from "./repository-api";
export type { RepairOptions, RepairReport } from "./integrity/repair";
export type { DamageReport, VerifyOptions, VerifyReport } from "./integrity/verify";

/** From here on a pull has a thread that opens chunks. */
const OPENER_BYTES = 16 * 1024 * 1024;

export class Repository {
  readonly versions: RepositoryVersions;
  readonly #parts: RepositoryParts;

  static async open(options: OpenOptions): Promise<Repository> {
    const parts = new RepositoryParts(
      options,
      await unlock(options.home, options.passphrase, options.devices, options.unlocking),
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
    this.versions = new RepositoryVersions(parts, (operations) => this.#change(operations));
  }

  /** Hexadecimal. */
  get id(): string {
    return Buffer.from(this.#parts.keys.repositoryId).toString("hex");
  }

  /** The slots that open it, and the changing of keys. */
  get keyAdministration(): KeyAdministration {
    return this.#parts.keyAdministration;
  }

  /** Takes up what the devices have gained. Refuses with `logTampered` what does not fit with what was seen before. */
  async refresh(): Promise<void> {
    await this.#parts.refresh();
  }

  /** undefined when there is nothing at `path`. */
  async stat(path: string, { at }: AtOptions = {}): Promise<RemoteNode | undefined> {
    const entry = await this.#parts.find(parseRemotePath(path), at);
    return entry && toRemoteNode(entry);
  }

  /** What is in a folder, by name; of a file or link itself. */
  async list(path: string, { at }: AtOptions = {}): Promise<RemoteNode[]> {
    const entry = await this.#parts.require(path, at);
    if (entry.type !== EntryType.directory) return [toRemoteNode(entry)];
    return (await this.#parts.trees.load(entry)).map(toRemoteNode);
  }

  /** The node at `path` and everything below, parents first. */
  async *walk(path: string, { at }: AtOptions = {}): AsyncGenerator<WalkedNode> {
    const names = parseRemotePath(path);
    yield* this.#walk(await this.#parts.require(path, at), names.length === 0 ? "" : formatRemotePath(names));
  }

  async *#walk(entry: TreeEntry, path: string): AsyncGenerator<WalkedNode> {
    yield { ...toRemoteNode(entry), path: path === "" ? "/" : path };
    if (entry.type !== EntryType.directory) return;
    for (const child of await this.#parts.trees.load(entry))
      yield* this.#walk(child, `${path}/${toText(child.name)}`);
  }

  async push(options: PushOptions): Promise<PushReport> {
    return untilNothingIsCondemned((isAgain) => this.#push(options, isAgain));
  }

  async #push(options: PushOptions, isAgain: boolean): Promise<PushReport> {
    const { sources, to, force = false, onProgress } = options;
    const parts = this.#parts;
    const { signal } = parts.options;
    const started = performance.now();
    const roots = pushRoots(sources);
    const folder = parseRemotePath(to);
    await parts.refresh();
    const target = await parts.targetFolder(folder);
    const journal = PushJournal.open(parts.folder);
    const { condemnations } = parts.fate;
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
      known: (key) => journal.left.items(key),
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
      areTargetsEqual: !isAgain && parts.isEverythingOnAllDevices(),
      folder,
      onWarning: parts.onWarning,
      onFile: (path, unchangedBytes) => {
        meter.file(path, unchangedBytes);
      },
      signal,
    });
    try {
      await uploader.resume(journal.left.packs());
      meter.phase = "transfer";
      const pushed = await pusher.push(scan, target ? await parts.trees.load(target) : []);
      meter.phase = "commit";
      const operations = pushed.nodes.map((node): Operation => ({
        op: "put",
        folder: folder.map(toBytes),
        node: encodeEntry(node),
      }));
      const isChanged = await parts
        .committer()
        .commit(operations, [folder], uploader, { condemnations, isAgain });
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
    const { remote, to, at, overwrite = "always", onProgress } = options;
    const { reader, cipher, cache, trees, options: opened } = this.#parts;
    const { signal } = opened;
    const started = performance.now();
    const entry = await this.#parts.require(remote, at);
    const opener = new ChunkOpener(this.#parts.keys);
    if (entry.sizeBytes >= OPENER_BYTES) opener.prepare();
    const fetcher = new ChunkFetcher({
      cipher,
      reader,
      opener,
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
    try {
      const counts = await puller.pull(entry, to);
      cache.flush();
      meter.finish();
      return { ...counts, receivedBytes: received(), seconds: (performance.now() - started) / 1000 };
    } finally {
      opener.close();
    }
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

  /** Frees what no kept version needs. */
  async prune(options: PruneOptions = {}): Promise<PruneReport> {
    return untilNothingIsCondemned(() => prune(this.#parts, options));
  }

  /** From now on nothing counts that the computer of that name writes. Gives how many logs it had that were not ended. */
  async revokeWriter(name: string): Promise<number> {
    const uploader = await this.#parts.uploader(undefined);
    const logs = await this.#parts.committer().revoke(name, uploader);
    await this.#parts.settle();
    return logs;
  }

  /** With `at` the files, folders and bytes of that version; the rest is always about everything stored. */
  async usage({ at }: AtOptions = {}): Promise<RepositoryUsage> {
    const { index, logs, options } = this.#parts;
    const sum = (of: readonly IndexedPack[]): number => of.reduce((bytes, pack) => bytes + pack.sizeBytes, 0);
    const packs = [...index.packs()];
    const devices = await Promise.all(
      options.devices.map(async (device) => {
        const { capacityBytes, freeBytes } = await device.status();
        const stored = packs.filter((pack) => pack.devices.has(device.name));
        return { name: device.name, capacityBytes, freeBytes, packs: stored.length, packBytes: sum(stored) };
      }),
    );
    let files = 0;
    let directories = 0;
    let bytes = 0;
    for await (const node of this.walk("/", { at })) {
      if (node.path === "/") bytes = node.sizeBytes;
      if (node.type === "file") files++;
      else if (node.type === "directory" && node.path !== "/") directories++;
    }
    return {
      files,
      directories,
      bytes,
      chunks: index.size,
      packs: packs.length,
      packBytes: sum(packs),
      entries: [...logs.logs.values()].reduce((count, log) => count + log.count, 0),
      devices,
    };
  }

  /** Looks for damage, and changes nothing but what this computer remembers of it. */
  async verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    return verify(this.#parts, options);
  }

  /** Puts right what is damaged, as far as anybody still has it. */
  async repair(options: RepairOptions = {}): Promise<RepairReport> {
    return untilNothingIsCondemned(() => Repairer.run(this.#parts, options));
  }

  /** Zeroes keys and closes local files; the devices stay the caller's. */
  async close(): Promise<void> {
    await this.#parts.close();
  }

  async #change(operations: readonly Operation[]): Promise<void> {
    if (operations.length === 0) return;
    await untilNothingIsCondemned(async (isAgain) => {
      const { condemnations } = this.#parts.fate;
      const uploader = await this.#parts.uploader(undefined);
      try {
        await this.#parts.committer().commit(operations, [], uploader, { condemnations, isAgain });
      } catch (error) {
        await uploader.abandon();
        throw error;
      }
    });
    await this.#parts.settle();
  }
}
