// SPDX-License-Identifier: MIT
import { isIP } from "node:net";
import type { CommandModule } from "yargs";
import { formatAddress, requireAddress, requireHost } from "../certs/hosts";
import { type GlobalOptions, contextOf, passphraseFileOption } from "../command-context";
import { initialise, requireUninitialised } from "../initialise";
import { nameFrom, nameOfThisComputer, requireName } from "../names";
import { readPassphrase } from "../passphrase";

interface InitOptions extends GlobalOptions {
  relay: string;
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
        demandOption: true,
        requiresArg: true,
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

const loopback: readonly string[] = ["localhost", "127.0.0.1", "::1"];

/** A relay on this very computer answers to all three names. */
function loopbackTwins(host: string): string[] {
  return loopback.includes(host) ? [...loopback] : [];
}

function relayNameFrom(host: string): string {
  return isIP(host) === 0 && !loopback.includes(host) ? nameFrom(host.split(".")[0] ?? "", "relay") : "relay";
}
