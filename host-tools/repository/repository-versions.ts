// SPDX-License-Identifier: MIT
/** What the commands do with versions: log, diff, restore, tag and forget. docs/repository.md "Versions". */

import { Refusal } from "../refusal";
import { formatRemotePath, parseRemotePath, toBytes } from "./byte-names";
import { type Version, isVersionName } from "./history";
import { MAX_FORGOTTEN_VERSIONS, type Operation, isTagName } from "./log-entry";
import type { ForgetOptions, ForgetReport, NodeChange, VersionInfo } from "./repository-api";
import { untilNothingIsCondemned } from "./pack-fate";
import type { RepositoryParts } from "./repository-parts";
import { type TreeEntry, encodeEntry } from "./tree";
import { diffTrees } from "./tree-diff";
import { toVersionChange } from "./version-changes";
import { forgetPlan, requireForgettable } from "./version-forgetting";
import { versionsThatChanged } from "./version-path-log";
import { VersionRestorer } from "./version-restorer";

/** Of a version with more, the first so many are told and the rest is counted. */
const MAX_CHANGES = 100;

export class RepositoryVersions {
  readonly #parts: RepositoryParts;
  readonly #change: (operations: readonly Operation[]) => Promise<void>;

  constructor(parts: RepositoryParts, change: (operations: readonly Operation[]) => Promise<void>) {
    this.#parts = parts;
    this.#change = change;
  }

  /** Newest first, forgotten ones left out; with `path` those in which what is there differs from the version before. */
  async *log(options: { path?: string | undefined } = {}): AsyncGenerator<VersionInfo> {
    const versions = await this.#parts.history.kept();
    const describe = await this.#describer();
    if (options.path === undefined) {
      for (const version of versions) yield describe(version);
      return;
    }
    const { trees, onWarning } = this.#parts;
    const path = parseRemotePath(options.path);
    for await (const version of versionsThatChanged({ versions, path, trees, onWarning }))
      yield describe(version);
  }

  /** The version that a person means; refuses with `unknownVersion`. */
  async find(spec: string): Promise<VersionInfo> {
    return (await this.#describer())(await this.#parts.history.find(spec));
  }

  /** From one version to another, or to what is there now. */
  async *diff(from: string, to: string | undefined, path = "/"): AsyncGenerator<NodeChange> {
    const names = parseRemotePath(path);
    const before = await this.#parts.find(names, from);
    const after = await this.#parts.find(names, to);
    if (!before && !after)
      throw new Refusal("pathNotFound", `there is no ${formatRemotePath(names)} in either of them`);
    yield* diffTrees(this.#parts.trees, before, after, names.length === 0 ? "" : formatRemotePath(names));
  }

  /** False when it is as it was then already. `to`: a path at which there is nothing; default: `path` itself. */
  async restore(path: string, options: { at: string; to?: string | undefined }): Promise<boolean> {
    return untilNothingIsCondemned((isAgain) => this.#restore(path, options, isAgain));
  }

  async #restore(
    path: string,
    options: { at: string; to?: string | undefined },
    isAgain: boolean,
  ): Promise<boolean> {
    const parts = this.#parts;
    await parts.refresh();
    const { condemnations } = parts.fate;
    const node = await parts.require(path, options.at);
    const source = parseRemotePath(path);
    const target = options.to === undefined ? source : parseRemotePath(options.to);
    const present = await parts.find(target);
    if (present && formatRemotePath(target) !== formatRemotePath(source))
      throw new Refusal("nameCollision", `${formatRemotePath(target)} already exists`, {
        hint: "Choose another name with --to, or leave it out to put the path itself back.",
      });
    await parts.targetFolder(target.slice(0, -1));
    const named: TreeEntry = { ...node, name: target.at(-1) ?? "" };
    const uploader = await parts.uploader(undefined);
    const { trees, index, options: opened } = parts;
    const targets = opened.devices.map((device) => device.name);
    const restorer = new VersionRestorer({ trees, index, uploader, targets, signal: opened.signal });
    const operation: Operation = { op: "set", path: target.map(toBytes), node: encodeEntry(named) };
    try {
      await restorer.carry(named, present, target);
      const folders = [target.slice(0, -1)];
      const isChanged = await parts
        .committer()
        .commit([operation], folders, uploader, { condemnations, isAgain });
      await parts.settle();
      return isChanged;
    } catch (error) {
      await uploader.abandon();
      throw error;
    }
  }

  async tags(): Promise<{ name: string; version: string }[]> {
    const { history } = this.#parts;
    await this.#parts.refresh();
    const [tags, shortIds] = [await history.tags(), await history.shortIds()];
    const named = [...tags].map(([name, id]) => ({ name, version: shortIds.get(id) ?? id }));
    return named.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** A tag that is there already goes over to the version. */
  async tag(name: string, spec = "latest"): Promise<VersionInfo> {
    requireTagName(name);
    const { history } = this.#parts;
    await this.#parts.refresh();
    const version = await history.find(spec);
    if ((await history.tags()).get(name) !== version.id)
      await this.#change([{ op: "tag", name, version: Buffer.from(version.id, "hex") }]);
    return this.find(version.id);
  }

  async untag(name: string): Promise<void> {
    await this.#parts.refresh();
    if (!(await this.#parts.history.tags()).has(name))
      throw new Refusal("unknownVersion", `there is no tag ${JSON.stringify(name)}`, {
        hint: "`coffer tag --list` shows all.",
      });
    await this.#change([{ op: "untag", name }]);
  }

  async forget({ versions, policy, isDryRun = false }: ForgetOptions): Promise<ForgetReport> {
    const { history } = this.#parts;
    await this.#parts.refresh();
    await history.requireComplete();
    const [all, tags, current] = [await history.kept(), await history.tags(), await history.current()];
    const named = await Promise.all((versions ?? []).map((spec) => history.find(spec)));
    const describe = await this.#describer();
    for (const version of named) requireForgettable(describe(version), current);
    const plan = policy ? forgetPlan({ versions: all, policy, tags, current }) : [];
    const kept = plan.filter(({ reasons }) => reasons.length > 0);
    const chosen = new Set([
      ...named,
      ...plan.filter(({ reasons }) => reasons.length === 0).map(({ version }) => version),
    ]);
    const ids = [...chosen].map(({ id }) => Buffer.from(id, "hex"));
    const operations: Operation[] = [];
    for (let at = 0; at < ids.length; at += MAX_FORGOTTEN_VERSIONS)
      operations.push({ op: "forget", versions: ids.slice(at, at + MAX_FORGOTTEN_VERSIONS) });
    if (!isDryRun) await this.#change(operations);
    return {
      kept: kept.map(({ version, reasons }) => ({ version: describe(version), reasons })),
      forgotten: [...chosen].map(describe),
    };
  }

  async #describer(): Promise<(version: Version) => VersionInfo> {
    const { history } = this.#parts;
    const shortIds = await history.shortIds();
    const tags = new Map<string, string[]>();
    for (const [name, id] of await history.tags()) tags.set(id, [...(tags.get(id) ?? []), name].sort());
    return ({ id, body, root, writer, operations }) => ({
      id,
      shortId: shortIds.get(id) ?? id,
      timeMs: body.timeMs,
      writer,
      changes: operations.slice(0, MAX_CHANGES).flatMap(toVersionChange),
      changeCount: operations.length,
      tags: tags.get(id) ?? [],
      sizeBytes: root.sizeBytes,
      entries: root.entries,
    });
  }
}

/** A tag must not be taken for anything else that names a version. */
function requireTagName(name: string): void {
  if (!isTagName(name))
    throw new Refusal("usage", `${JSON.stringify(name)} cannot be a tag`, {
      hint: "A tag has up to 64 letters, digits, dots, underscores and dashes, and does not begin with a dash.",
    });
  if (isVersionName(name))
    throw new Refusal(
      "usage",
      `${JSON.stringify(name)} cannot be a tag: it reads like a version's id or a time`,
      {
        hint: "Choose another name, for example with a word in front.",
      },
    );
}
