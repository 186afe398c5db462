// SPDX-License-Identifier: MIT
import type { CommandModule } from "yargs";
import { type GlobalOptions, contextOf } from "../command-context";
import { loadDeviceSetup, relayOption, requireFolder } from "../device-host";
import { interruptSignal } from "../interruption";
import { Refusal } from "../refusal";
import { type Output, formatBytes } from "../render";
import { DeviceLog, serverLog } from "../server-log";

interface SimOptions extends GlobalOptions {
  as: string;
  card: string;
  relay: string | undefined;
  xsbug: string | undefined;
}

export const command: CommandModule<GlobalOptions, SimOptions> = {
  command: "sim",
  describe: "Run the firmware on a simulated board: the XS engine with an ESP32's memory",
  builder: (yargs) =>
    yargs
      .option("as", { type: "string", demandOption: true, requiresArg: true, describe: "Which device it is" })
      .option("card", {
        type: "string",
        demandOption: true,
        requiresArg: true,
        describe: "Folder that is its SD card; has to exist",
      })
      .option("relay", relayOption)
      .option("xsbug", {
        type: "string",
        requiresArg: true,
        describe: "Debug with an xsbug that waits at HOST:PORT",
      })
      .example("$0 sim --as cam1 --card ./card", ""),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const { name, identity, pairings, relay } = await loadDeviceSetup(state, options.as, options.relay);
    if (relay === undefined)
      throw new Refusal("usage", "the simulated board does not know its relay", {
        hint: "Give --relay HOST:PORT.",
      });
    await requireFolder(options.card);
    const signal = interruptSignal();
    const { runSim } = await import("../../test-sim/sim");
    await buildBoard(output);
    const log = new DeviceLog(name, serverLog(output));
    const { restarts, counters } = await runSim({
      name,
      identity: { key: identity.key, cert: identity.chain, ca: identity.ca },
      pairings,
      relay,
      card: options.card,
      ...(options.xsbug === undefined ? {} : { xsbug: options.xsbug }),
      onLog: (level, message) => {
        log.message(level, message);
      },
      onState: (connection) => {
        log.event(connection);
      },
      onExit: ({ reason, text }) => {
        log.event("restarted", { reason, text });
      },
      signal,
    });
    if (counters === undefined) return;
    const { slotBytes, slotsPeak, chunkBytesPeak } = counters;
    log.event("ended", { restarts, slotPeakBytes: slotsPeak * slotBytes, chunkPeakBytes: chunkBytesPeak });
    output.note(
      `Peak of its memory: ${formatBytes(slotsPeak * slotBytes)} of slots, ${formatBytes(chunkBytesPeak)} of chunks.`,
    );
  },
};

/** The engine is compiled once for this computer, which takes up to half a minute. */
async function buildBoard(output: Output): Promise<void> {
  const { xsBoardProgram } = await import("../../test-sim/xs-build");
  const progress = await output.progress("compiling the board", 0, (files) => `${files.toFixed(0)} files`);
  try {
    await xsBoardProgram((done, total) => {
      progress.setTotal(total);
      progress.update(done);
    });
  } catch (error) {
    if (error instanceof Refusal || !(error instanceof Error)) throw error;
    throw new Refusal("missingTool", `the simulated board cannot be built: ${firstSentence(error.message)}`, {
      hint: "`coffer doctor` tells what is missing.",
      cause: error,
    });
  } finally {
    progress.stop();
  }
}

function firstSentence(text: string): string {
  return text.split("\n", 1)[0] ?? text;
}
