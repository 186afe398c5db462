// SPDX-License-Identifier: MIT
import { deepEqual, equal } from "node:assert/strict";
import { type CompletableCommand, type CompletionSource, type Listed, complete } from "./complete";
import { splitWords } from "./words";

const remote: Readonly<Record<string, readonly Listed[]>> = {
  "": [
    { name: "photos", isFolder: true },
    { name: "photo.txt", isFolder: false },
    { name: "My Music", isFolder: true },
    { name: ".hidden", isFolder: false },
    { name: "evil\u001b[2J", isFolder: false },
  ],
  "photos/": [{ name: "it's.jpg", isFolder: false }],
};

const getCommand: CompletableCommand = {
  arguments: ["remote", "local"],
  options: ["--overwrite", "--to", "--json"],
  optionValues: { "--to": "local" },
};

const source: CompletionSource = {
  commands: new Map<string, CompletableCommand>([
    ["get", getCommand],
    ["cd", { arguments: ["remoteFolder", "none"], options: [], optionValues: {} }],
    ["ls", { arguments: ["remote"], options: ["-l", "-R"], optionValues: {} }],
    ["help", { arguments: ["command", "none"], options: [], optionValues: {} }],
  ]),
  listRemote: (folder) => Promise.resolve(remote[folder] ?? []),
  listLocal: () => Promise.resolve([{ name: "here", isFolder: true }]),
};

describe("Tab completion of the shell", () => {
  const cases: readonly (readonly [string, readonly string[], string])[] = [
    ["", ["get ", "cd ", "ls ", "help "], ""],
    ["l", ["ls "], "l"],
    ["nothing ", [], ""],
    ["get pho", ["photo.txt ", "photos/"], "pho"],
    ["cd pho", ["photos/"], "pho"],
    ["cd photos x", [], "x"],
    ["get My", ["My\\ Music/"], "My"],
    ["get My\\ M", ["My\\ Music/"], "My\\ M"],
    ["get 'My M", ["'My Music/"], "'My M"],
    ['get "My M', ['"My Music/'], '"My M'],
    ["get .", [".hidden "], "."],
    ["get photos/", ["photos/it\\'s.jpg "], "photos/"],
    ['get "photos/', ['"photos/it\'s.jpg" '], '"photos/'],
    ["get a h", ["here/"], "h"],
    ["get --to h", ["here/"], "h"],
    ["get --o", ["--overwrite "], "--o"],
    ["get -- --o", [], "--o"],
    ["ls -l pho", ["photo.txt ", "photos/"], "pho"],
    ["ls a b pho", ["photo.txt ", "photos/"], "pho"],
    ["help g", ["get "], "g"],
    ["ls # pho", [], ""],
  ];
  for (const [line, candidates, replaced] of cases)
    it(`offers ${JSON.stringify(candidates)} for ${JSON.stringify(line)}`, async () => {
      deepEqual(await complete(line, source), [candidates, replaced]);
    });

  it("offers hostile names as escapes that read back exactly", async () => {
    const [candidates] = await complete("get e", source);
    equal(candidates.length, 1);
    deepEqual(splitWords(candidates[0] ?? ""), ["evil\u001b[2J"]);
    equal(candidates[0]?.includes("\u001b"), false);
  });
});
