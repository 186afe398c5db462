// SPDX-License-Identifier: MIT
/** How versions are named, and how trees are compared, with ids, clocks and folders that no real run would give. */
import assert from "node:assert/strict";
import { Refusal } from "../refusal";
import { History } from "./history";
import type { EntryBody, Operation } from "./log-entry";
import type { LogBook } from "./log-book";
import type { MergedState } from "./merged-state";
import { EntryType, type TreeEntry, encodeEntry, makeEntry } from "./tree";
import { diffTrees } from "./tree-diff";
import type { TreeStore } from "./tree-store";

const root = encodeEntry(makeEntry({ name: "", type: EntryType.directory, mode: 0o755 }));

/** Entries of one writer with these ids, at these times, with these operations; oldest first. */
function historyOf(entries: readonly { id: string; time: string; operations?: Operation[] }[]): History {
  const uncovered = entries.map(({ time }, sequence): EntryBody => {
    const nothing = new Uint8Array(0);
    const [previous, timeMs] = [Buffer.alloc(32), Date.parse(time)];
    const place = { writer: Buffer.alloc(16), sequence, previous, lamport: sequence };
    return { ...place, timeMs, root, index: nothing, detail: nothing, devices: [] };
  });
  const log = {
    name: "laptop",
    count: uncovered.length,
    covered: 0,
    uncovered,
    headAt: (count: number) => Buffer.from((entries[count - 1]?.id ?? "").padEnd(64, "0"), "hex"),
  };
  const detail = (body: EntryBody): Promise<object> =>
    Promise.resolve({
      operations: entries[body.sequence]?.operations ?? [{ op: "remove", path: [Buffer.from("x")] }],
      seen: [],
    });
  return new History({
    logs: { logs: new Map([["laptop", log]]), log: () => log } as unknown as LogBook,
    state: { detail } as unknown as MergedState,
    checkpoints: { current: undefined },
    onWarning: (text) => {
      throw new Error(text);
    },
  });
}

describe("the names of versions", () => {
  const version = (id: string): Uint8Array => Buffer.from(id.padEnd(64, "0"), "hex");
  const history = historyOf([
    { id: "aaaa1111aa", time: "2026-11-18T10:00Z" },
    { id: "aaaa1111ab", time: "2026-11-19T10:00Z" },
    { id: "bbbb2222", time: "2026-11-20T10:00Z" },
    { id: "cccc3333", time: "2026-11-21T10:00Z" },
    { id: "dddd4444", time: "2026-11-22T10:00Z" },
    {
      id: "eeee5555",
      time: "2026-11-22T10:01Z",
      operations: [
        { op: "forget", versions: [version("cccc3333"), version("bbbb2222")] },
        { op: "tag", name: "release", version: version("aaaa1111aa") },
        { op: "tag", name: "saved", version: version("bbbb2222") },
        { op: "tag", name: "elsewhere", version: version("ffff") },
      ],
    },
  ]);
  const now = new Date("2026-11-22T10:30:00Z");

  const found: readonly (readonly [spec: string, id: string])[] = [
    ["latest", "dddd4444"],
    ["dddd", "dddd4444"],
    ["DDDD4444", "dddd4444"],
    ["dddd4444".padEnd(64, "0"), "dddd4444"],
    ["aaaa1111ab", "aaaa1111ab"],
    ["release", "aaaa1111aa"],
    ["saved", "bbbb2222"],
    ["bbbb2222", "bbbb2222"],
    ["1 minute ago", "dddd4444"],
    ["31 minutes ago", "bbbb2222"],
    ["2 days ago", "bbbb2222"],
    ["2026-11-19T10:00:00.000Z", "aaaa1111ab"],
    ["2026-11-19T09:59:59.999Z", "aaaa1111aa"],
    ["2030-01-01", "dddd4444"],
  ];
  for (const [spec, id] of found)
    it(`${spec.slice(0, 30)} is ${id}`, async () => {
      assert.equal((await history.find(spec, now)).id, id.padEnd(64, "0"));
    });

  const refused: readonly (readonly [spec: string, message: RegExp])[] = [
    ["aaaa1111", /aaaa1111 is ambiguous: 2 versions begin with it/],
    ["cccc3333", /the version cccc3333 was forgotten/],
    ["abcdef12", /there is no version abcdef12/],
    ["eeee5555", /there is no version eeee5555/],
    ["ddd", /"ddd" is neither a version, nor a tag, nor a time/],
    ["d".repeat(65), /neither/],
    ["elsewhere", /the version with the tag elsewhere is on none of the devices/],
    ["Release", /neither/],
    ["", /neither/],
    ["next week", /neither/],
    ["2026-11-17", /there is no version from 2026-11-17.* or before/],
    ["1 year ago", /there is no version from 2025-11-22.* or before/],
  ];
  for (const [spec, message] of refused)
    it(`${JSON.stringify(spec).slice(0, 30)} is refused: ${message.source}`, async () => {
      await assert.rejects(history.find(spec, now), (error) => {
        assert.ok(error instanceof Refusal);
        assert.equal(error.kind, "unknownVersion");
        assert.match(error.message, message);
        return true;
      });
    });

  it("an id is shown with as many digits as it needs", async () => {
    const shown = [...(await history.shortIds()).values()].sort();
    assert.deepEqual(shown, ["aaaa1111aa", "aaaa1111ab", "bbbb2222", "cccc3333", "dddd4444"]);
  });

  it("an empty repository has none", async () => {
    await assert.rejects(historyOf([]).find("latest"), /the repository has no versions yet/);
  });
});

describe("the comparison of trees", () => {
  it("looks into no folder whose content is equal", async () => {
    const folder = (name: string, content: number, mode = 0o755): TreeEntry =>
      makeEntry({ name, type: EntryType.directory, mode, content: Uint8Array.of(0x81, content) });
    const loaded: number[] = [];
    const trees = {
      load: ({ content }: TreeEntry) => {
        loaded.push(content[1] ?? 0);
        return Promise.resolve(
          content[1] === 1
            ? [folder("equal", 3), folder("mode", 4), folder("other", 5)]
            : content[1] === 2
              ? [folder("equal", 3), folder("mode", 4, 0o700), folder("other", 6)]
              : [],
        );
      },
    } as unknown as TreeStore;
    const changes: string[] = [];
    for await (const { change, path } of diffTrees(trees, folder("", 1), folder("", 2), ""))
      changes.push(`${change} ${path}`);
    assert.deepEqual(changes, ["mode /mode"]);
    assert.deepEqual(loaded, [1, 2, 5, 6]);
  });
});
