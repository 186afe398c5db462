// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { Output, formatBytes, formatDuration, formatTable, printable } from "./render";

function sink(isTTY: boolean): { stream: Writable & { isTTY: boolean }; text: () => string } {
  let text = "";
  const stream = new Writable({
    write: (bytes: Buffer, _, done): void => {
      text += bytes.toString();
      done();
    },
  });
  return { stream: Object.assign(stream, { isTTY }), text: () => text };
}

function said(options: { json?: boolean; quiet?: boolean }): { out: string; err: string } {
  const stdout = sink(false);
  const stderr = sink(false);
  const { json = false, quiet = false } = options;
  const output = new Output({ json, quiet, stdout: stdout.stream, stderr: stderr.stream });
  output.result({ a: 1 }, "one");
  output.line("line");
  output.note("note");
  output.warn("warning");
  return { out: stdout.text(), err: stderr.text() };
}

describe("output", () => {
  it("results go to stdout, remarks and warnings to stderr", () => {
    assert.deepEqual(said({}), { out: "one\nline\n", err: "note\ncoffer: warning: warning\n" });
    assert.deepEqual(said({ quiet: true }), { out: "one\nline\n", err: "coffer: warning: warning\n" });
    assert.deepEqual(said({ json: true }), { out: '{"a":1}\n', err: '{"warning":"warning"}\n' });
  });

  it("progress shows speed and time left on a terminal and nothing anywhere else", async () => {
    for (const [isTTY, json, quiet, isShown] of [
      [true, false, false, true],
      [false, false, false, false],
      [true, true, false, false],
      [true, false, true, false],
    ] as const) {
      const stderr = sink(isTTY);
      const terminal = Object.assign(stderr.stream, { columns: 120 });
      const progress = await new Output({ json, quiet, stderr: terminal }).progress("pushing", 4096);
      progress.update(1024, "a\u001b[31mb");
      await new Promise((resolve) => setTimeout(resolve, 150));
      progress.update(2048);
      progress.stop();
      progress.stop();
      progress.update(4096);
      assert.equal(stderr.text() !== "", isShown);
      if (!isShown) continue;
      assert.match(stderr.text(), /pushing .*50%.*2\.0 KiB of 4\.0 KiB.*KiB\/s.*left/);
      assert.ok(!stderr.text().includes("a\u001b[31mb"));
    }
  });

  it("sizes and times are short and exact enough", () => {
    assert.deepEqual(
      [0, 1023, 1024, 1536, 102_300, 102_400, 1_048_575, 1_048_576, 2 ** 40].map(formatBytes),
      ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "99.9 KiB", "100 KiB", "1.0 MiB", "1.0 MiB", "1.0 TiB"],
    );
    assert.deepEqual([0.4, 59.6, 75, 3599.6, 7389].map(formatDuration), [
      "0:00",
      "1:00",
      "1:15",
      "1:00:00",
      "2:03:09",
    ]);
  });

  it("a hostile name cannot move the cursor, hide or reorder text", () => {
    assert.equal(printable("a\u001b[2Jb\n\tc\u007f"), "a\\u{1b}[2Jb\\n\\tc\\u{7f}");
    assert.equal(printable("photo\u202egpj.exe"), "photo\\u{202e}gpj.exe");
    assert.equal(printable("\udc80"), "\\u{dc80}");
    assert.equal(printable("naïve 日本 👩\u200d👧 a b"), "naïve 日本 👩\u200d👧 a b");
  });

  it("tables align and end without spaces", () => {
    assert.equal(
      formatTable([
        ["A", "B"],
        ["long", ""],
        ["x", "y"],
      ]),
      "A     B\nlong\nx     y",
    );
  });
});
