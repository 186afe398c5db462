// SPDX-License-Identifier: MIT
import type { CommandModule } from "yargs";
import { type GlobalOptions, contextOf } from "../command-context";
import { loadDeviceSetup, relayOption, requireFolder } from "../device-host";
import { interruptSignal } from "../interruption";
import { Refusal } from "../refusal";
import { capacityBytes, capacityOption } from "../capacity";
import { HostDiscovery } from "../../relay/host-discovery";
import { DeviceLog, serverLog } from "../server-log";

interface NodeOptions extends GlobalOptions {
  folder: string;
  as: string;
  relay: string | undefined;
  capacity: string | undefined;
}

export const command: CommandModule<GlobalOptions, NodeOptions> = {
  command: "node <folder>",
  describe: "Run the firmware on this computer: a device that stores in a folder",
  builder: (yargs) =>
    yargs
      .positional("folder", { type: "string", demandOption: true, describe: "Where it stores; has to exist" })
      .option("as", { type: "string", demandOption: true, requiresArg: true, describe: "Which device it is" })
      .option("relay", relayOption)
      .option("capacity", capacityOption)
      .example("$0 node /srv/coffer --as attic", ""),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const capacity = options.capacity === undefined ? {} : { capacityBytes: capacityBytes(options.capacity) };
    const { name, identity, pairings, relay } = await loadDeviceSetup(state, options.as, options.relay);
    await requireFolder(options.folder);
    const { runNode } = await import("../../firmware/platform/node/main");
    const log = new DeviceLog(name, serverLog(output));
    try {
      await runNode({
        folder: options.folder,
        name,
        identity: {
          keyPem: identity.key,
          certificatePem: identity.chain,
          relayAuthorityPem: identity.ca,
          ...(identity.crl === undefined ? {} : { crlPem: identity.crl }),
        },
        pairingSecrets: pairings,
        ...capacity,
        ...(relay === undefined ? { discovery: new HostDiscovery() } : { relay }),
        log: (line) => {
          const [, level = "info", message = line] = /^(\w+): (.*)$/s.exec(line) ?? [];
          log.message(level, message);
        },
        signal: interruptSignal(),
        onState: (connection) => {
          log.event(connection);
        },
        watchUncaught: (onUncaught) => {
          process.on("uncaughtException", onUncaught).on("unhandledRejection", onUncaught);
          return () => {
            process.off("uncaughtException", onUncaught).off("unhandledRejection", onUncaught);
          };
        },
      });
    } catch (error) {
      if (error instanceof Error && error.name === "LockedError")
        throw new Refusal("folderInUse", `another process serves ${options.folder} already`, {
          hint: "End the other one first.",
          cause: error,
        });
      if (error instanceof Error && error.name === "FirmwareException")
        throw new Refusal(
          "firmwareException",
          `the firmware of ${name} ended by an exception: ${error.message}`,
          {
            hint: "Nothing that was stored is lost: start it again. `coffer status` will tell; please report it.",
            cause: error,
          },
        );
      throw error;
    }
  },
};
