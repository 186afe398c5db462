// SPDX-License-Identifier: MIT
import { isIP } from "node:net";
import type { CommandModule } from "yargs";
import { formatAddress, requireAddress, requireHost } from "../certs/hosts";
import { type GlobalOptions, contextOf, passphraseFileOption } from "../command-context";
import { interruptSignal } from "../interruption";
import { initialise, requireUninitialised } from "../initialise";
import { nameFrom, nameOfThisComputer, requireName } from "../names";
import { readPassphrase } from "../passphrase";
import { Refusal } from "../refusal";
import type { Output } from "../render";
import type { State } from "../state";

interface InitOptions extends GlobalOptions {
  relay: string | undefined;
  join: string | undefined;
  host: string[] | undefined;
  "relay-name": string | undefined;
  "client-name": string | undefined;
  "passphrase-file": string | undefined;
}

export const command: CommandModule<GlobalOptions, InitOptions> = {
  command: "init",
  describe: "Set up Coffer on this computer: authorities, certificates and repository keys",
  builder: (yargs) =>
    yargs
      .option("relay", {
        type: "string",
        describe: "Where devices and clients reach the relay, HOST:PORT",
        requiresArg: true,
      })
      .option("join", {
        type: "string",
        describe: "Join the Coffer of another computer: the code that `coffer client add` shows there",
        requiresArg: true,
        conflicts: ["relay", "host", "relay-name", "client-name"],
      })
      .option("host", {
        type: "string",
        array: true,
        describe: "Further names and addresses of the relay",
        requiresArg: true,
      })
      .option("relay-name", {
        type: "string",
        describe: "Name of the relay (default: from its host)",
        requiresArg: true,
      })
      .option("client-name", {
        type: "string",
        describe: "Name of this computer (default: its host name)",
        requiresArg: true,
      })
      .option("passphrase-file", passphraseFileOption)
      .example("$0 init --relay relay.example.org:4433", ""),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    if (options.join !== undefined) {
      await joinOther(state, output, { code: options.join, passphraseFile: options.passphraseFile });
      return;
    }
    if (options.relay === undefined)
      throw new Refusal("usage", "neither --relay nor --join is given", {
        hint: "A first computer needs --relay HOST:PORT, a further one --join CODE with the code of `coffer client add`.",
      });
    const relay = requireAddress(options.relay);
    const hosts = [
      ...new Set([relay.host, ...loopbackTwins(relay.host), ...(options.host ?? []).map(requireHost)]),
    ];
    const relayName = requireName(options.relayName ?? relayNameFrom(relay.host), "a relay");
    const clientName = requireName(options.clientName ?? nameOfThisComputer(), "a computer");
    await requireUninitialised(state);
    const passphrase = await readPassphrase({ file: options.passphraseFile, purpose: "create" });
    const { createRepository } = await import("../repository/create");
    const { config } = await initialise(state, {
      relay,
      relayName,
      clientName,
      hosts,
      passphrase,
      createRepository,
    });
    output.result(
      { home: state.home, relay, relayName, hosts, client: clientName, repositoryId: config.repositoryId },
      [
        `Coffer is set up in ${state.home}.`,
        `  relay   ${relayName}, reached at ${formatAddress(relay)}`,
        `  client  ${clientName}, this computer`,
      ].join("\n"),
    );
    output.note(
      [
        "",
        "Next: `coffer relay --listen 0.0.0.0:" +
          String(relay.port) +
          "` on the relay's machine, and `coffer device add NAME`.",
        "Keep a copy of that folder and remember the passphrase: without both, nothing can be read back.",
      ].join("\n"),
    );
  },
};

async function joinOther(
  state: State,
  output: Output,
  { code, passphraseFile }: { code: string; passphraseFile: string | undefined },
): Promise<void> {
  await requireUninitialised(state);
  const [{ decodeJoinCode }, { join }] = await Promise.all([
    import("../enrolment/join-code"),
    import("../enrolment/join"),
  ]);
  const { relay, client, repositoryId } = await join(state, decodeJoinCode(code), interruptSignal());
  output.result(
    { home: state.home, relay, client, repositoryId },
    `This computer is set up in ${state.home} as ${client}.`,
  );
  output.note(`Devices paired: ${(await state.listDevices()).join(", ") || "none"}.`);
  await checkPassphrase(state, output, passphraseFile);
}

/** The passphrase does not come from the other computer. Whether it is right changes nothing of what is set up. */
async function checkPassphrase(state: State, output: Output, file: string | undefined): Promise<void> {
  let passphrase: string;
  try {
    passphrase = await readPassphrase({ file, purpose: "open" });
  } catch (error) {
    if (!(error instanceof Refusal) || error.kind !== "noPassphrase") throw error;
    output.note("Commands that read or write files ask for the passphrase of the repository.");
    return;
  }
  const { unlock } = await import("../repository/unlock");
  try {
    (await unlock(state.home, passphrase, [])).keyring.zero();
  } catch (error) {
    if (!(error instanceof Refusal) || error.kind !== "wrongPassphrase") throw error;
    throw new Refusal(
      "wrongPassphrase",
      "this computer is set up, but the passphrase does not open the repository",
      {
        hint: "Nothing has to be done again: use the right passphrase from the next command on.",
        cause: error,
      },
    );
  }
}

const loopback: readonly string[] = ["localhost", "127.0.0.1", "::1"];

/** A relay on this very computer answers to all three names. */
function loopbackTwins(host: string): string[] {
  return loopback.includes(host) ? [...loopback] : [];
}

function relayNameFrom(host: string): string {
  return isIP(host) === 0 && !loopback.includes(host) ? nameFrom(host.split(".")[0] ?? "", "relay") : "relay";
}
