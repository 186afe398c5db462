// SPDX-License-Identifier: MIT
/**
 * Finds relays in the local network: asks by UDP broadcast on every interface and listens for `_coffer._tcp` by mDNS.
 * What is found is a place to try, not somebody to trust: TLS decides that as for any other address.
 */
import { randomBytes } from "node:crypto";
import { type Socket, createSocket } from "node:dgram";
import { isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { Bonjour, type Service } from "bonjour-service";
import { DataError } from "../firmware/protocol/data-error";
import {
  DISCOVERY_NONCE_BYTES,
  DISCOVERY_PORT,
  decodeDiscoveryAnswer,
  encodeDiscoveryRequest,
} from "../firmware/protocol/discovery";
import { MDNS_TYPE, MDNS_VERSION } from "./announce";
import { isName } from "./authenticate";
import { shortAuthenticationString } from "./fingerprint";

export interface FoundRelay {
  /** Numeric address. */
  host: string;
  port: number;
  /** As the relay says. */
  name: string;
  /** SHA-256 of its certificate, hex, as the relay says. */
  fingerprint: string;
  /** The short form of the fingerprint, for comparing by eye. */
  sas: string;
  by: "broadcast" | "mdns";
}

export interface DiscoverOptions {
  timeoutMs: number;
  /** Names of the interfaces to ask on; all when absent. */
  interfaces?: readonly string[];
  /** Addresses to ask instead of the interfaces' broadcast addresses. */
  targets?: readonly string[];
  discoveryPort?: number;
  /** Whether to listen for mDNS, too. */
  mdns?: boolean;
  /** Ends the search before its time. */
  signal?: AbortSignal;
  /** Each relay once, when it is first heard of. */
  onFound?(found: FoundRelay): void;
}

/** Answers kept: anybody in the network can send as many as they like. */
export const MAX_FOUND_RELAYS = 64;
/** A datagram can get lost: how often the question is asked. */
const ASKS = 3;

/** Resolves after `timeoutMs` with what was found. Never rejects: without a network there is nothing to find. */
export async function discover(options: DiscoverOptions): Promise<FoundRelay[]> {
  const found = new Map<string, FoundRelay>();
  const add = (relay: FoundRelay): void => {
    const key = `${relay.host} ${String(relay.port)} ${relay.fingerprint}`;
    if (found.has(key) || found.size === MAX_FOUND_RELAYS || options.signal?.aborted) return;
    found.set(key, relay);
    options.onFound?.(relay);
  };
  const stopAsking = ask(options, add);
  const stopBrowsing = options.mdns === false ? undefined : browse(add);
  await ended(options);
  stopAsking();
  stopBrowsing?.();
  return [...found.values()];
}

function ended({ timeoutMs, signal }: DiscoverOptions): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, timeoutMs);
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end);
  });
}

function ask(options: DiscoverOptions, add: (found: FoundRelay) => void): () => void {
  const { timeoutMs, discoveryPort = DISCOVERY_PORT } = options;
  const targets = options.targets ?? broadcastAddresses(options.interfaces);
  const nonce = randomBytes(DISCOVERY_NONCE_BYTES);
  const request = encodeDiscoveryRequest(nonce);
  const socket = createSocket("udp4");
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    clearInterval(timer);
    socket.close();
  };
  socket.on("error", close);
  socket.on("message", (datagram: Buffer, { address }) => {
    const relay = answerIn(datagram, nonce, address);
    if (relay && !isClosed) add(relay);
  });
  socket.bind(0, () => {
    if (isClosed) return;
    socket.setBroadcast(true);
    sendAll(socket, request, discoveryPort, targets);
    timer = setInterval(
      () => {
        sendAll(socket, request, discoveryPort, targets);
      },
      Math.max(100, timeoutMs / ASKS),
    );
  });
  return close;
}

/** An interface that is down does not keep the others from being asked. */
function sendAll(socket: Socket, request: Uint8Array, port: number, targets: readonly string[]): void {
  for (const target of targets) socket.send(request, port, target, () => undefined);
}

function answerIn(datagram: Uint8Array, nonce: Uint8Array, host: string): FoundRelay | undefined {
  try {
    const answer = decodeDiscoveryAnswer(datagram);
    if (Buffer.compare(answer.nonce, nonce) !== 0) return undefined;
    const { port, name, fingerprint } = answer;
    const hex = Buffer.from(fingerprint).toString("hex");
    return {
      host,
      port,
      name,
      fingerprint: hex,
      sas: shortAuthenticationString(fingerprint),
      by: "broadcast",
    };
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}

/** Loopback included, so that a relay on the same machine is found without any network. */
function broadcastAddresses(names: readonly string[] | undefined): string[] {
  const addresses = new Set<string>(names ? [] : ["255.255.255.255"]);
  for (const [name, entries] of Object.entries(networkInterfaces()))
    if (!names || names.includes(name))
      for (const { family, address, netmask } of entries ?? [])
        if (family === "IPv4") addresses.add(broadcastAddress(address, netmask));
  return [...addresses];
}

function broadcastAddress(address: string, netmask: string): string {
  const mask = netmask.split(".").map(Number);
  return address
    .split(".")
    .map((part, i) => Number(part) | (~(mask[i] ?? 0) & 255))
    .join(".");
}

function browse(add: (found: FoundRelay) => void): () => void {
  try {
    const bonjour = new Bonjour({}, () => undefined);
    const browser = bonjour.find({ type: MDNS_TYPE, protocol: "tcp" }, (service) => {
      const relay = relayIn(service);
      if (relay) add(relay);
    });
    return () => {
      browser.stop();
      bonjour.destroy();
    };
  } catch {
    return () => undefined;
  }
}

/** Anybody can announce anything: only what has our shape comes through. */
function relayIn({ addresses, port, referer, txt }: Service): FoundRelay | undefined {
  const { v, name, fp } = (txt ?? {}) as Record<string, unknown>;
  const host = addresses?.find((address) => isIPv4(address)) ?? referer?.address ?? addresses?.[0];
  if (v !== MDNS_VERSION || host === undefined || !(port > 0 && port < 65536)) return undefined;
  if (typeof name !== "string" || !isName(name)) return undefined;
  if (typeof fp !== "string" || !/^[0-9a-f]{64}$/.test(fp)) return undefined;
  const sas = shortAuthenticationString(Buffer.from(fp, "hex"));
  return { host, port, name, fingerprint: fp, sas, by: "mdns" };
}
