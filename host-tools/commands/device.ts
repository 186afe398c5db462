// SPDX-License-Identifier: MIT
import type { Argv, CommandModule } from "yargs";
import { loadRevoked } from "../certs/authorities";
import { day, readCertificate, stateOf } from "../certs/certificate-facts";
import { addDevice, chooseCertsFolder, removeDevice } from "../certs/device-provisioning";
import { type GlobalOptions, contextOf } from "../command-context";
import { requireName } from "../names";
import { formatTable } from "../render";
import { logCommand } from "./device-log";

interface NameOptions extends GlobalOptions {
  name: string;
}

interface AddOptions extends NameOptions {
  certs: string | undefined;
  discover: boolean;
}

export const command: CommandModule<GlobalOptions, GlobalOptions> = {
  command: "device <action>",
  describe: "Add, list and remove devices; show the log of one",
  builder: (yargs) =>
    yargs
      .command(addCommand)
      .command(listCommand)
      .command(removeCommand)
      .command(logCommand)
      .demandCommand(1),
  handler: () => undefined,
};

const addCommand: CommandModule<GlobalOptions, AddOptions> = {
  command: "add <name>",
  describe: "Make a device's certificate and pairing secret, and the files for its firmware",
  builder: (yargs) =>
    nameArgument(yargs)
      .option("certs", {
        type: "string",
        describe:
          "Folder for the firmware's files (default: certs/ of a Coffer clone, else the state folder)",
        requiresArg: true,
      })
      .option("discover", {
        type: "boolean",
        default: false,
        describe: "Give its firmware no relay address: it looks for its relay in its own network",
      }),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const name = requireName(options.name, "a device");
    const { relay } = await state.loadConfig();
    const certsFolder = await chooseCertsFolder(state, options.certs, process.cwd());
    const { certificate, folder } = await addDevice(state, name, {
      ...(options.discover ? {} : { relay }),
      certsFolder,
    });
    const { serial, notAfter } = certificate;
    output.result({ name, folder, serial, notAfter: notAfter.toISOString() }, `added device ${name}`);
    output.note(`The files for its firmware are in ${folder}. They hold its key: keep them to yourself.`);
  },
};

const listCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: "list",
  describe: "Show the paired devices",
  builder: (yargs) => yargs,
  handler: async (options) => {
    const { state, output } = contextOf(options);
    await state.loadConfig();
    const revoked = await loadRevoked(state, "device");
    const rows = [["NAME", "ADDED", "EXPIRES", "CERTIFICATE"]];
    for (const name of await state.listDevices()) {
      const device = await state.loadDevice(name);
      if (!(await state.hasIdentity("device", name))) {
        // This computer joined another one, which has the device's certificate.
        output.result({ name, createdAt: device.createdAt, serial: device.certificateSerial });
        rows.push([name, device.createdAt.slice(0, 10), "", "kept elsewhere"]);
        continue;
      }
      const facts = readCertificate((await state.loadIdentity("device", name)).certificate);
      const certificate = stateOf(facts, revoked, new Date());
      output.result({
        name,
        createdAt: device.createdAt,
        notAfter: facts.notAfter.toISOString(),
        certificate,
        serial: facts.serial,
      });
      rows.push([name, device.createdAt.slice(0, 10), day(facts.notAfter), certificate]);
    }
    if (rows.length > 1) output.line(formatTable(rows));
    else output.note("No device is paired yet; add one with `coffer device add NAME`.");
  },
};

const removeCommand: CommandModule<GlobalOptions, NameOptions> = {
  command: "remove <name>",
  describe: "Revoke a device's certificate and forget its pairing",
  builder: nameArgument,
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const name = requireName(options.name, "a device");
    await removeDevice(state, name);
    output.result({ name, removed: true }, `removed device ${name}`);
    output.note(
      "Running relays of this state folder refuse it from now on. What it stores stays on its card.",
    );
  },
};

function nameArgument<Options>(yargs: Argv<Options>): Argv<Options & { name: string }> {
  return yargs.positional("name", {
    type: "string",
    describe: "1-32 characters of a-z, 0-9, -",
    demandOption: true,
  });
}
