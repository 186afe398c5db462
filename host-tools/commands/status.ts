// SPDX-License-Identifier: MIT
import { CardState, type DeviceHealth, type DeviceStatus, ResetCause } from "../../firmware/protocol/verbs";
import { formatAddress } from "../certs/hosts";
import { type FileCommand, standalone } from "../file-command";
import { connectDevice } from "../open-repository";
import { Refusal, type RefusalRecord, describeRefusal } from "../refusal";
import { RelayConnection } from "../remote/relay-connection";
import type { RemoteSession } from "../remote-session";
import { type Output, formatBytes, formatTable, formatUptime, printable } from "../render";
import { plural } from "../transfer-progress";
import { type TroubleRecord, troubleRecord, troubleText } from "../trouble-text";

/** One line of `--json` for each device; what a device that is offline does not tell is missing. */
export interface DeviceRecord
  extends
    Partial<Omit<DeviceStatus, "card" | "device" | "resetReason">>,
    Partial<Omit<DeviceHealth, "cause" | "freeBytes" | "leastFreeBytes">> {
  kind: "device";
  name: string;
  isOnline: boolean;
  /** ISO 8601: since when it has been connected to the relay. */
  onlineSince?: string;
  card?: keyof typeof CardState;
  /** Why it started. */
  resetReason?: keyof typeof ResetCause;
  /** Memory outside the JavaScript heap, now and at the worst moment; `freeBytes` is the card's. */
  systemFreeBytes?: number;
  systemLeastFreeBytes?: number;
  /** What kept it from the relay before. */
  troubles?: TroubleRecord[];
  /** It is connected, and something is wrong all the same. */
  problem?: RefusalRecord;
}

interface RelayRecord {
  kind: "relay";
  name: string;
  address: string;
  /** Connecting and proving both certificates. */
  connectMs: number;
  devicesOnline: number;
}

export const statusCommand: FileCommand = {
  command: "status",
  describe: "Show the relay and the state of each paired device",
  completion: { arguments: ["none"], options: ["--json"] },
  builder: (yargs) => yargs,
  run: async (_options, { output, session }) => {
    const { state, signal } = session;
    const { relay, client } = await state.loadConfig();
    const identity = await state.loadIdentity("client", client);
    const names = await session.namedOrAllDevices();
    const startedMs = performance.now();
    const connection = await RelayConnection.connect({ relay, identity, signal });
    let online: ReadonlyMap<string, number>;
    const record: RelayRecord = {
      kind: "relay",
      name: connection.relayName,
      address: formatAddress(relay),
      connectMs: Math.round(performance.now() - startedMs),
      devicesOnline: 0,
    };
    try {
      online = new Map((await connection.listDevices()).map(({ name, since }) => [name, since]));
    } finally {
      await connection.close();
    }
    record.devicesOnline = online.size;
    output.result(record);
    const devices = await Promise.all(names.map((name) => examine(session, name, online.get(name))));
    for (const device of devices) output.result(device);
    print(output, record, devices);
    requireNamed(session, devices);
  },
};

export const command = standalone(statusCommand);

async function examine(
  session: RemoteSession,
  name: string,
  sinceSeconds: number | undefined,
): Promise<DeviceRecord> {
  if (sinceSeconds === undefined) return { kind: "device", name, isOnline: false };
  const record: DeviceRecord = {
    kind: "device",
    name,
    isOnline: true,
    onlineSince: new Date(sinceSeconds * 1000).toISOString(),
  };
  try {
    const device = await connectDevice(
      { state: session.state, devices: [name], signal: session.signal },
      name,
    );
    try {
      const { card, device: _device, resetReason, ...status } = await device.status();
      const told: DeviceRecord = {
        ...record,
        ...status,
        card: nameOf(CardState, card) ?? "failed",
        resetReason: nameOf(ResetCause, resetReason) ?? "unknown",
      };
      const health = await device.health();
      if (health !== undefined) {
        const {
          cause: _cause,
          freeBytes: systemFreeBytes,
          leastFreeBytes: systemLeastFreeBytes,
          ...counts
        } = health;
        Object.assign(told, { ...counts, systemFreeBytes, systemLeastFreeBytes });
      }
      const troubles = await device.troubles();
      if (troubles !== undefined) told.troubles = troubles.map(troubleRecord);
      const refusal = told.isSafe === true ? safeMode(told) : cardProblem(told);
      return refusal === undefined ? told : { ...told, problem: describeRefusal(refusal) };
    } finally {
      await device.close();
    }
  } catch (error) {
    if (!(error instanceof Refusal) || session.signal.aborted) throw error;
    return { ...record, problem: describeRefusal(error) };
  }
}

function nameOf<Name extends string>(table: Readonly<Record<Name, number>>, value: number): Name | undefined {
  return (Object.keys(table) as Name[]).find((name) => table[name] === value);
}

/** What a device says of its card when that is not well. */
function cardProblem({ name, card }: DeviceRecord): Refusal | undefined {
  const known = card === undefined ? undefined : cardProblems[card];
  if (known === undefined) return undefined;
  const [kind, what, hint] = known;
  return new Refusal(kind, `${name} ${what}`, { hint });
}

const cardProblems: Partial<
  Record<keyof typeof CardState, readonly ["cardFull" | "cardFailed", string, string]>
> = {
  none: ["cardFailed", "has no card", "Put a card into the device."],
  full: [
    "cardFull",
    "has no room left on its card",
    "Free some space with `coffer rm` and `coffer prune`, or put in a larger card.",
  ],
  readOnly: [
    "cardFailed",
    "cannot write to its card",
    "Check the lock switch of the card; an old card may have become read-only for good.",
  ],
  failed: [
    "cardFailed",
    "cannot read or write its card",
    "`coffer device log NAME` tells more. Check the card, and replace it if the error stays.",
  ],
  worn: [
    "cardFailed",
    "cannot write to its card any more, which is at the end of its life or fails; it can still be read",
    "Put in another card: `coffer verify` tells what is missing then, and `coffer repair --device NAME,OTHER` brings it from another device, or `coffer push` from this computer. Until then pull what is only there.",
  ],
  unformatted: [
    "cardFailed",
    "has a card that is not formatted with FAT32, and leaves it as it is",
    "Format it with FAT32 on a computer. A board can do it itself: `coffer device log NAME` names the card's number, docs/board.md the way.",
  ],
  foreign: [
    "cardFailed",
    "leaves its card alone, because Coffer's folder on it holds files of somebody else",
    "Empty that folder, or put in another card.",
  ],
};

function safeMode({ name, failedStarts = 0, resetReason, exception = "" }: DeviceRecord): Refusal {
  const cause =
    resetReason === "watchdog"
      ? "something in them took too long"
      : exception === ""
        ? "they ended by themselves"
        : `the last one ended with: ${printable(exception)}`;
  return new Refusal(
    "deviceInSafeMode",
    `${name} is in safe mode after ${String(failedStarts)} starts that failed: ${cause}`,
    {
      hint: `Its card is untouched. \`coffer device log ${name}\` tells more; update its firmware, or switch it off and on to let it try again.`,
    },
  );
}

function print(output: Output, relay: RelayRecord, devices: readonly DeviceRecord[]): void {
  if (output.json || output.quiet) return;
  output.line(
    `relay ${relay.name} at ${relay.address}: reached in ${String(relay.connectMs)} ms, mutual TLS\n`,
  );
  if (devices.length === 0) {
    output.note("No device is paired yet; add one with `coffer device add NAME`.");
    return;
  }
  output.line(
    formatTable([
      ["DEVICE", "STATE", "UPTIME", "CARD", "FREE", "HEAP", "CHANNELS", "STARTS", "FIRMWARE"],
      ...devices.map(cells),
    ]),
  );
  for (const device of devices) {
    const { problem, exceptions = 0, watchdogs = 0, troubles = [], uptimeSeconds = 0 } = device;
    if (problem !== undefined) {
      output.warn(problem.error.startsWith(device.name) ? problem.error : `${device.name}: ${problem.error}`);
      if (device.uptimeSeconds !== undefined && problem.hint !== undefined) output.note(problem.hint);
    } else if (exceptions + watchdogs > 0) output.note(failuresOf(device));
    for (const trouble of troubles) output.note(troubleText(trouble, device.name, uptimeSeconds));
  }
}

function cells(device: DeviceRecord): string[] {
  const {
    name,
    isOnline,
    uptimeSeconds,
    card,
    freeBytes,
    capacityBytes,
    channels,
    maxChannels,
    bootCount,
    resetReason,
    isSafe,
    firmware,
    host,
  } = device;
  if (!isOnline) return [name, "offline"];
  if (uptimeSeconds === undefined) return [name, "problem"];
  return [
    name,
    isSafe === true ? "safe mode" : "online",
    formatUptime(uptimeSeconds),
    card ?? "?",
    `${formatBytes(freeBytes ?? 0)} of ${formatBytes(capacityBytes ?? 0)}`,
    heapOf(device),
    `${String(channels ?? 0)} of ${String(maxChannels ?? 0)}`,
    `${String(bootCount ?? 0)}, ${startReasons[resetReason ?? "unknown"]}`,
    printable(`${firmware ?? "?"} on ${host ?? "?"}`),
  ];
}

/** Why it started last, as people say it. */
const startReasons: Record<keyof typeof ResetCause, string> = {
  unknown: "unknown",
  powerOn: "power on",
  software: "restarted",
  exception: "exception",
  watchdog: "watchdog",
  brownout: "brownout",
};

function failuresOf({
  name,
  exceptions = 0,
  watchdogs = 0,
  exceptionStart,
  exception,
}: DeviceRecord): string {
  const last =
    exceptionStart === undefined || exceptionStart === 0
      ? ""
      : `; the last kept one ended start ${String(exceptionStart)}: ${printable(exception ?? "")}`;
  return `${name}: ${plural(exceptions, "uncaught exception")} and ${plural(watchdogs, "watchdog reset")} so far${last}`;
}

function heapOf({ heapUsedBytes = 0, heapPeakBytes = 0, heapLimitBytes = 0 }: DeviceRecord): string {
  if (heapUsedBytes === 0) return "-";
  const limit = heapLimitBytes === 0 ? "" : ` of ${formatBytes(heapLimitBytes)}`;
  return `${formatBytes(heapUsedBytes)}${limit}, peak ${formatBytes(heapPeakBytes)}`;
}

/** Whoever asks for a device by its name wants to know from the exit status, too. */
function requireNamed(session: RemoteSession, devices: readonly DeviceRecord[]): void {
  if (!session.areDevicesNamed) return;
  for (const { name, isOnline, problem } of devices) {
    if (!isOnline)
      throw new Refusal("deviceOffline", `${name} is not connected to the relay`, {
        hint: "Check its power and its network; it dials in by itself.",
      });
    if (problem !== undefined)
      throw new Refusal(
        problem.kind,
        problem.error,
        problem.hint === undefined ? {} : { hint: problem.hint },
      );
  }
}
