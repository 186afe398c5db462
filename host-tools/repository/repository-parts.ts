// SPDX-License-Identifier: MIT
/** Everything that an open repository consists of, put together once, and what all its commands have in common. */

import { type KeyObject, randomInt } from "node:crypto";
import { join } from "node:path";
import { Refusal } from "../refusal";
import { type ByteString, formatRemotePath, parseRemotePath } from "./byte-names";
import type { BlobDevice } from "./blob-device";
import { ChunkCache } from "./chunk-cache";
import { makeCheckpoint, trimLogs } from "./checkpoint-maker";
import { Checkpoints } from "./checkpoints";
import { ChunkCipher } from "./chunk-cipher";
import { ChunkIndex } from "./chunk-index";
import { ChunkReader } from "./chunk-reader";
import { WINDOW_BYTES } from "./chunk-window";
import { Chunker } from "./chunker";
import { Committer } from "./committer";
import { History } from "./history";
import { IndexLoader } from "./index-loader";
import type { PushJournal } from "./journal";
import { KeptBlobs } from "./kept-blobs";
import { KeyAdministration } from "./key-administration";
import { makeWriter, openWriter, repositoryFolder, saveKeyFile, sealWriter } from "./key-file";
import { type KeyLogContext, publishKeys, syncKeyLog } from "./key-log";
import { LocalState } from "./local-state";
import { LogBook } from "./log-book";
import { MergedState } from "./merged-state";
import type { PackFate } from "./pack-fate";
import { PackUploader } from "./pack-uploader";
import type { OpenOptions } from "./repository-api";
import type { RepositoryKeys } from "./repository-keys";
import { EntryType, type TreeEntry } from "./tree";
import { TreeEditor, collision } from "./tree-edit";
import { TreeStore } from "./tree-store";
import type { Unlocked } from "./unlock";

const CLOCK_TOLERANCE_MS = 10 * 60_000;
const MIN_PACK_BYTES = 1024 * 1024;
const MAX_PACK_BYTES = 16 * 1024 * 1024;

export class RepositoryParts {
  readonly options: OpenOptions;
  readonly keys: RepositoryKeys;
  /** Where this computer keeps what it knows of the repository. */
  readonly folder: string;
  readonly onWarning: (text: string) => void;
  readonly cipher: ChunkCipher;
  readonly index: ChunkIndex;
  readonly cache: ChunkCache;
  readonly blobs: KeptBlobs;
  readonly logs: LogBook;
  readonly checkpoints: Checkpoints;
  readonly reader: ChunkReader;
  readonly chunker: Chunker;
  readonly trees: TreeStore;
  readonly state: MergedState;
  readonly history: History;
  readonly keyAdministration: KeyAdministration;
  readonly #unlocked: Unlocked;
  readonly #keyLog: KeyLogContext;
  readonly #local: LocalState;
  readonly #editor: TreeEditor;
  readonly #indexLoader: IndexLoader;
  #writer: { id: Uint8Array; signingKey: KeyObject } | undefined;
  #packBytes: number | undefined;

  constructor(options: OpenOptions, unlocked: Unlocked) {
    const { devices } = options;
    const { keyring, opener } = unlocked;
    const { keys } = keyring;
    this.options = options;
    this.#unlocked = unlocked;
    this.keys = keys;
    this.folder = repositoryFolder(options.home);
    const onWarning = options.onWarning ?? ((): void => undefined);
    this.onWarning = onWarning;
    const cacheFolder = join(this.folder, "cache");
    this.cipher = new ChunkCipher(keys);
    this.cache = new ChunkCache(cacheFolder);
    this.index = new ChunkIndex({ folder: cacheFolder });
    this.#local = new LocalState({ folder: this.folder, keys });
    this.#keyLog = { keyring, opener, local: this.#local, onWarning };
    this.keyAdministration = new KeyAdministration({
      context: this.#keyLog,
      devices,
      secret: options.passphrase,
      save: () => this.#saveKeys(),
    });
    this.logs = new LogBook({ keys, folder: this.folder, state: this.#local, onWarning });
    this.blobs = new KeptBlobs({ folder: join(cacheFolder, "index"), devices, onWarning });
    const { cipher, index, cache, logs, blobs } = this;
    this.checkpoints = new Checkpoints({
      keys,
      logs,
      local: this.#local,
      blobs,
      folder: this.folder,
      onWarning,
    });
    this.reader = new ChunkReader({ devices, index, cipher, cache, onWarning });
    this.chunker = new Chunker({ gearKey: keys.gearKey, capacityBytes: WINDOW_BYTES });
    this.trees = new TreeStore({ reader: this.reader, cipher, chunker: this.chunker });
    this.#editor = new TreeEditor(this.trees);
    const { reader, trees } = this;
    this.state = new MergedState({ logs, reader, trees, editor: this.#editor, onWarning });
    const { state, checkpoints } = this;
    this.history = new History({ logs, state, checkpoints, onWarning });
    const forgotten = new Set(options.forgetDevices ?? []);
    this.#indexLoader = new IndexLoader({
      keys,
      index,
      blobs,
      forgotten,
      detailOf: state.detail,
      onWarning,
    });
  }

  async load(): Promise<void> {
    if (!(await this.#local.load()))
      this.onWarning(
        "this computer's memory of the devices' logs was damaged; what they took back since cannot be told",
      );
    for (const device of this.options.forgetDevices ?? []) this.#local.forgetDevice(device);
    await this.checkpoints.load();
    this.logs.load();
    await this.refresh();
  }

  /** Takes up what the devices have gained. Refuses with `logTampered` what does not fit with what was seen before. */
  async refresh(): Promise<void> {
    this.options.signal?.throwIfAborted();
    for (const device of this.options.devices) await syncKeyLog(device, this.#keyLog);
    await this.#saveKeys();
    for (const device of this.options.devices) await this.logs.sync(device, this.checkpoints);
    this.checkpoints.confirm();
    await this.#indexLoader.load(this.checkpoints.current, this.logs.logs.values());
    for (const device of this.options.devices) await this.logs.checkSeen(device, this.state.detail);
    await this.state.compute();
    await this.#local.save();
  }

  async close(): Promise<void> {
    await this.#local.save();
    this.cache.close();
    this.index.close();
    this.#unlocked.keyring.zero();
  }

  get fate(): PackFate {
    return this.#indexLoader.fate;
  }

  async uploader(
    journal: PushJournal | undefined,
    options: {
      targets?: readonly BlobDevice[];
      /** Packs are to differ from all that there are, whatever is in them. */
      isDistinct?: boolean;
    } = {},
  ): Promise<PackUploader> {
    const { targets = this.options.devices } = options;
    const isDistinct = options.isDistinct === true || this.fate.condemned.size > 0;
    if (targets.length === 0)
      throw new Refusal("usage", "no device to store on", { hint: "Name one with --device." });
    await this.keyAdministration.renewWeakSlot();
    this.#writer ??= await this.#loadWriter();
    return new PackUploader({
      keys: this.keys,
      cipher: this.cipher,
      index: this.index,
      targets,
      variant: isDistinct ? randomInt(1, 2 ** 32) : 0,
      targetBytes: await this.packTargetBytes(),
      ...(journal ? { journal } : {}),
      onWarning: this.onWarning,
      onSealed: (_kind, id, sealed) => {
        this.cache.put(id, sealed);
      },
    });
  }

  /** What new packs should grow to. */
  async packTargetBytes(): Promise<number> {
    const { devices } = this.options;
    this.#packBytes ??= Math.min(
      ...(await Promise.all(devices.map(async (device) => (await device.status()).preferredBlobBytes))),
    );
    return Math.min(MAX_PACK_BYTES, Math.max(MIN_PACK_BYTES, this.#packBytes));
  }

  /** False when an index blob could not be read: then some packs are unknown. */
  get isIndexComplete(): boolean {
    return this.#indexLoader.isComplete;
  }

  committer(): Committer {
    if (!this.#writer) throw new Error("committer: before the uploader");
    this.#checkClock();
    return new Committer({
      keys: this.keys,
      cipher: this.cipher,
      index: this.index,
      logs: this.logs,
      state: this.state,
      editor: this.#editor,
      trees: this.trees,
      indexLoader: this.#indexLoader,
      checkpoints: this.checkpoints,
      blobs: this.blobs,
      targets: this.options.devices,
      writer: this.#writer,
      computer: this.options.computer,
      folder: this.folder,
      refresh: () => this.refresh(),
      prepare: (device) => this.#publishKeys(device),
    });
  }

  /** Nothing depends on clocks but what people see, and how long a prune waits. */
  #checkClock(): void {
    const newest = [...this.logs.logs.values()].reduce<{ timeMs: number; name: string } | undefined>(
      (found, log) => {
        const timeMs = log.accepted.at(-1)?.timeMs ?? 0;
        return timeMs > (found?.timeMs ?? 0) ? { timeMs, name: log.name } : found;
      },
      undefined,
    );
    if (!newest || newest.timeMs - Date.now() < CLOCK_TOLERANCE_MS) return;
    this.onWarning(
      `this computer's clock says ${new Date().toISOString()}, and the newest entry, of ${newest.name}, says ` +
        `${new Date(newest.timeMs).toISOString()}: one of the two clocks is wrong, and so are times in \`coffer log\``,
    );
  }

  /** After an entry was written. */
  async settle(): Promise<void> {
    this.cache.flush();
    await this.#indexLoader.load(this.checkpoints.current, this.logs.logs.values());
    await this.#makeCheckpoint();
    await this.#local.save();
  }

  /** What was asked for is done: that there is no checkpoint now is no failure of it. */
  async #makeCheckpoint(): Promise<void> {
    if (!this.#writer) return;
    const { checkpointEntries: entries, checkpointAgeMs: ageMs } = this.options;
    try {
      await this.checkpoints.vouch(this.#writer);
      await makeCheckpoint({ parts: this, writer: this.#writer, entries, ageMs });
      await this.bringCheckpoint((device) => this.checkpoints.isDueOn(device.name));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.onWarning(`no checkpoint was made this time: ${error.message}`);
    }
  }

  /** Stores the newest checkpoint on devices that lack it, and lets them forget what it stands for. */
  async bringCheckpoint(isWanted: (device: BlobDevice) => boolean): Promise<void> {
    for (const device of this.options.devices) {
      if (!isWanted(device)) continue;
      await this.checkpoints.bring(device);
      await trimLogs(this, device);
    }
  }

  isEverythingOnAllDevices(): boolean {
    const names = this.options.devices.map((device) => device.name);
    for (const pack of this.index.packs())
      if (!pack.isDropped && (pack.isCondemned || !names.every((name) => pack.devices.has(name))))
        return false;
    return true;
  }

  /** Everything as it was in the version that `at` names, or as it is now. */
  async rootAt(at: string | undefined): Promise<TreeEntry> {
    // With several writers the newest version may lack what another wrote at the same time; nobody means that.
    if (at === undefined || at === "latest") return this.state.root;
    return (await this.history.find(at)).root;
  }

  async find(parts: readonly ByteString[], at?: string): Promise<TreeEntry | undefined> {
    return this.trees.find(await this.rootAt(at), parts);
  }

  async require(path: string, at?: string): Promise<TreeEntry> {
    const parts = parseRemotePath(path);
    const entry = await this.find(parts, at);
    if (!entry) {
      // What a command has looked up already is a whole id.
      const version = at !== undefined && /^[0-9a-f]{64}$/.test(at) ? at.slice(0, 8) : at;
      const where = version === undefined ? "the repository" : `the version ${version}`;
      const option = version === undefined ? "" : ` --at ${JSON.stringify(version)}`;
      throw new Refusal("pathNotFound", `there is no ${formatRemotePath(parts)} in ${where}`, {
        hint: `See what there is with \`coffer ls${option}\`.`,
      });
    }
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
    const { writer, signingKey } = makeWriter(this.keys);
    file.writer = writer;
    await saveKeyFile(this.options.home, file);
    return { id: writer.id, signingKey };
  }

  /** Before the first entry goes to a device, and before one is made under keys that the device turned out to have. */
  async #publishKeys(device: BlobDevice): Promise<void> {
    await publishKeys(device, this.#keyLog);
    await this.#saveKeys();
  }

  /** Keeps what the keyring has gained; the signing key goes under the newest keys. */
  async #saveKeys(): Promise<void> {
    const { file, keyring } = this.#unlocked;
    const { statement, links } = keyring;
    const isSealed = file.writer === undefined || file.writer.epoch === keyring.epoch;
    if (isSealed && file.statement.bytes === statement.bytes) return;
    if (file.writer && !isSealed)
      file.writer = sealWriter(this.keys, file.writer.id, openWriter(this.keys, file.writer));
    file.statement = statement;
    file.links = links;
    await saveKeyFile(this.options.home, file);
  }
}
