// SPDX-License-Identifier: MIT
/** The commands that only the shell has: where "here" is on both sides, and the short forms of push and pull. */

import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { pullTo } from "../commands/pull";
import { pushCommand } from "../commands/push";
import { requireNode } from "../commands/ls";
import type { GlobalOptions } from "../command-context";
import type { FileCommand } from "../file-command";
import { inColumns } from "../listing/node-format";
import { Refusal, fromFileError } from "../refusal";
import { printable } from "../render";
import { atOption } from "../version-option";
import { remoteName } from "./remote-path";

interface PathOptions extends GlobalOptions {
  path: string | undefined;
}

interface PutOptions extends GlobalOptions {
  local: string;
  remote: string | undefined;
  force: boolean;
}

interface GetOptions extends GlobalOptions {
  remote: string;
  local: string | undefined;
  at: string | undefined;
}

export const cdCommand: FileCommand<PathOptions> = {
  command: "cd [path]",
  describe: "Go to a remote folder (default: the top)",
  completion: { arguments: ["remoteFolder", "none"] },
  builder: (yargs) => yargs.positional("path", { type: "string", describe: "Remote folder" }),
  run: async ({ path }, { session }) => {
    const remote = session.remotePath(path ?? "/");
    if (remote !== "/") {
      const { type } = await requireNode(await session.repository(), remote);
      if (type !== "directory") throw new Refusal("wrongKind", `${printable(remote)} is not a folder`);
    }
    session.remoteFolder = remote;
  },
};

export const pwdCommand: FileCommand = {
  command: "pwd",
  describe: "Show the remote folder that you are in",
  completion: { arguments: ["none"] },
  builder: (yargs) => yargs,
  run: ({ json }, { output, session }) => {
    output.result({ path: session.remoteFolder }, json ? undefined : printable(session.remoteFolder));
    return Promise.resolve();
  },
};

export const cwdCommand: FileCommand = { ...pwdCommand, command: "cwd", describe: "The same as pwd" };

export const putCommand: FileCommand<PutOptions> = {
  command: "put <local> [remote]",
  describe: "Store a file or folder in a remote folder (default: here)",
  completion: { arguments: ["local", "remoteFolder", "none"], options: ["--force"] },
  builder: (yargs) =>
    yargs
      .positional("local", { type: "string", describe: "Local file or folder", demandOption: true })
      .positional("remote", { type: "string", describe: "Remote folder; made when missing" })
      .option("force", { type: "boolean", default: false, describe: "Read every file again" }),
  run: async ({ local, remote, ...rest }, context) =>
    pushCommand.run({ ...rest, path: [local], to: remote ?? "." }, context),
};

export const getCommand: FileCommand<GetOptions> = {
  command: "get <remote> [local]",
  describe: "Fetch a file or folder; LOCAL becomes it, or with a final / takes it in",
  completion: {
    arguments: ["remote", "local", "none"],
    options: ["--at"],
    optionValues: { "--at": "none" },
  },
  builder: (yargs) =>
    yargs
      .positional("remote", { type: "string", describe: "Remote file or folder", demandOption: true })
      .positional("local", { type: "string", describe: "Where it goes (default: its name, here)" })
      .option("at", atOption),
  run: async ({ remote, local, at }, context) => {
    const isInside = local !== undefined && (/(^|\/)\.{0,2}$/.test(local) || local === "~");
    const name = remoteName(context.session.remotePath(remote));
    const to = isInside && name !== "" ? join(local, name) : local;
    await pullTo(remote, to, { overwrite: "always", at }, context);
  },
};

export const lcdCommand: FileCommand<PathOptions> = {
  command: "lcd [path]",
  describe: "Go to a local folder (default: your home)",
  completion: { arguments: ["localFolder", "none"] },
  builder: (yargs) => yargs.positional("path", { type: "string", describe: "Local folder" }),
  run: async ({ path }, { session }) => {
    const folder = session.localPath(path ?? "~");
    const found = await stat(folder).catch((error: unknown) => {
      throw fromFileError(error, `cannot go to ${printable(folder)}`);
    });
    if (!found.isDirectory()) throw new Refusal("wrongKind", `${printable(folder)} is not a folder`);
    session.localFolder = folder;
  },
};

export const lpwdCommand: FileCommand = {
  command: "lpwd",
  describe: "Show the local folder that you are in",
  completion: { arguments: ["none"] },
  builder: (yargs) => yargs,
  run: (_options, { output, session }) => {
    output.result({ path: session.localFolder }, printable(session.localFolder));
    return Promise.resolve();
  },
};

export const llsCommand: FileCommand<PathOptions> = {
  command: "lls [path]",
  describe: "List local files and folders",
  completion: { arguments: ["local", "none"] },
  builder: (yargs) => yargs.positional("path", { type: "string", describe: "Local path (default: here)" }),
  run: async ({ path }, { output, session }) => {
    const local = session.localPath(path ?? ".");
    const entries = await localEntries(local);
    for (const entry of entries) output.result({ path: join(local, entry.name), ...entry });
    const names = entries.map(({ name, isFolder }) => printable(name) + (isFolder ? "/" : ""));
    const lines = process.stdout.isTTY ? inColumns(names, process.stdout.columns || 80) : names;
    for (const line of lines) output.line(line);
  },
};

/** What is in a local folder, by name; of a file the file itself. */
export async function localEntries(path: string): Promise<{ name: string; isFolder: boolean }[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [{ name: basename(path), isFolder: false }];
    const found = await readdir(path, { withFileTypes: true });
    const entries = found.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }));
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw fromFileError(error, `cannot list ${printable(path)}`);
  }
}
