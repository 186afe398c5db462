// SPDX-License-Identifier: MIT
/**
 * Puts what was at a path in an older version back, as an operation of a new version. No file travels: folders and lists of
 * chunks that a target lacks are carried to it, and of files every chunk has to be there already.
 */

import { Refusal } from "../refusal";
import { type ByteString, formatRemotePath } from "./byte-names";
import type { ChunkIndex } from "./chunk-index";
import type { PackUploader } from "./pack-uploader";
import { ChunkKind } from "./repository-keys";
import { EntryType, type TreeEntry } from "./tree";
import { inPairs, isSameContent } from "./tree-diff";
import type { TreeStore } from "./tree-store";

interface Lacking {
  path: readonly ByteString[];
  /** Devices that have the first chunk that is lacking. */
  devices: ReadonlySet<string>;
}

export class VersionRestorer {
  readonly #trees: TreeStore;
  readonly #index: ChunkIndex;
  readonly #uploader: PackUploader;
  readonly #targets: readonly string[];
  readonly #signal: AbortSignal | undefined;
  #first: Lacking | undefined;
  #lackingFiles = 0;

  constructor(options: {
    trees: TreeStore;
    index: ChunkIndex;
    uploader: PackUploader;
    /** Names of the devices that are stored on. */
    targets: readonly string[];
    signal?: AbortSignal | undefined;
  }) {
    this.#trees = options.trees;
    this.#index = options.index;
    this.#uploader = options.uploader;
    this.#targets = options.targets;
    this.#signal = options.signal;
  }

  /** Makes sure that every target can give `node`; what equals `present`, which is at its place now, is passed over. */
  async carry(node: TreeEntry, present: TreeEntry | undefined, path: readonly ByteString[]): Promise<void> {
    await this.#carry(node, present, path);
    const first = this.#first;
    if (!first) return;
    const others = this.#lackingFiles > 1 ? ` and ${String(this.#lackingFiles - 1)} more files` : "";
    const where = [...first.devices].join(", ");
    const lacking = this.#targets.filter((name) => !first.devices.has(name));
    throw new Refusal(
      "missingBlob",
      `${formatRemotePath(first.path)}${others} of that version ${others === "" ? "is" : "are"} not on ${(lacking.length > 0 ? lacking : this.#targets).join(", ")}`,
      {
        hint:
          where === ""
            ? "No device is known to have it. Push it again from a computer that still has it."
            : `It is on ${where}: restore with --device ${[...first.devices][0] ?? ""}, or pull that version from there and push it again.`,
      },
    );
  }

  async #carry(node: TreeEntry, present: TreeEntry | undefined, path: readonly ByteString[]): Promise<void> {
    this.#signal?.throwIfAborted();
    if (node.type === EntryType.symlink || (present && isSameContent(present, node))) return;
    if (node.type === EntryType.file) {
      if (await this.#isLacking(node, path)) this.#lackingFiles++;
      return;
    }
    for await (const { kind, id, read } of this.#trees.chunksOf(node))
      if (!(await this.#uploader.isStored(kind, id))) await this.#uploader.offer(kind, id, await read());
    const presents = present?.type === EntryType.directory ? await this.#trees.load(present) : [];
    for (const [name, old, now] of inPairs(presents, await this.#trees.load(node)))
      if (now) await this.#carry(now, old, [...path, name]);
  }

  async #isLacking(file: TreeEntry, path: readonly ByteString[]): Promise<boolean> {
    for await (const { kind, id, read } of this.#trees.chunksOfFile(file)) {
      if (await this.#uploader.isStored(kind, id)) continue;
      if (kind === ChunkKind.list) {
        await this.#uploader.offer(kind, id, await read());
        continue;
      }
      this.#first ??= { path, devices: this.#devicesWith(id) };
      return true;
    }
    return false;
  }

  #devicesWith(id: Uint8Array): ReadonlySet<string> {
    const devices = new Set<string>();
    this.#index.some(id, (pack) => {
      for (const name of pack.devices) devices.add(name);
      return false;
    });
    return devices;
  }
}
