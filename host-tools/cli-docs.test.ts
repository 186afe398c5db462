// SPDX-License-Identifier: MIT
import { deepEqual } from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { commandTable } from "./command-table";
import { ExitStatus } from "./exit-status";
import { shellCommands } from "./shell/shell-commands";

describe("docs/cli.md", () => {
  let text = "";
  before(async () => {
    text = await readFile(new URL("../docs/cli.md", import.meta.url), "utf8");
  });

  it("has every exit status with its number", () => {
    const missing = Object.entries(ExitStatus).filter(
      ([name, status]) => !text.includes(`| ${String(status)} | \`${name}\` |`),
    );
    deepEqual(missing, []);
  });

  it("has every command, also those of the shell", () => {
    const names = [
      ...commandTable.map(({ command }) => command.split(" ", 1)[0] ?? ""),
      ...shellCommands.keys(),
    ];
    deepEqual(
      names.filter((name) => !new RegExp(`\`(?:coffer )?${name}[\` ]`).test(text)),
      [],
    );
  });
});
