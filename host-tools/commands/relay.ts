// SPDX-License-Identifier: MIT
import type { CommandModule } from "yargs";
import { requireCurrent } from "../certs/certificate-facts";
import { requireAddress } from "../certs/hosts";
import { type GlobalOptions, contextOf } from "../command-context";
import { interruptSignal } from "../interruption";
import { requireName } from "../names";
import { exists } from "../private-files";
import { Refusal } from "../refusal";
import { serverLog } from "../server-log";
import type { State } from "../state";

interface RelayOptions extends GlobalOptions {
  listen: string;
  name: string | undefined;
  metrics: string | undefined;
  discovery: boolean;
}

export const command: CommandModule<GlobalOptions, RelayOptions> = {
  command: "relay",
  describe: "Run a relay, which connects clients with devices and can read nothing",
  builder: (yargs) =>
    yargs
      .option("listen", {
        type: "string",
        demandOption: true,
        requiresArg: true,
        describe: "Where devices and clients connect, HOST:PORT",
      })
      .option("name", {
        type: "string",
        requiresArg: true,
        describe: "Which relay certificate to use (default: the only one)",
      })
      .option("metrics", {
        type: "string",
        requiresArg: true,
        describe: "Serve Prometheus metrics and health over plain HTTP, HOST:PORT, best on 127.0.0.1",
      })
      .option("discovery", {
        type: "boolean",
        default: true,
        describe: "Be found on the local network (--no-discovery turns it off)",
      })
      .example("$0 relay --listen 0.0.0.0:4433 --metrics 127.0.0.1:9433", ""),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const listen = requireAddress(options.listen, { anyPort: true });
    const metrics =
      options.metrics === undefined ? {} : { metrics: requireAddress(options.metrics, { anyPort: true }) };
    const name = await chooseRelay(state, options.name);
    requireCurrent("relay", name, (await state.loadIdentity("relay", name)).certificate);
    const paths = state.identityPaths("relay", name);
    const hasList = await exists(paths.crl);
    if (!hasList) output.warn(`there is no ${paths.crl}: no certificate counts as revoked`);
    const { runRelay } = await import("../../relay/main");
    const started = { isListening: false };
    try {
      await runRelay({
        name,
        listen,
        ...metrics,
        discovery: options.discovery,
        files: {
          certificate: paths.certificate,
          key: paths.key,
          relayAuthority: paths.authority,
          deviceAuthority: paths.ca,
          ...(hasList ? { deviceCrl: paths.crl } : {}),
        },
        log: serverLog(output),
        signal: interruptSignal(),
        onListening: ({ metricsPort }) => {
          started.isListening = true;
          if (metricsPort !== undefined) output.note(`Metrics are on port ${String(metricsPort)}.`);
        },
      });
    } catch (error) {
      throw started.isListening ? error : startRefusal(error);
    }
  },
};

async function chooseRelay(state: State, option: string | undefined): Promise<string> {
  if (option !== undefined) return requireName(option, "a relay");
  const names = await state.listIdentities("relay");
  const [only, ...others] = names;
  if (only === undefined)
    throw new Refusal("unknownIdentity", `there is no relay certificate in ${state.home}`, {
      hint: "Run `coffer init --relay HOST:PORT`, or copy a relay's files as certs/README.md says.",
    });
  if (others.length > 0)
    throw new Refusal("usage", `there are several relay certificates: ${names.join(", ")}`, {
      hint: "Choose one with --name.",
    });
  return only;
}

/** Why a relay could not start, as a refusal. */
function startRefusal(error: unknown): unknown {
  if (error instanceof Refusal || !(error instanceof Error)) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const why = code === undefined ? undefined : listenCauses[code];
  if (why !== undefined)
    return new Refusal("cannotListen", `cannot listen: ${why}`, {
      hint: "Choose another --listen or --metrics address, or end the program that has it.",
      cause: error,
    });
  // What is left are files that cannot be used; the message names them.
  if (code === undefined && !(error instanceof TypeError) && !(error instanceof RangeError))
    return new Refusal("damagedState", error.message, {
      hint: "Copy the relay's files again as certs/README.md says, or renew its certificate.",
      cause: error,
    });
  return error;
}

const listenCauses: Readonly<Record<string, string>> = {
  EADDRINUSE: "the address is taken",
  EADDRNOTAVAIL: "this computer does not have that address",
  EACCES: "the system does not allow that port",
  ENOTFOUND: "there is no such host",
};
