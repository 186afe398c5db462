// SPDX-License-Identifier: MIT
import { deepEqual, equal } from "node:assert/strict";
import type { RemoteNode } from "../repository/repository";
import { formatMode, inColumns, isoTime, longCells, nodeRecord } from "./node-format";

const file: RemoteNode = {
  name: "a\u001b[31m\n",
  type: "file",
  mode: 0o644,
  mtimeNs: 1_700_000_000_123_456_789n,
  sizeBytes: 1536,
  entries: 0,
  contentId: "c0ffee",
};

describe("how remote files are shown", () => {
  it("writes modes as ls does", () => {
    equal(formatMode("file", 0o644), "-rw-r--r--");
    equal(formatMode("directory", 0o755), "drwxr-xr-x");
    equal(formatMode("symlink", 0o777), "lrwxrwxrwx");
    equal(formatMode("file", 0o6755), "-rwsr-sr-x");
    equal(formatMode("file", 0o4644), "-rwSr--r--");
    equal(formatMode("directory", 0o1777), "drwxrwxrwt");
    equal(formatMode("file", 0), "----------");
  });

  it("keeps nanoseconds, also before 1970", () => {
    equal(isoTime(1_700_000_000_123_456_789n), "2023-11-14T22:13:20.123456789Z");
    equal(isoTime(-1n), "1969-12-31T23:59:59.999999999Z");
    equal(isoTime(-1_000_000_000n), "1969-12-31T23:59:59.000000000Z");
    equal(isoTime(10n ** 30n).startsWith("+275760-09-13"), true);
  });

  it("escapes names and targets for the terminal and leaves them exact in records", () => {
    const link: RemoteNode = { ...file, type: "symlink", target: "\u202etxt" };
    equal(longCells(link, link.name)[3], "a\\u{1b}[31m\\n -> \\u{202e}txt");
    deepEqual(nodeRecord(link, "/x/a\u001b[31m\n"), {
      path: "/x/a\u001b[31m\n",
      name: "a\u001b[31m\n",
      type: "symlink",
      sizeBytes: 1536,
      mode: "0644",
      mtime: "2023-11-14T22:13:20.123456789Z",
      target: "\u202etxt",
      contentId: "c0ffee",
    });
  });

  it("fills columns downwards and never beyond the width", () => {
    deepEqual(inColumns([], 80), []);
    deepEqual(inColumns(["a", "b", "c", "d", "e"], 7), ["a  d", "b  e", "c"]);
    deepEqual(inColumns(["a", "b", "c"], 80), ["a  b  c"]);
    deepEqual(inColumns(["a long name", "b"], 5), ["a long name", "b"]);
    for (let width = 1; width < 60; width += 1) {
      const names = Array.from({ length: 23 }, (_, index) => "x".repeat((index * 7) % 11) + String(index));
      const lines = inColumns(names, width);
      deepEqual(lines.join(" ").split(/\s+/).sort(), [...names].sort());
      if (lines.length < names.length) equal(Math.max(...lines.map(({ length }) => length)) <= width, true);
    }
  });
});
