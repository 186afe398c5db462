// SPDX-License-Identifier: MIT
import type { CommandModule } from "yargs";
import type { FoundRelay } from "../../relay/discovery";
import { formatAddress } from "../certs/hosts";
import { type GlobalOptions, contextOf } from "../command-context";
import { interruptSignal } from "../interruption";
import { Refusal } from "../refusal";
import { formatTable } from "../render";
import type { Identity, State } from "../state";

interface DiscoverOptions extends GlobalOptions {
  timeout: number;
  interface: string[] | undefined;
  mdns: boolean;
}

/** What a relay that was found turned out to be. */
interface Verdict {
  /** It proved by TLS that our relay authority vouches for it. Absent when there was no identity to ask with. */
  isOurs?: boolean;
  /** Names of the devices that are connected to it. */
  devices: string[];
  /** Why it is not ours. */
  reason?: string;
}

const askTimeoutMs = 3000;

export const command: CommandModule<GlobalOptions, DiscoverOptions> = {
  command: "discover",
  describe: "Look for relays on the local network, and for the devices behind them",
  builder: (yargs) =>
    yargs
      .option("timeout", {
        type: "number",
        default: 3,
        requiresArg: true,
        describe: "How many seconds to look",
      })
      .option("interface", {
        type: "string",
        array: true,
        requiresArg: true,
        describe: "Network interfaces to ask on (default: all)",
      })
      .option("mdns", {
        type: "boolean",
        default: true,
        describe: "Listen for mDNS, too (--no-mdns turns it off)",
      }),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const { timeout, mdns } = options;
    if (!(timeout >= 0.1 && timeout <= 60))
      throw new Refusal("usage", `--timeout has to be from 0.1 to 60 seconds, not ${String(timeout)}`);
    const identity = await ownIdentity(state);
    const { discover } = await import("../../relay/discovery");
    const found = await discover({
      timeoutMs: timeout * 1000,
      mdns,
      ...(options.interface === undefined ? {} : { interfaces: options.interface }),
      signal: interruptSignal(),
    });
    const judged = await Promise.all(
      found.map(async (relay) => ({ relay, verdict: await judge(relay, identity) })),
    );
    const rows = [["RELAY", "ADDRESS", "OURS", "DEVICES", "FINGERPRINT", "FOUND BY"]];
    for (const { relay, verdict } of judged) {
      const { isOurs, devices } = verdict;
      output.result({ ...relay, ...verdict });
      const ours = isOurs === undefined ? "?" : isOurs ? "yes" : "no";
      rows.push([relay.name, formatAddress(relay), ours, devices.join(","), relay.sas, relay.by]);
    }
    if (found.length === 0) output.note("No relay answered on this network.");
    else {
      output.line(formatTable(rows));
      for (const { relay, verdict } of judged)
        if (verdict.reason !== undefined) output.note(`${formatAddress(relay)}: ${verdict.reason}`);
    }
  },
};

/** This computer's client identity; none where `coffer init` was never run. */
async function ownIdentity(state: State): Promise<Identity | undefined> {
  if (!(await state.isInitialised())) return undefined;
  const { client } = await state.loadConfig();
  return state.loadIdentity("client", client);
}

/** Anybody can announce anything: only the handshake tells whose relay it is. */
async function judge(relay: FoundRelay, identity: Identity | undefined): Promise<Verdict> {
  if (identity === undefined) return { devices: [] };
  const { RelayConnection } = await import("../remote/relay-connection");
  try {
    const { host, port } = relay;
    const connection = await RelayConnection.connect({
      relay: { host, port },
      identity,
      timeoutMs: askTimeoutMs,
    });
    try {
      const devices = (await connection.listDevices()).map(({ name }) => name).sort();
      return { isOurs: true, devices };
    } finally {
      await connection.close();
    }
  } catch (error) {
    if (error instanceof Refusal) return { isOurs: false, devices: [], reason: error.message };
    throw error;
  }
}
