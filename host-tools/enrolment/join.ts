// SPDX-License-Identifier: MIT
/** The new computer's side of an enrolment: makes its key, gets the rest from the other one, and writes its state folder. */

import { createPublicKey } from "node:crypto";
import { once } from "node:events";
import { type TLSSocket, connect } from "node:tls";
import { makeKey } from "../certs/certificate";
import { formatAddress } from "../certs/hosts";
import { setUp } from "../initialise";
import { writePrivateFile } from "../private-files";
import { Refusal } from "../refusal";
import { importKeyFile } from "../repository/key-file";
import { type Config, type State, configVersion } from "../state";
import { type Bundle, readBundle } from "./bundle";
import { JoinChannel, joinHint, joinTls } from "./join-channel";
import type { JoinCode } from "./join-code";

const CONNECT_MS = 15_000;
const SILENCE_MS = 60_000;

/** After this the state folder is complete, or as it was. */
export async function join(state: State, code: JoinCode, signal: AbortSignal): Promise<Config> {
  const key = await makeKey();
  const publicKey = createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
  const channel = new JoinChannel(await connectTo(code, signal), SILENCE_MS);
  const onAbort = (): void => {
    channel.destroy();
  };
  signal.addEventListener("abort", onAbort);
  try {
    await channel.send({ publicKey });
    const bundle = readBundle(await channel.receive(), publicKey);
    return await setUp(state, async () => {
      await write(state, bundle, key);
      await channel.send({ done: true });
      // Only when the other side says so too is it settled: else it revokes what it gave.
      if ((await channel.receive())["done"] !== true)
        throw new Refusal("protocolViolation", "the other computer did not confirm");
      return configOf(bundle);
    });
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    channel.close();
  }
}

async function connectTo({ address, secret }: JoinCode, signal: AbortSignal): Promise<TLSSocket> {
  signal.throwIfAborted();
  const where = formatAddress(address);
  const seen = { isConnected: false, isCoffer: false };
  const socket = connect({
    ...joinTls,
    ...address,
    timeout: CONNECT_MS,
    checkServerIdentity: () => undefined,
    pskCallback: (hint) => {
      if (hint !== joinHint) return null;
      seen.isCoffer = true;
      return { psk: secret, identity: "join" };
    },
  });
  socket.once("connect", () => (seen.isConnected = true));
  socket.once("timeout", () => socket.destroy(new Error("no answer")));
  const onAbort = (): void => {
    socket.destroy(new Error("interrupted"));
  };
  signal.addEventListener("abort", onAbort);
  try {
    await once(socket, "secureConnect");
    socket.on("error", () => undefined);
    return socket;
  } catch (cause) {
    socket.destroy();
    if (signal.aborted) throw signal.reason;
    throw notConnected(where, seen, cause);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function notConnected(
  where: string,
  { isConnected, isCoffer }: { isConnected: boolean; isCoffer: boolean },
  cause: unknown,
): Refusal {
  if (!isConnected)
    return new Refusal("enrolmentFailed", `nobody waits for this computer at ${where}`, {
      hint: "A code works once and for ten minutes, and only where that address can be reached: run `coffer client add` again, with --listen if need be.",
      cause,
    });
  if (!isCoffer)
    return new Refusal("protocolViolation", `what listens at ${where} is no \`coffer client add\``, {
      hint: "Compare the code, and see whether something stands between the two computers.",
      cause,
    });
  return new Refusal("enrolmentFailed", `what listens at ${where} does not know the code`, {
    hint: "The code is an older one, or somebody poses as your other computer: run `coffer client add` again.",
    cause,
  });
}

async function write(state: State, bundle: Bundle, key: string): Promise<void> {
  const { name, certificate, deviceAuthority, relayAuthority, crl, devices, keys } = bundle;
  await writePrivateFile(state.authorityPaths("device").certificate, deviceAuthority);
  await writePrivateFile(state.authorityPaths("relay").certificate, relayAuthority);
  if (crl.device !== undefined) await writePrivateFile(state.authorityPaths("device").crl, crl.device);
  if (crl.relay !== undefined) await writePrivateFile(state.authorityPaths("relay").crl, crl.relay);
  await state.saveIdentity("client", name, { key, certificate, authority: deviceAuthority });
  for (const device of devices) await state.saveDevice(device);
  if (keys !== undefined) await importKeyFile(state.home, keys);
}

function configOf({ relay, name, repositoryId }: Bundle): Config {
  return {
    version: configVersion,
    relay,
    client: name,
    repositoryId,
    createdAt: new Date().toISOString(),
  };
}
