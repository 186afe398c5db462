// SPDX-License-Identifier: MIT
/** One computer that writes a golden repository, with a device of its own, and what its tree has to look like. */

import type { Repository } from "../repository";
import { MemoryDevice } from "../testing/memory-device";
import { type Scratch, noise } from "../testing/scratch";
import { copyDevice } from "../testing/writers";
import { SourceTree } from "./expected-tree";
import type { Expected, GoldenSecret } from "./fixture";

/** A keyfile opens at once; only one fixture has to be opened with a passphrase. */
export const KEYFILE: GoldenSecret = { kind: "keyfile", value: noise(77, 32).toString("hex") };

export interface AuthorOptions {
  name?: string;
  devices?: MemoryDevice[];
  from?: Author;
}

/** A checkpoint at the next write, whatever its cut's age. */
const EAGER = { checkpointEntries: 2, checkpointAgeMs: -1000 };

export class Author {
  readonly name: string;
  readonly devices: MemoryDevice[];
  readonly #home: string;
  #repository: Repository;
  readonly #scratch: Scratch;
  /** Of all authors together, by id. */
  readonly #versions: Map<string, SourceTree>;
  tree = new SourceTree();

  private constructor(
    scratch: Scratch,
    { name, devices, from }: Required<Omit<AuthorOptions, "from">> & { from: Author | undefined },
    home: string,
    repository: Repository,
  ) {
    this.#scratch = scratch;
    this.name = name;
    this.devices = devices;
    this.#home = home;
    this.#repository = repository;
    this.#versions = from ? from.#versions : new Map<string, SourceTree>();
    if (from) this.tree = from.tree.copy();
  }

  /** The first one makes the repository; others have what the devices of `from` had. */
  static async make(
    scratch: Scratch,
    { name = "laptop", devices, from }: AuthorOptions = {},
  ): Promise<Author> {
    const own = devices ?? [new MemoryDevice({ name: "attic" })];
    if (!from) await scratch.create();
    else
      from.devices.forEach((device, i) => {
        copyDevice(device, own[i] ?? device);
      });
    const home = from ? scratch.path(`home-${name}`) : scratch.home;
    const repository = await scratch.open(own, { home, computer: name });
    if (!from) {
      await repository.makeDirectory("/start");
      await repository.keyAdministration.add({ kind: "keyfile", bytes: noise(77, 32) }, "stick");
    }
    const author = new Author(scratch, { name, devices: own, from }, home, repository);
    if (!from)
      await author.#changed((tree) => {
        tree.makeFolder("/start");
      });
    return author;
  }

  get repository(): Repository {
    return this.#repository;
  }

  /** With other devices; what follows goes to those only. */
  async reopen(devices: MemoryDevice[]): Promise<void> {
    await this.#open(devices);
  }

  /** Makes a folder, and with it a checkpoint. */
  async makeCheckpoint(folder: string): Promise<string> {
    await this.#open(this.devices, EAGER);
    const trimmed = (): number =>
      this.devices.flatMap(({ logs }) => [...logs.values()]).reduce((sum, { first = 0 }) => sum + first, 0);
    const before = trimmed();
    const id = await this.makeFolder(folder);
    if (trimmed() === before) throw new Error("no checkpoint was made");
    await this.#open(this.devices);
    return id;
  }

  /** Sources are below the scratch folder. */
  async push(source: string, to = "/"): Promise<string> {
    const path = this.#scratch.path(source);
    const { problems } = await this.repository.push({ sources: [path], to });
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
    return this.#changed((tree) => {
      tree.push(path, to);
    });
  }

  /** A small file of this name in a folder. */
  async write(path: string, content: string | Uint8Array): Promise<string> {
    const cut = path.lastIndexOf("/");
    const source = `${this.name}-source/${path.slice(cut + 1)}`;
    this.#scratch.write(source, content);
    return this.push(source, path.slice(0, cut) || "/");
  }

  async makeFolder(path: string): Promise<string> {
    await this.repository.makeDirectory(path, { parents: true });
    return this.#changed((tree) => {
      tree.makeFolder(path);
    });
  }

  async remove(path: string): Promise<string> {
    await this.repository.remove(path, { recursive: true });
    return this.#changed((tree) => {
      tree.remove(path);
    });
  }

  async move(from: string, to: string): Promise<string> {
    await this.repository.move(from, to);
    return this.#changed((tree) => {
      tree.move(from, to);
    });
  }

  async restore(path: string, at: string): Promise<string> {
    await this.repository.versions.restore(path, { at });
    return this.#changed((tree) => {
      tree.take(path, this.versionTree(at));
    });
  }

  /** Everything that the other's devices have; the caller says what comes of merging the trees. */
  async learn(other: Author, merged: SourceTree): Promise<void> {
    other.devices.forEach((device, i) => {
      copyDevice(device, this.devices[i] ?? device);
    });
    await this.repository.refresh();
    this.tree = merged.copy();
  }

  versionTree(id: string): SourceTree {
    const tree = this.#versions.get(id);
    if (!tree) throw new Error(`there is no version ${id}`);
    return tree;
  }

  /** With all versions of all authors but those that a checkpoint left out; what else there is to say comes on top. */
  expected(
    special: Partial<Omit<Expected, "versions">> & {
      forgotten?: readonly string[];
      leftOut?: readonly string[];
    } = {},
  ): Expected {
    const { forgotten = [], leftOut = [], ...rest } = special;
    const versions = [...this.#versions]
      .filter(([id]) => !leftOut.includes(id))
      .map(([id, tree]) => ({ id, isForgotten: forgotten.includes(id), tree: tree.expected }));
    const present = this.tree.expected;
    const none = { tags: {}, condemnedPacks: 0, droppedPacks: [], lostPacks: [] };
    return { versions, present, heads: [rest.present ?? present], ...none, ...rest };
  }

  async #open(devices: MemoryDevice[], options: Parameters<Scratch["open"]>[1] = {}): Promise<void> {
    await this.#repository.close();
    this.#repository = await this.#scratch.open(devices, {
      home: this.#home,
      computer: this.name,
      ...options,
    });
  }

  async #changed(change: (tree: SourceTree) => void): Promise<string> {
    change(this.tree);
    const { id } = await this.repository.versions.find("latest");
    this.#versions.set(id, this.tree.copy());
    return id;
  }
}
