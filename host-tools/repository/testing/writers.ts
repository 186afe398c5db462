// SPDX-License-Identifier: MIT
/**
 * Several computers of one repository, each with a device of its own. What a computer wrote reaches another when its
 * device is copied there, so a test decides who has seen what.
 */

import type { Repository } from "../repository";
import { MemoryDevice } from "./memory-device";
import type { Scratch } from "./scratch";

export class Writer {
  readonly name: string;
  readonly device: MemoryDevice;
  readonly repository: Repository;
  readonly #scratch: Scratch;

  private constructor(scratch: Scratch, name: string, device: MemoryDevice, repository: Repository) {
    this.#scratch = scratch;
    this.name = name;
    this.device = device;
    this.repository = repository;
  }

  /** The first one has to have written before the next is made. */
  static async make(
    scratch: Scratch,
    name: string,
    from?: Writer,
    options: Parameters<Scratch["open"]>[1] = {},
  ): Promise<Writer> {
    const device = new MemoryDevice();
    if (from) copyDevice(from.device, device);
    const home = from ? scratch.path(`home-${name}`) : scratch.home;
    return new Writer(
      scratch,
      name,
      device,
      await scratch.open([device], { ...options, home, computer: name }),
    );
  }

  /** Several of them that all know an empty folder /start. */
  static async group(
    scratch: Scratch,
    names: readonly string[],
    options: Parameters<Scratch["open"]>[1] = {},
  ): Promise<Writer[]> {
    const writers: Writer[] = [];
    for (const name of names) {
      writers.push(await Writer.make(scratch, name, writers[0], options));
      if (writers.length === 1) await writers[0]?.repository.makeDirectory("/start");
    }
    return writers;
  }

  /** Pushes a file; gives what it is known by in listings. */
  async write(path: string, content: string): Promise<string> {
    const cut = path.lastIndexOf("/");
    const source = this.#scratch.write(`${this.name}-source/${path.slice(cut + 1)}`, content);
    await this.repository.push({ sources: [source], to: path.slice(0, cut) || "/" });
    return (await this.repository.stat(path))?.contentId ?? "";
  }

  /** Learns everything that the other one's device has. */
  async learn(other: Writer): Promise<void> {
    copyDevice(other.device, this.device);
    await this.repository.refresh();
  }

  /** Paths with what is there: text of files as given by `texts`, "/" for folders. */
  async tree(texts: ReadonlyMap<string, string> = new Map()): Promise<Record<string, string>> {
    const tree: Record<string, string> = {};
    for await (const { path, type, contentId } of this.repository.walk("/"))
      if (path !== "/" && path !== "/start")
        tree[path] = type === "directory" ? "/" : (texts.get(contentId) ?? contentId);
    return tree;
  }

  /** Everything that could differ between two computers. */
  async listing(): Promise<string[]> {
    const lines: string[] = [];
    for await (const node of this.repository.walk("/"))
      lines.push(JSON.stringify({ ...node, mtimeNs: String(node.mtimeNs) }));
    return lines;
  }
}

/** Logs only grow: of each the longer one is taken. */
export function copyDevice(from: MemoryDevice, to: MemoryDevice): void {
  for (const [key, blob] of from.blobs) to.blobs.set(key, Buffer.from(blob));
  for (const [key, log] of from.logs)
    if (countOf(to.logs.get(key)) < countOf(log)) to.logs.set(key, { ...log, entries: [...log.entries] });
}

function countOf(log: { entries: Uint8Array[]; start?: { count: number } } | undefined): number {
  return log ? (log.start?.count ?? 0) + log.entries.length : 0;
}
