// SPDX-License-Identifier: MIT
/** `coffer device log`: what a device says of itself, once or as it comes. */
import { setTimeout as wait } from "node:timers/promises";
import type { Argv, CommandModule } from "yargs";
import { LineLevel, type LogLine, type LogLines } from "../../firmware/protocol/verbs";
import { type GlobalOptions, contextOf } from "../command-context";
import { chooseDevices } from "../device-choice";
import { interruptSignal, interrupted } from "../interruption";
import { closeDevices, connectDevices } from "../open-repository";
import type { DeviceClient } from "../remote/device-client";
import { type Output, printable } from "../render";

interface LogOptions extends GlobalOptions {
  name: string;
  follow: boolean;
}

/** How often a device is asked for more. */
const FOLLOW_MS = 1000;

export const logCommand: CommandModule<GlobalOptions, LogOptions> = {
  command: "log <name>",
  describe: "Show what a device says of itself: starts, card, connections, failures",
  builder: (yargs): Argv<LogOptions> =>
    yargs
      .positional("name", { type: "string", describe: "Which device", demandOption: true })
      .option("follow", {
        type: "boolean",
        default: false,
        describe: "Go on with what it says from now on, until Ctrl-C",
      }),
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const devices = await chooseDevices(state, [options.name]);
    const signal = interruptSignal();
    const clients = await connectDevices({ state, devices, signal });
    try {
      for (const client of clients) await show(client, output, options.follow, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      if (!options.follow) throw interrupted();
    } finally {
      await closeDevices(clients);
    }
  },
};

async function show(
  client: DeviceClient,
  output: Output,
  isFollowing: boolean,
  signal: AbortSignal,
): Promise<void> {
  let start: number | undefined;
  let from = 0;
  while (!signal.aborted) {
    let page = await client.deviceLog(from);
    if (start !== undefined && page.start !== start && from > 0) {
      from = 0;
      page = await client.deviceLog(from);
    }
    start = page.start;
    for (const line of page.lines) {
      const dropped = line.sequence - line.repeats - from;
      if (dropped > 0) output.note(`(${String(dropped)} earlier lines are gone)`);
      output.result(recordOf(line, page), textOf(line, page));
      from = line.sequence + 1;
    }
    if (page.more) continue;
    if (!isFollowing) return;
    await wait(FOLLOW_MS, undefined, { signal });
  }
}

function recordOf(line: LogLine, page: LogLines): object {
  const time = timeOf(line, page);
  return {
    start: page.start,
    sequence: line.sequence,
    uptimeMs: line.uptimeMs,
    ...(time === undefined ? {} : { time: time.toISOString() }),
    level: levelOf(line),
    text: line.text,
    repeats: line.repeats,
  };
}

function textOf(line: LogLine, page: LogLines): string {
  const time = timeOf(line, page);
  const when = time === undefined ? `+${(line.uptimeMs / 1000).toFixed(3)} s` : localTime(time);
  const often = line.repeats > 0 ? ` (${String(line.repeats + 1)} times)` : "";
  return `${when}  ${levelOf(line)}  ${printable(line.text)}${often}`;
}

function levelOf({ level }: LogLine): keyof typeof LineLevel {
  return level === LineLevel.info ? "info" : "warn";
}

/** A line from before the clock was set has a time as soon as it is: both clocks of the device run alike. */
function timeOf(line: LogLine, page: LogLines): Date | undefined {
  if (line.unixMs > 0) return new Date(line.unixMs);
  return page.unixMs > 0 ? new Date(page.unixMs - page.uptimeMs + line.uptimeMs) : undefined;
}

/** "2026-11-21 14:30:05". */
function localTime(time: Date): string {
  const pad = (value: number): string => String(value).padStart(2, "0");
  const day = [time.getFullYear(), time.getMonth() + 1, time.getDate()].map(pad).join("-");
  return `${day} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(pad).join(":")}`;
}
