// SPDX-License-Identifier: MIT
/** What Repository and the second reader find, in the form that fixtures expect. */

import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import type { Repository, WalkedNode } from "../repository";
import type { MemoryDevice } from "../testing/memory-device";
import { type ExpectedNode, type ExpectedTree, type TreeNodes, fingerprint, sha256 } from "./expected-tree";
import type { Fixture, GoldenSecret } from "./fixture";
import {
  type DeviceContents,
  Refused,
  type Secret,
  SecondReader,
  type TreeNode,
  textOf,
} from "./second-reader";

export const refusesAs =
  (reason: Refused["reason"]) =>
  (error: unknown): boolean =>
    error instanceof Refused && error.reason === reason;

export function firstSecret({ secrets }: Fixture): GoldenSecret {
  const [secret] = secrets;
  assert.ok(secret);
  return secret;
}

/** Everything that the second reader finds in what is kept. */
export async function readAll(devices: readonly MemoryDevice[], fixture: Fixture): Promise<void> {
  const reader = await openSecond(devices, firstSecret(fixture));
  for (const { root, isForgotten } of reader.versions) if (!isForgotten) secondTree(reader, root);
}

export function openSecond(devices: readonly MemoryDevice[], secret: GoldenSecret): Promise<SecondReader> {
  return SecondReader.open(devices.map(contentsOf), secretOf(secret));
}

export function contentsOf({ name, blobs, logs }: MemoryDevice): DeviceContents {
  const held = [...logs].map(([id, { entries, first = 0, start }]) => {
    const kept = entries.slice(first - (start?.count ?? 0)).map((entry) => Buffer.from(entry));
    return [id, { first, entries: kept }] as const;
  });
  return { name, blobs, logs: new Map(held) };
}

export function secretOf({ kind, value }: GoldenSecret): Secret {
  return { kind, bytes: Buffer.from(value, kind === "keyfile" ? "hex" : "utf8") };
}

export function secondTree(reader: SecondReader, root: TreeNode): TreeNodes {
  const nodes: TreeNodes = {};
  for (const { path, node } of reader.walk(root)) {
    const [seconds, nanoseconds] = node.mtime;
    const mtimeNs = String(BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds));
    const common = { mode: node.mode, mtimeNs };
    const at = path.map((name) => `/${textOf(name)}`).join("");
    if (node.target) nodes[at] = { type: "symlink", ...common, target: textOf(node.target) };
    else if (node.type === "folder") nodes[at] = { type: "folder", ...common };
    else nodes[at] = { type: "file", ...common, size: node.size, sha256: sha256(reader.read(node)) };
  }
  return nodes;
}

/** Trees as they are listed, contents as they are pulled; each content once. */
export class RepositoryReading {
  readonly #repository: Repository;
  readonly #to: string;
  readonly #sha256 = new Map<string, string>();

  /** `to`: a path at which there is nothing. */
  constructor(repository: Repository, to: string) {
    this.#repository = repository;
    this.#to = to;
  }

  async tree(at?: string): Promise<TreeNodes> {
    const found: WalkedNode[] = [];
    for await (const node of this.#repository.walk("/", { at })) if (node.path !== "/") found.push(node);
    for (const { path, type, contentId } of found)
      if (type === "file" && !this.#sha256.has(contentId)) await this.#pull(path, contentId, at);
    return Object.fromEntries(found.map((node) => [node.path, this.#expectedNode(node)]));
  }

  async #pull(remote: string, contentId: string, at: string | undefined): Promise<void> {
    const { problems } = await this.#repository.pull({ remote, to: this.#to, at });
    assert.deepEqual(problems, []);
    this.#sha256.set(contentId, sha256(readFileSync(this.#to)));
    rmSync(this.#to);
  }

  #expectedNode({ type, mode, mtimeNs, sizeBytes, target, contentId }: WalkedNode): ExpectedNode {
    const common = { mode, mtimeNs: String(mtimeNs) };
    if (type === "directory") return { type: "folder", ...common };
    if (type === "symlink") return { type, ...common, target: target ?? "" };
    return { type, ...common, size: sizeBytes, sha256: this.#sha256.get(contentId) ?? "" };
  }
}

export function assertTree(found: TreeNodes, expected: ExpectedTree, what: string): void {
  if (isFingerprint(expected)) {
    assert.equal(fingerprint(found), expected.fingerprint, what);
    return;
  }
  const compared = Object.entries(found).map(([path, node]) => {
    const isTold = expected[path]?.type !== "folder" || "mode" in expected[path];
    return [path, isTold ? node : { type: node.type }];
  });
  assert.deepEqual(Object.fromEntries(compared), expected, what);
}

function isFingerprint(tree: ExpectedTree): tree is { fingerprint: string } {
  return typeof tree["fingerprint"] === "string";
}
