// SPDX-License-Identifier: MIT
import { randomBytes } from "node:crypto";
import type { Argv, CommandModule } from "yargs";
import { listClients, loadAuthority, requireFreeName, revokeIdentity } from "../certs/authorities";
import { day } from "../certs/certificate-facts";
import { formatAddress, requireAddress } from "../certs/hosts";
import { type GlobalOptions, contextOf } from "../command-context";
import { type ConnectionOptions, connectionOptions, sessionOf } from "../file-command";
import { interruptSignal } from "../interruption";
import { requireName } from "../names";
import { Refusal } from "../refusal";
import { formatTable } from "../render";

interface NameOptions extends GlobalOptions {
  name: string;
}

interface AddOptions extends NameOptions {
  listen: string;
}

const CODE_MINUTES = 10;

export const command: CommandModule<GlobalOptions, GlobalOptions> = {
  command: "client <action>",
  describe: "Add, list and revoke the computers that use the repository",
  builder: (yargs) => yargs.command(addCommand).command(listCommand).command(revokeCommand).demandCommand(1),
  handler: () => undefined,
};

const addCommand: CommandModule<GlobalOptions, AddOptions> = {
  command: "add <name>",
  describe: "Show a code that `coffer init --join CODE` on another computer takes, and wait for it",
  builder: (yargs) =>
    nameArgument(yargs).option("listen", {
      type: "string",
      default: "0.0.0.0:0",
      describe: "Where to wait for it, HOST:PORT (default: the local network, any port)",
      requiresArg: true,
    }),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const name = requireName(options.name, "a computer");
    await state.loadConfig();
    await loadAuthority(state, "device");
    await requireFreeName(state, "client", name);
    const [{ Offer }, { encodeJoinCode, SECRET_BYTES }, { reachableHost }, { enrol }] = await Promise.all([
      import("../enrolment/offer"),
      import("../enrolment/join-code"),
      import("../enrolment/local-address"),
      import("../enrolment/enrol"),
    ]);
    const listen = requireAddress(options.listen, { anyPort: true });
    const host = await reachableHost(listen);
    const secret = Uint8Array.from(randomBytes(SECRET_BYTES));
    const expired = AbortSignal.timeout(CODE_MINUTES * 60_000);
    const offer = await Offer.open({
      listen,
      secret,
      expired,
      signal: interruptSignal(),
      enrol: (publicKey) => enrol(state, name, publicKey),
      withdraw: async () => {
        await revokeIdentity(state, "client", name);
      },
      onWrong: (count) => {
        output.warn(`somebody came with another code (${String(count)})`);
      },
    });
    const address = { host, port: offer.port };
    const code = encodeJoinCode({ address, secret });
    output.note(
      `On the new computer, within ${String(CODE_MINUTES)} minutes: coffer init --join CODE, where CODE is`,
    );
    output.result({ name, code, address: formatAddress(address) }, code);
    if (output.showsProgress) output.note((await import("../qr-code")).qrCode(code, "screen"));
    output.note(`Waiting at ${formatAddress(address)}. Who has this code gets access: show it to nobody.`);
    await offer.enrolled();
    output.result({ name, added: true }, `added ${name}`);
  },
};

const listCommand: CommandModule<GlobalOptions, GlobalOptions> = {
  command: "list",
  describe: "Show the computers with their certificates",
  builder: (yargs) => yargs,
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const { client } = await state.loadConfig();
    const rows = [["NAME", "ADDED", "EXPIRES", "CERTIFICATE", ""]];
    for (const { name, notBefore, notAfter, state: certificate, serial } of await listClients(state)) {
      const isThis = name === client;
      const createdAt = notBefore.toISOString();
      output.result({ name, createdAt, notAfter: notAfter.toISOString(), certificate, serial, isThis });
      rows.push([name, day(notBefore), day(notAfter), certificate, isThis ? "this computer" : ""]);
    }
    output.line(formatTable(rows));
    if (!(await state.canSign("client")))
      output.note("Other computers are known where `coffer init --relay` was run.");
  },
};

const revokeCommand: CommandModule<GlobalOptions, NameOptions & ConnectionOptions> = {
  command: "revoke <name>",
  describe: "End a computer's access, and take nothing of what it writes from now on",
  builder: (yargs) => connectionOptions(nameArgument(yargs)),
  handler: async (options) => {
    const name = requireName(options.name, "a computer");
    const { output, session } = sessionOf(options);
    const { state } = session;
    const { client } = await state.loadConfig();
    if (name === client)
      throw new Refusal("usage", `${name} is this computer`, {
        hint: "Revoke it from another one, where the authorities are.",
      });
    const certificates = await revokeIdentity(state, "client", name);
    output.note(
      `Running relays of this state folder refuse ${name} from now on; copy crl/device.pem to the others.`,
    );
    try {
      const logs =
        (await state.listDevices()).length === 0 ? 0 : await (await session.repository()).revokeWriter(name);
      output.result({ name, certificates, logs }, `revoked ${name}`);
    } catch (error) {
      output.warn(
        `the certificate of ${name} is revoked, but its log is not ended yet: run the command again`,
      );
      throw error;
    } finally {
      await session.close();
    }
    output.note(
      `What ${name} has read it may keep, and it knows the repository's key: \`coffer key rotate\` makes a new one.`,
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
