// SPDX-License-Identifier: MIT
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { hostname } from "node:os";
import { resolve } from "node:path";
import type { GlobalOptions } from "../command-context";
import { type FileCommand, type FileCommandContext, standalone } from "../file-command";
import { KeychainKey } from "../keychain";
import { makeKeyfile } from "../keyfile";
import { readPassphrase } from "../passphrase";
import { writePrivateFile } from "../private-files";
import { Refusal } from "../refusal";
import { formatTable, printable } from "../render";
import { type SlotInfo, defaultLabel } from "../repository/key-administration";
import { type KeySecret, SECRET_BYTES, SlotKind } from "../repository/key-secret";
import { makeRecoveryCode } from "../repository/recovery-code";
import { recoverySheet } from "../repository/recovery-sheet";

const actions = ["add", "list", "remove", "rotate", "keychain"] as const;

interface KeyOptions extends GlobalOptions {
  action: (typeof actions)[number];
  name: string | undefined;
  label: string | undefined;
  "new-passphrase-file": string | undefined;
  "new-keyfile": string | undefined;
  recovery: boolean;
  to: string | undefined;
}

type Options = Pick<KeyOptions, "action" | "name" | "label" | "recovery" | "to"> & {
  newPassphraseFile?: string | undefined;
  newKeyfile?: string | undefined;
};

export const keyCommand: FileCommand<KeyOptions> = {
  command: "key <action> [name]",
  describe: "Add, list and remove the keys that open the repository, and change what they open",
  completion: {
    arguments: ["none"],
    options: ["--label", "--new-passphrase-file", "--new-keyfile", "--recovery", "--to"],
    optionValues: { "--new-passphrase-file": "local", "--new-keyfile": "local", "--to": "local" },
  },
  builder: (yargs) =>
    yargs
      .positional("action", {
        choices: actions,
        describe: "add, list, remove NAME, rotate, keychain on or keychain off",
        demandOption: true,
      })
      .positional("name", { type: "string", describe: "Id or label of a key; for keychain: on or off" })
      .option("label", {
        type: "string",
        describe: "What to call the new key (everyone who has a device can read it)",
        requiresArg: true,
      })
      .option("new-passphrase-file", {
        type: "string",
        describe: "Read the new passphrase from the first line of a file",
        requiresArg: true,
      })
      .option("new-keyfile", {
        type: "string",
        describe: "Make a keyfile at this path and add it as a key",
        requiresArg: true,
      })
      .option("recovery", {
        type: "boolean",
        default: false,
        describe: "Add a recovery code and print its sheet",
      })
      .option("to", {
        type: "string",
        describe: "Write the recovery sheet to this file instead",
        requiresArg: true,
      })
      .example("$0 key add --label desk", "asks for a new passphrase")
      .example("$0 key add --recovery --to sheet.txt", "a page to print"),
  run: async (given, context) => {
    const options = given as unknown as Options;
    if (options.action === "remove" || options.action === "keychain") {
      if (options.name === undefined)
        throw new Refusal(
          "usage",
          `\`coffer key ${options.action}\` needs ${options.action === "remove" ? "the id or label of a key" : "on or off"}`,
        );
    } else if (options.name !== undefined)
      throw new Refusal("usage", `\`coffer key ${options.action}\` takes no name`, {
        hint: "A label is given with --label.",
      });
    await run[options.action](options, context);
  },
};

export const command = standalone(keyCommand);

const run: Record<KeyOptions["action"], (options: Options, context: FileCommandContext) => Promise<void>> = {
  add,
  list,
  remove,
  rotate,
  keychain,
};

async function add(options: Options, { output, session }: FileCommandContext): Promise<void> {
  const { label, recovery, to, newKeyfile, newPassphraseFile } = options;
  if ([recovery, newKeyfile !== undefined, newPassphraseFile !== undefined].filter(Boolean).length > 1)
    throw new Refusal("usage", "--recovery, --new-keyfile and --new-passphrase-file exclude each other");
  if (to !== undefined && !recovery) throw new Refusal("usage", "--to belongs to --recovery");
  const repository = await session.repository();
  const keys = repository.keyAdministration;
  if (recovery) {
    const code = makeRecoveryCode();
    const added = await keys.add(code, label ?? defaultLabel(SlotKind.recovery, hostname()));
    const { id, createdAt } = added;
    const sheet = recoverySheet({
      repositoryId: repository.id,
      label: added.label,
      slotId: id,
      code,
      qrCode: (await import("../qr-code")).qrCode(code, "paper"),
      createdAt,
    });
    try {
      if (to === undefined) output.result({ ...record(added), code, sheet }, sheet.trimEnd());
      else await writePrivateFile(session.localPath(to), sheet, { exclusive: true });
    } catch (error) {
      output.warn(`the sheet could not be written: remove the key with \`coffer key remove ${id}\``);
      throw error;
    }
    if (to !== undefined)
      output.result({ ...record(added), sheet: session.localPath(to) }, `added ${describe(added)}`);
    return;
  }
  if (newKeyfile !== undefined) {
    const path = resolve(session.localPath(newKeyfile));
    const bytes = await makeKeyfile(path);
    const secret: KeySecret = { kind: "keyfile", bytes };
    try {
      const added = await keys.add(secret, label ?? defaultLabel(SlotKind.keyfile, hostname()));
      output.result({ ...record(added), path }, `added ${describe(added)}`);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    }
    output.note(
      `${printable(path)} opens the repository without a passphrase: keep it where only you can read it.`,
    );
    return;
  }
  if (newPassphraseFile === undefined && !process.stdin.isTTY)
    throw new Refusal("noPassphrase", "a new passphrase is needed and there is no terminal to ask at", {
      hint: "Give --new-passphrase-file FILE, --new-keyfile PATH or --recovery.",
    });
  const passphrase = await readPassphrase({
    file: newPassphraseFile,
    purpose: "create",
    // What opens the repository is not what is added.
    environment: {},
  });
  const added = await keys.add(passphrase, label ?? defaultLabel(SlotKind.passphrase, hostname()));
  output.result(record(added), `added ${describe(added)}`);
}

async function list(_options: Options, { output, session }: FileCommandContext): Promise<void> {
  const repository = await session.repository();
  await repository.refresh();
  const keys = repository.keyAdministration;
  const rows = [["ID", "KIND", "ADDED", "LABEL", ""]];
  for (const key of keys.list()) {
    output.result(record(key));
    const { id, kind, createdAt, label, isOwn } = key;
    rows.push([id, kind, createdAt.toISOString().slice(0, 10), printable(label), isOwn ? "in use now" : ""]);
  }
  output.line(formatTable(rows));
  output.note(
    `The keys behind them were changed ${keys.epoch === 1 ? "once" : `${String(keys.epoch)} times`}.`,
  );
}

async function remove({ name = "" }: Options, { output, session }: FileCommandContext): Promise<void> {
  const removed = await (await session.repository()).keyAdministration.remove(name);
  output.result({ ...record(removed), removed: true }, `removed ${describe(removed)}`);
  output.note(
    "What is written from now on it cannot open. What was stored before it still opens for who kept a copy of the key log: " +
      "nothing can take that back. Devices that were not connected learn of it at the next write.",
  );
}

async function rotate(_options: Options, { output, session }: FileCommandContext): Promise<void> {
  const keys = (await session.repository()).keyAdministration;
  await keys.rotate();
  output.result(
    { epoch: keys.epoch },
    "changed the keys; all passphrases, keyfiles and codes stay as they are",
  );
}

async function keychain({ name }: Options, { output, session }: FileCommandContext): Promise<void> {
  const key = new KeychainKey(session.state);
  const before = await key.slotId();
  if (name === "on") {
    if (before !== undefined)
      throw new Refusal("alreadyExists", "the keychain of this computer opens the repository already", {
        hint: "`coffer key keychain off` ends it.",
      });
    const secret = randomBytes(SECRET_BYTES);
    // First, because it may be refused here, and a key that nobody has would stay behind.
    await key.keep(secret);
    const { keyAdministration } = await session.repository();
    const added = await keyAdministration.add(
      { kind: "keychain", bytes: secret },
      defaultLabel(SlotKind.keychain, hostname()),
    );
    await key.use(added.id);
    output.result(record(added), `added ${describe(added)}`);
    output.note(
      "Whoever can use your account on this computer now opens the repository without a passphrase.",
    );
    return;
  }
  if (name !== "off") throw new Refusal("usage", "`coffer key keychain` takes on or off");
  if (before === undefined)
    throw new Refusal("unknownIdentity", "the keychain of this computer is not used", {
      hint: "`coffer key list` shows all keys.",
    });
  session.withoutKeychain();
  const { keyAdministration } = await session.repository();
  if (keyAdministration.list().some(({ id }) => id === before)) {
    const removed = await keyAdministration.remove(before);
    output.result({ ...record(removed), removed: true }, `removed ${describe(removed)}`);
  }
  await key.forget();
}

function record({ id, kind, label, createdAt, isOwn }: SlotInfo): object {
  return { id, kind, label, createdAt: createdAt.toISOString(), isOwn };
}

function describe({ id, kind, label }: SlotInfo): string {
  return `key ${id}, ${kind} "${printable(label)}"`;
}
