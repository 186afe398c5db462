// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { type PassphraseOptions, readPassphrase } from "./passphrase";
import { temporaryFolder } from "./test/temporary-folder";

/** A terminal at which somebody types `keys`, one part after the other. */
function typing(...keys: string[]): {
  terminal: NonNullable<PassphraseOptions["terminal"]>;
  screen: () => string;
  modes: boolean[];
} {
  let shown = "";
  const modes: boolean[] = [];
  const input = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (isRaw: boolean): void => {
      modes.push(isRaw);
    },
  });
  const output = new Writable({
    write: (bytes: Buffer, _, done): void => {
      shown += bytes.toString();
      done();
    },
  });
  void (async () => {
    for (const part of keys) {
      await new Promise((resolve) => setImmediate(resolve));
      input.write(part);
    }
  })();
  return { terminal: { input, output }, screen: () => shown, modes };
}

describe("passphrase", () => {
  const folder = temporaryFolder();
  const environment = { COFFER_PASSPHRASE: "from the environment" };

  it("the file wins over the environment, and only its first line counts", async () => {
    const file = join(folder.path, "file");
    await writeFile(file, "correct horse\r\nbattery\n");
    assert.equal(await readPassphrase({ purpose: "open", file, environment }), "correct horse");
    assert.equal(await readPassphrase({ purpose: "open", environment }), "from the environment");
  });

  it("an empty or missing file is refused", async () => {
    const file = join(folder.path, "empty");
    await writeFile(file, "\n");
    await assert.rejects(readPassphrase({ purpose: "open", file }), { kind: "noPassphrase" });
    await assert.rejects(readPassphrase({ purpose: "open", file: `${file}-absent` }), {
      kind: "localPathNotFound",
    });
  });

  it("the same words in any Unicode form are the same passphrase", async () => {
    const composed = await readPassphrase({
      purpose: "open",
      environment: { COFFER_PASSPHRASE: "caf\u00e9" },
    });
    const decomposed = await readPassphrase({
      purpose: "open",
      environment: { COFFER_PASSPHRASE: "cafe\u0301" },
    });
    assert.equal(composed, decomposed);
  });

  it("nothing typed is shown, and the terminal is as before afterwards", async () => {
    const { terminal, screen, modes } = typing("geh", "eim\r");
    assert.equal(await readPassphrase({ purpose: "open", environment: {}, terminal }), "geheim");
    assert.equal(screen(), "Passphrase: \n");
    assert.deepEqual(modes, [true, false]);
  });

  it("typing can be corrected", async () => {
    for (const [keys, expected] of [
      ["ab\u007fc\r", "ac"],
      ["wrong\u0015right\n", "right"],
      ["a😀\bb\r", "ab"],
    ] as const) {
      const { terminal } = typing(keys);
      assert.equal(await readPassphrase({ purpose: "open", environment: {}, terminal }), expected);
    }
  });

  it("a new passphrase is asked twice, also when both lines are pasted at once", async () => {
    for (const keys of [["one\r", "one\r"], ["one\rone\r"]]) {
      const { terminal, screen } = typing(...keys);
      assert.equal(await readPassphrase({ purpose: "create", environment: {}, terminal }), "one");
      assert.equal(screen(), "New passphrase: \nThe same again: \n");
    }
    const { terminal } = typing("one\r", "two\r");
    await assert.rejects(readPassphrase({ purpose: "create", environment: {}, terminal }), { kind: "usage" });
  });

  it("Ctrl-C interrupts, Ctrl-D and an empty line give none", async () => {
    for (const [keys, kind] of [
      ["abc\u0003", "interrupted"],
      ["\u0004", "noPassphrase"],
      ["\r", "noPassphrase"],
    ] as const) {
      const { terminal, modes } = typing(keys);
      await assert.rejects(readPassphrase({ purpose: "open", environment: {}, terminal }), { kind });
      assert.deepEqual(modes, [true, false]);
    }
  });
});
