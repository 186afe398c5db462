// SPDX-License-Identifier: MIT
import { deepEqual, equal, match } from "node:assert/strict";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Output } from "../render";
import { RemoteSession } from "../remote-session";
import type { RemoteNode, Repository } from "../repository/repository";
import { State } from "../state";
import { temporaryFolder } from "../test/temporary-folder";
import { historyLimit, historyPath, loadHistory, saveHistory } from "./history";
import { resolveRemote } from "./remote-path";
import { type ShellOutcome, runShell } from "./shell";

/** A session whose repository writes down what it is asked for. */
class FakeSession extends RemoteSession {
  readonly calls: string[] = [];
  readonly #folders = new Set(["/a b", "/a b/c"]);

  override repository(): Promise<Repository> {
    const fake = {
      stat: (path: string): Promise<RemoteNode | undefined> =>
        Promise.resolve(this.#folders.has(path) ? folderNode(path) : undefined),
      makeDirectory: (path: string, { parents }: { parents: boolean }): Promise<void> => {
        this.calls.push(`mkdir ${path}${parents ? " -p" : ""}`);
        this.#folders.add(path);
        return Promise.resolve();
      },
      move: (from: string, to: string): Promise<void> => {
        this.calls.push(`mv ${from} ${to}`);
        return Promise.resolve();
      },
    };
    return Promise.resolve(fake as unknown as Repository);
  }
}

function folderNode(name: string): RemoteNode {
  return { name, type: "directory", mode: 0o755, mtimeNs: 0n, sizeBytes: 0, entries: 0, contentId: "" };
}

describe("the shell from a pipe", () => {
  const folder = temporaryFolder();
  let session: FakeSession;
  let errors: string[];
  const write = process.stderr.write.bind(process.stderr);

  beforeEach(() => {
    const output = new Output({ json: false, quiet: false });
    session = new FakeSession({ state: new State(join(folder.path, "home")), output });
    errors = [];
    process.stderr.write = (text: string | Uint8Array) => errors.push(String(text)) > 0;
  });
  afterEach(() => {
    process.stderr.write = write;
  });

  function run(script: string, options: { failFast?: boolean } = {}): Promise<ShellOutcome> {
    const input = Readable.from([script]);
    return runShell({ session, json: false, quiet: true, failFast: options.failFast ?? false, input });
  }

  it("keeps the place it is in, and takes quotes, comments and empty lines", async () => {
    const outcome = await run(
      "# to begin with\n\n  cd 'a b'   \nmkdir c/d \"e f\"\ncd c/\nmv ../x y # there\nmkdir -p /z\n",
    );
    deepEqual(session.calls, ["mkdir /a b/c/d", "mkdir /a b/e f", "mv /a b/x /a b/c/y", "mkdir /z -p"]);
    equal(session.remoteFolder, "/a b/c");
    deepEqual([outcome.lines, outcome.failures], [7, 0]);
  });

  it("goes on after lines that fail, and remembers the first", async () => {
    const outcome = await run("mkdir one\nfly\ncd nowhere\nmkdir 'open\nmkdir two\n");
    deepEqual(session.calls, ["mkdir /one", "mkdir /two"]);
    deepEqual([outcome.failures, outcome.first?.kind, outcome.first?.lineNumber], [3, "usage", 2]);
    match(errors.join(""), /line 3: there is no \/nowhere/);
    match(errors.join(""), /line 4: a ' is not closed/);
  });

  it("ends at the first line that fails when asked to", async () => {
    const outcome = await run("mkdir one\nfly\nmkdir two\n", { failFast: true });
    deepEqual(session.calls, ["mkdir /one"]);
    equal(outcome.failures, 1);
  });

  it("ends with exit and with quit, whatever follows", async () => {
    for (const word of ["exit", "quit"]) await run(`mkdir ${word}\n${word}\nmkdir never\n`);
    deepEqual(session.calls, ["mkdir /exit", "mkdir /quit"]);
  });

  it("refuses unknown options with the command's own hint", async () => {
    const outcome = await run("mkdir --fast x\n");
    equal(outcome.first?.kind, "usage");
    match(errors.join(""), /help mkdir/);
  });

  it("has a local place of its own", async () => {
    await mkdir(join(folder.path, "local", "deep"), { recursive: true });
    const outcome = await run(`lcd '${folder.path}'\nlcd local/deep\nlcd ..\nlcd nowhere\n`);
    equal(session.localFolder, join(folder.path, "local"));
    equal(outcome.first?.kind, "localPathNotFound");
  });

  it("runs a last line that has no line break", async () => {
    await run("mkdir a\nmkdir b");
    deepEqual(session.calls, ["mkdir /a", "mkdir /b"]);
  });
});

describe("the shell's history", () => {
  const folder = temporaryFolder();

  it("is bounded, owner-only, newest first, and without lines that begin with a blank", async () => {
    const lines = Array.from({ length: historyLimit + 50 }, (_, index) => `ls ${String(index)}`);
    await saveHistory(folder.path, [" secret", ...lines, ""]);
    const loaded = await loadHistory(folder.path);
    equal(loaded.length, historyLimit);
    deepEqual(loaded.slice(0, 2), ["ls 0", "ls 1"]);
    equal((await stat(historyPath(folder.path))).mode & 0o777, 0o600);
  });

  it("is empty when there is none, and when it is no text", async () => {
    deepEqual(await loadHistory(join(folder.path, "nowhere")), []);
    await mkdir(join(folder.path, "odd"));
    await writeFile(historyPath(join(folder.path, "odd")), new Uint8Array([0xff, 0x00, 0x0a]));
    equal((await loadHistory(join(folder.path, "odd"))).length, 1);
  });
});

describe("remote paths", () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ["/", "a", "/a"],
    ["/a", "b/c/", "/a/b/c"],
    ["/a", "/b", "/b"],
    ["/a/b", "..", "/a"],
    ["/a", "../../..", "/"],
    ["/a", ".", "/a"],
    ["/a", "", "/a"],
    ["/a", "./b//../c", "/a/c"],
    ["/", "/", "/"],
  ];
  for (const [from, path, expected] of cases)
    it(`${path} from ${from} is ${expected}`, () => {
      equal(resolveRemote(from, path), expected);
    });
});
