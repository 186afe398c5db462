// SPDX-License-Identifier: MIT
/** What a tree has to look like, taken from what is pushed and never from what a repository says. */

import { createHash } from "node:crypto";
import { type BigIntStats, lstatSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import { fromBytes, toText } from "../byte-names";

/** Times in nanoseconds. Of folders that the repository made itself neither mode nor time are told. */
export type ExpectedNode =
  | { type: "file"; mode: number; mtimeNs: string; size: number; sha256: string }
  | { type: "folder"; mode?: number; mtimeNs?: string }
  | { type: "symlink"; mode: number; mtimeNs: string; target: string };

/** Nodes by their path, "/a/b", in the text form of names. */
export type TreeNodes = Record<string, ExpectedNode>;

/** Large trees are told by their fingerprint. */
export type ExpectedTree = TreeNodes | { fingerprint: string };

const MOST_NODES = 200;

/** In the order of paths. */
export function expectedTree(nodes: TreeNodes): ExpectedTree {
  const sorted = Object.entries(nodes).sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.length <= MOST_NODES ? Object.fromEntries(sorted) : { fingerprint: fingerprint(nodes) };
}

/** Without modes and times of folders, which are not known of all. */
export function fingerprint(nodes: TreeNodes): string {
  const lines = Object.entries(nodes).map(([path, node]) =>
    JSON.stringify(
      node.type === "folder"
        ? [path]
        : [path, node.mode, node.mtimeNs, node.type === "file" ? [node.size, node.sha256] : node.target],
    ),
  );
  return sha256(lines.sort().join("\n"));
}

export const sha256 = (bytes: Uint8Array | string): string =>
  createHash("sha256").update(bytes).digest("hex");

/** A tree that is changed in step with a repository. */
export class SourceTree {
  #nodes = new Map<string, ExpectedNode>();

  get expected(): ExpectedTree {
    return expectedTree(this.nodes);
  }

  get nodes(): TreeNodes {
    return Object.fromEntries(this.#nodes);
  }

  copy(): SourceTree {
    const copy = new SourceTree();
    copy.#nodes = new Map(this.#nodes);
    return copy;
  }

  /** A local file or folder arrives under its own name in the folder `to`. */
  push(source: string, to: string): void {
    this.makeFolder(to);
    this.#add(Buffer.from(source), `${to === "/" ? "" : to}/${source.slice(source.lastIndexOf("/") + 1)}`);
  }

  makeFolder(path: string): void {
    for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
      const above = path.slice(0, end);
      if (above !== "/" && !this.#nodes.has(above)) this.#nodes.set(above, { type: "folder" });
    }
  }

  remove(path: string): void {
    for (const [below] of this.#below(path)) this.#nodes.delete(below);
  }

  move(from: string, to: string): void {
    const moved = this.#below(from);
    this.remove(from);
    for (const [below, node] of moved) this.#nodes.set(to + below.slice(from.length), node);
  }

  /** What is at `path` in another tree becomes what is here, at the same path or another one. */
  take(path: string, from: SourceTree, as = path): void {
    this.remove(as);
    for (const [below, node] of from.#below(path)) this.#nodes.set(as + below.slice(path.length), node);
  }

  /** Everything at and below a path; all for "/". */
  #below(path: string): [string, ExpectedNode][] {
    return [...this.#nodes].filter(([one]) => path === "/" || one === path || one.startsWith(`${path}/`));
  }

  #add(source: Buffer, path: string): void {
    const stat = lstatSync(source, { bigint: true });
    this.#nodes.set(path, nodeOf(source, stat));
    if (!stat.isDirectory()) return;
    for (const name of readdirSync(source, { encoding: "buffer" })) {
      const below = Buffer.concat([source, Buffer.from("/"), name]);
      this.#add(below, `${path}/${toText(fromBytes(name))}`);
    }
  }
}

function nodeOf(path: Buffer, stat: BigIntStats): ExpectedNode {
  const common = { mode: Number(stat.mode & 0o7777n), mtimeNs: String(stat.mtimeNs) };
  if (stat.isDirectory()) return { type: "folder", ...common };
  if (stat.isSymbolicLink()) {
    const target = readlinkSync(path, { encoding: "buffer" });
    return { type: "symlink", ...common, target: toText(fromBytes(target)) };
  }
  return { type: "file", ...common, size: Number(stat.size), sha256: sha256(readFileSync(path)) };
}
