// SPDX-License-Identifier: MIT
/**
 * An open repository and the connections under it: identity, relay and pairing secrets from the state folder, the
 * passphrase from the person, one connection to each device. What was opened is closed together.
 */

import { Refusal } from "./refusal";
import { DeviceClient, type DeviceClientOptions } from "./remote/device-client";
import { RelayConnection } from "./remote/relay-connection";
import { TlsSessionCache } from "./remote/relay-tls";
import type { KeySecret } from "./repository/key-secret";
import { Repository } from "./repository/repository";
import type { Unlocking } from "./repository/unlock";
import type { State } from "./state";

export interface ConnectOptions {
  state: State;
  /** Names from `chooseDevices`. */
  devices: readonly string[];
  signal: AbortSignal;
  /** What happens to the connections, for a person. */
  onEvent?: ((text: string) => void) | undefined;
}

export interface OpenOptions extends ConnectOptions {
  passphrase: KeySecret;
  /** By that passphrase: begun by the caller, who does not leave it unhandled until this is called. */
  unlocking: Promise<Unlocking>;
  onWarning: (text: string) => void;
}

export interface OpenedRepository {
  readonly repository: Repository;
  readonly devices: readonly DeviceClient[];
  close(): Promise<void>;
}

export async function openRepository(options: OpenOptions): Promise<OpenedRepository> {
  const { state, passphrase, unlocking, signal, onWarning } = options;
  const { home } = state;
  const { client: computer } = await state.loadConfig();
  const devices = await connectDevices(options).catch(async (error: unknown) => {
    (await unlocking.catch(() => undefined))?.known?.zero();
    throw error;
  });
  try {
    const repository = await Repository.open({
      home,
      passphrase,
      unlocking,
      computer,
      devices,
      signal,
      onWarning,
    });
    const close = async (): Promise<void> => {
      try {
        await repository.close();
      } finally {
        await closeDevices(devices);
      }
    };
    return { repository, devices, close };
  } catch (error) {
    await closeDevices(devices);
    throw error;
  }
}

/** A connection to each device, or none at all when one of them cannot be reached. */
export async function connectDevices(options: ConnectOptions): Promise<DeviceClient[]> {
  const tlsSessions = new TlsSessionCache();
  // The first device goes on with the connection on which the relay was asked.
  const first = await requireOnline(options, tlsSessions);
  const attempts = await Promise.allSettled(
    options.devices.map((name, at) =>
      connectDevice(options, name, { tlsSessions, link: at === 0 ? first : undefined }),
    ),
  );
  const connected = attempts.flatMap((attempt) => (attempt.status === "fulfilled" ? [attempt.value] : []));
  const failed = attempts.find((attempt) => attempt.status === "rejected");
  if (failed === undefined) return connected;
  await Promise.all([closeDevices(connected), first.close()]);
  throw failed.reason;
}

/**
 * Asks the relay first: a device client has patience, which is right in the middle of a transfer, but a person who
 * starts a command wants to hear at once that nobody is there. Gives the connection to the relay.
 */
async function requireOnline(
  { state, devices, signal }: ConnectOptions,
  sessions: TlsSessionCache,
): Promise<RelayConnection> {
  const { relay, client } = await state.loadConfig();
  const identity = await state.loadIdentity("client", client);
  const { timeoutMs } = patience(process.env["COFFER_PATIENCE"]);
  const connection = await RelayConnection.connect({ relay, identity, signal, sessions, timeoutMs });
  try {
    const online = new Set((await connection.listDevices()).map(({ name }) => name));
    const missing = devices.filter((name) => !online.has(name));
    if (missing.length > 0)
      throw new Refusal(
        "deviceOffline",
        `${missing.join(" and ")} ${missing.length > 1 ? "are" : "is"} not connected to the relay`,
        {
          hint: "Check power and network of the device; it connects by itself. `coffer status` shows which are there.",
        },
      );
    return connection;
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** One device, straight away. */
export async function connectDevice(
  { state, signal, onEvent }: ConnectOptions,
  name: string,
  reused: Pick<DeviceClientOptions, "link" | "tlsSessions"> = {},
): Promise<DeviceClient> {
  const { relay, client } = await state.loadConfig();
  const [identity, device] = await Promise.all([
    state.loadIdentity("client", client),
    state.loadDevice(name),
  ]);
  return DeviceClient.open({
    relay,
    identity,
    device: name,
    pairingSecret: device.pairingSecret,
    ...reused,
    signal,
    onEvent,
    ...patience(process.env["COFFER_PATIENCE"]),
  });
}

/** One step of connecting never takes longer, however patient somebody is. */
const maxStepMs = 20_000;

/** $COFFER_PATIENCE: for how many seconds nothing may succeed before a command gives up, 30 when it is not set. */
function patience(text: string | undefined): { patienceMs?: number; stallMs?: number; timeoutMs?: number } {
  if (text === undefined || text === "") return {};
  const seconds = Number(text);
  if (!(seconds >= 1 && seconds <= 86_400))
    throw new Refusal(
      "usage",
      `$COFFER_PATIENCE has to be a number of seconds from 1 to 86400, not ${JSON.stringify(text)}`,
    );
  const patienceMs = seconds * 1000;
  return { patienceMs, stallMs: patienceMs, timeoutMs: Math.min(patienceMs, maxStepMs) };
}

export async function closeDevices(devices: readonly DeviceClient[]): Promise<void> {
  await Promise.allSettled(devices.map((device) => device.close()));
}
