// SPDX-License-Identifier: MIT
import type { Argv, CommandModule } from "yargs";
import { type CertificateRecord, issue, listCertificates, renew, revokeIdentity } from "../certs/authorities";
import { day } from "../certs/certificate-facts";
import { refreshFirmwareFiles } from "../certs/device-provisioning";
import { requireHost } from "../certs/hosts";
import { type Role, requireRole, roles } from "../certs/roles";
import { type GlobalOptions, contextOf } from "../command-context";
import { requireName } from "../names";
import { Refusal } from "../refusal";
import { type Output, formatTable } from "../render";

interface NameOptions extends GlobalOptions {
  name: string;
  days: number | undefined;
}

interface MakeOptions extends NameOptions {
  host: string[] | undefined;
}

interface RenewOptions extends NameOptions {
  role: string;
  "new-key": boolean;
  "revoke-old": boolean;
}

interface RevokeOptions extends GlobalOptions {
  role: string;
  name: string;
}

interface ListOptions extends GlobalOptions {
  all: boolean;
}

const daysOption = { type: "number", describe: "How many days it is valid", requiresArg: true } as const;

/** Device certificates come with a pairing secret, so `coffer device add` makes them. */
const madeHere = ["relay", "client", "keyholder", "registry"] as const satisfies readonly Role[];

export const command: CommandModule<GlobalOptions, GlobalOptions> = {
  command: "cert <action>",
  describe: "Make, list, renew and revoke certificates",
  builder: (yargs) => {
    for (const role of madeHere) yargs.command(makeCommand(role));
    return yargs.command(listCommand).command(renewCommand).command(revokeCommand).demandCommand(1);
  },
  handler: () => undefined,
};

function makeCommand(role: (typeof madeHere)[number]): CommandModule<GlobalOptions, MakeOptions> {
  const isServer = role !== "client";
  return {
    command: `${role} <name>`,
    describe: `Make a certificate for a ${role}`,
    builder: (yargs) =>
      nameArgument(yargs)
        .option("host", {
          type: "string",
          array: true,
          describe: "DNS names and addresses it is reached at",
          requiresArg: true,
          demandOption: isServer,
        })
        .option("days", daysOption)
        .group([], "Options:"),
    handler: async (options) => {
      const { state, output } = contextOf(options);
      const name = requireName(options.name, `a ${role}`);
      const hosts = [...new Set((options.host ?? []).map(requireHost))];
      const record = await issue(state, { role, name, hosts, ...requireDays(options.days) });
      report(output, record, "made");
      output.note(`The key is in ${state.identityPaths(role, name).key}.`);
    },
  };
}

const listCommand: CommandModule<GlobalOptions, ListOptions> = {
  command: "list",
  describe: "Show certificates with their expiry and state",
  builder: (yargs) =>
    yargs.option("all", {
      type: "boolean",
      default: false,
      describe: "Also those that were replaced or removed",
    }),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const records = await listCertificates(state, { all: options.all });
    for (const record of records) output.result(toJson(record));
    if (records.length === 0)
      output.note("There are no certificates yet; `coffer init` makes the first ones.");
    else
      output.line(
        formatTable([
          ["ROLE", "NAME", "EXPIRES", "STATE", "SERIAL", "HOSTS"],
          ...records.map((record) => [
            record.role,
            record.name,
            day(record.notAfter),
            record.state,
            record.serial,
            record.hosts.join(","),
          ]),
        ]),
      );
  },
};

const renewCommand: CommandModule<GlobalOptions, RenewOptions> = {
  command: "renew <role> <name>",
  describe: "Prolong a certificate, keeping its name, hosts and key",
  builder: (yargs) =>
    nameArgument(roleArgument(yargs))
      .option("days", daysOption)
      .option("new-key", { type: "boolean", default: false, describe: "Make a new key, too" })
      .option("revoke-old", {
        type: "boolean",
        default: false,
        describe: "Revoke the certificates it replaces",
      }),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const role = requireRole(options.role);
    const name = requireName(options.name, `a ${role}`);
    const { newKey, revokeOld } = options;
    const record = await renew(state, role, name, { newKey, revokeOld, ...requireDays(options.days) });
    report(output, record, "renewed");
    if (role === "device") {
      const { relay } = await state.loadConfig();
      const folder = await refreshFirmwareFiles(state, name, relay);
      if (folder !== undefined)
        output.note(`The device uses it once firmware is built with the files in ${folder}.`);
    } else if (role !== "client") output.note("A running server takes it over by itself.");
  },
};

const revokeCommand: CommandModule<GlobalOptions, RevokeOptions> = {
  command: "revoke <role> <name>",
  describe: "Revoke every certificate of an identity",
  builder: (yargs) => nameArgument(roleArgument(yargs)),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const role = requireRole(options.role);
    const name = requireName(options.name, `a ${role}`);
    const revoked = await revokeIdentity(state, role, name);
    const text =
      revoked === 0
        ? `${role} ${name} was revoked before`
        : `revoked ${role} ${name} (${String(revoked)} certificates)`;
    output.result({ role, name, revoked }, text);
    if (role === "device" || role === "client")
      output.note(
        "Running relays of this state folder refuse it from now on; copy crl/device.pem to the others.",
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

function roleArgument<Options>(yargs: Argv<Options>): Argv<Options & { role: string }> {
  return yargs.positional("role", {
    type: "string",
    choices: [...roles],
    describe: "What it is for",
    demandOption: true,
  });
}

function requireDays(days: number | undefined): { days?: number } {
  if (days === undefined) return {};
  if (Number.isInteger(days) && days >= 1 && days <= 7300) return { days };
  throw new Refusal("usage", `--days has to be a whole number from 1 to 7300, not ${String(days)}`);
}

function report(output: Output, record: CertificateRecord, what: string): void {
  const { role, name, notAfter, hosts } = record;
  const reached = hosts.length === 0 ? "" : `, for ${hosts.join(", ")}`;
  output.result(toJson(record), `${what} ${role} ${name}, valid until ${day(notAfter)}${reached}`);
}

function toJson(record: CertificateRecord): object {
  const { notBefore, notAfter, ...rest } = record;
  return { ...rest, notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString() };
}
