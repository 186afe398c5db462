// SPDX-License-Identifier: MIT
/**
 * Every command of `coffer`: what the overview shows, and where the rest is. A command's own file is loaded only when
 * it runs or explains itself, which keeps `coffer --help` quick.
 *
 * What is written here has to equal the line and the description in the command's file; a test compares them.
 */

import type { Argv, ArgumentsCamelCase, CommandModule } from "yargs";
import type { GlobalOptions } from "./command-context";

/** A command with its option types forgotten: yargs checks them when it runs. */
export interface LoadedCommand {
  /** As in the command's file: name and positionals. */
  command: string;
  describe: string;
  build(yargs: Argv<GlobalOptions>): Argv<GlobalOptions> | Promise<Argv<GlobalOptions>>;
  run(options: ArgumentsCamelCase<GlobalOptions>): void | Promise<void>;
}

export interface CommandEntry {
  command: string;
  describe: string;
  load: () => Promise<LoadedCommand>;
}

export const commandTable: readonly CommandEntry[] = [
  {
    command: "init",
    describe: "Set up Coffer on this computer: authorities, certificates and repository keys",
    load: async () => forgetTypes((await import("./commands/init")).command),
  },
  {
    command: "push <path..>",
    describe: "Store files and folders, each under its own name",
    load: async () => forgetTypes((await import("./commands/push")).command),
  },
  {
    command: "pull <remote>",
    describe: "Fetch a file or folder",
    load: async () => forgetTypes((await import("./commands/pull")).command),
  },
  {
    command: "ls [path..]",
    describe: "List remote files and folders",
    load: async () => forgetTypes((await import("./commands/ls")).command),
  },
  {
    command: "mkdir <path..>",
    describe: "Make remote folders",
    load: async () => forgetTypes((await import("./commands/mkdir")).command),
  },
  {
    command: "rmdir <path..>",
    describe: "Remove empty remote folders",
    load: async () => forgetTypes((await import("./commands/rmdir")).command),
  },
  {
    command: "rm <path..>",
    describe: "Remove remote files, with -r folders and all in them",
    load: async () => forgetTypes((await import("./commands/rm")).command),
  },
  {
    command: "mv <from> <to>",
    describe: "Move or rename a remote file or folder; nothing is sent again",
    load: async () => forgetTypes((await import("./commands/mv")).command),
  },
  {
    command: "stat <path..>",
    describe: "Show everything known about remote files and folders",
    load: async () => forgetTypes((await import("./commands/stat")).command),
  },
  {
    command: "log [path]",
    describe: "List the versions, newest first; with PATH those that changed it",
    load: async () => forgetTypes((await import("./commands/log")).command),
  },
  {
    command: "diff <from> [to] [path]",
    describe: "Show what differs between two versions",
    load: async () => forgetTypes((await import("./commands/diff")).command),
  },
  {
    command: "restore <path>",
    describe: "Make a remote path again what it was in an older version, as a new version",
    load: async () => forgetTypes((await import("./commands/restore")).command),
  },
  {
    command: "tag [name] [which]",
    describe: "Give a version a name, list the names, or take one away",
    load: async () => forgetTypes((await import("./commands/tag")).command),
  },
  {
    command: "forget [versions..]",
    describe: "Forget versions: those named, or all that a policy does not keep",
    load: async () => forgetTypes((await import("./commands/forget")).command),
  },
  {
    command: "df",
    describe: "Show the room on each device and what the repository takes",
    load: async () => forgetTypes((await import("./commands/df")).command),
  },
  {
    command: "prune",
    describe: "Free what no kept version needs",
    load: async () => forgetTypes((await import("./commands/prune")).command),
  },
  {
    command: "verify",
    describe: "Prove that everything is stored where it should be, with --read-data byte by byte",
    load: async () => forgetTypes((await import("./commands/verify")).command),
  },
  {
    command: "repair [path..]",
    describe: "Store again what is damaged: from other devices, this computer's cache, or local files",
    load: async () => forgetTypes((await import("./commands/repair")).command),
  },
  {
    command: "shell",
    describe: "An interactive prompt on the repository, or the same commands from a pipe",
    load: async () => forgetTypes((await import("./commands/shell")).command),
  },
  {
    command: "key <action> [name]",
    describe: "Add, list and remove the keys that open the repository, and change what they open",
    load: async () => forgetTypes((await import("./commands/key")).command),
  },
  {
    command: "status",
    describe: "Show the relay and the state of each paired device",
    load: async () => forgetTypes((await import("./commands/status")).command),
  },
  {
    command: "device <action>",
    describe: "Add, list and remove devices; show the log of one",
    load: async () => forgetTypes((await import("./commands/device")).command),
  },
  {
    command: "client <action>",
    describe: "Add, list and revoke the computers that use the repository",
    load: async () => forgetTypes((await import("./commands/client")).command),
  },
  {
    command: "cert <action>",
    describe: "Make, list, renew and revoke certificates",
    load: async () => forgetTypes((await import("./commands/cert")).command),
  },
  {
    command: "relay",
    describe: "Run a relay, which connects clients with devices and can read nothing",
    load: async () => forgetTypes((await import("./commands/relay")).command),
  },
  {
    command: "node <folder>",
    describe: "Run the firmware on this computer: a device that stores in a folder",
    load: async () => forgetTypes((await import("./commands/node")).command),
  },
  {
    command: "sim",
    describe: "Run the firmware on a simulated board: the XS engine with an ESP32's memory",
    load: async () => forgetTypes((await import("./commands/sim")).command),
  },
  {
    command: "discover",
    describe: "Look for relays on the local network, and for the devices behind them",
    load: async () => forgetTypes((await import("./commands/discover")).command),
  },
  {
    command: "doctor",
    describe: "Check this computer: tools, state folder, certificates, relay",
    load: async () => forgetTypes((await import("./commands/doctor")).command),
  },
  {
    command: "demo [path]",
    describe: "Push PATH to a device on the XS engine and back, all on this computer, and compare",
    load: async () => forgetTypes((await import("./commands/demo")).command),
  },
  {
    command: "completion [shell]",
    describe: "Print the completion script for bash, zsh or fish",
    load: async () => forgetTypes((await import("./commands/completion")).command),
  },
];

function forgetTypes<Options>(module: CommandModule<GlobalOptions, Options>): LoadedCommand {
  const { command, describe, builder, handler } = module;
  if (typeof command !== "string" || typeof describe !== "string" || typeof builder !== "function")
    throw new TypeError("a command needs its line and description as strings, and its builder as a function");
  return {
    command,
    describe,
    build: (yargs) => builder(yargs) as unknown as Argv<GlobalOptions> | Promise<Argv<GlobalOptions>>,
    run: (options) => handler(options as unknown as ArgumentsCamelCase<Options>),
  };
}
