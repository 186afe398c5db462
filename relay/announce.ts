// SPDX-License-Identifier: MIT
/**
 * Lets a relay be found in its local network: answers UDP broadcasts and announces `_coffer._tcp` by mDNS. Neither
 * adds trust, and the relay works without them: what fails here is logged and left.
 */
import { type RemoteInfo, createSocket } from "node:dgram";
import { Bonjour } from "bonjour-service";
import { DataError } from "../firmware/protocol/data-error";
import {
  DISCOVERY_PORT,
  decodeDiscoveryRequest,
  encodeDiscoveryAnswer,
} from "../firmware/protocol/discovery";
import { shortAuthenticationString } from "./fingerprint";
import { ANSWERS_BURST, ANSWERS_PER_SECOND } from "./limits";
import { TokenBucket } from "./token-bucket";

export const MDNS_TYPE = "coffer";
export const MDNS_VERSION = "1";

export interface AnnounceOptions {
  name: string;
  /** TCP port of the relay. */
  port: number;
  /** Asked for each answer, since the certificate can change. */
  fingerprint: () => Uint8Array;
  onError: (error: Error) => void;
  /** UDP port for broadcasts. */
  discoveryPort?: number;
  /** For a relay that only this machine can reach: no mDNS, and answers to this machine alone. */
  isLocal?: boolean;
}

/** Ports below this belong to services that an answer could be aimed at. */
const LOWEST_SOURCE_PORT = 1024;

export interface Announcement {
  /** After the certificate has changed. */
  update: () => void;
  close: () => Promise<void>;
}

/** Announces until closed. */
export function announce(options: AnnounceOptions): Announcement {
  const closeResponder = respond(options);
  let closeMdns = options.isLocal === true ? undefined : advertise(options);
  return {
    update: () => {
      if (!closeMdns) return;
      void closeMdns();
      closeMdns = advertise(options);
    },
    close: async () => {
      closeResponder();
      await closeMdns?.();
    },
  };
}

function respond(options: AnnounceOptions): () => void {
  const { name, port, fingerprint, onError, isLocal = false, discoveryPort = DISCOVERY_PORT } = options;
  // Several relays on one machine all hear a broadcast.
  const socket = createSocket({ type: "udp4", reuseAddr: true });
  const bucket = new TokenBucket({
    burst: ANSWERS_BURST,
    perSecond: ANSWERS_PER_SECOND,
    nowMs: performance.now(),
  });
  let isClosed = false;
  socket.on("error", (error) => {
    onError(error);
    close();
  });
  socket.on("message", (datagram: Buffer, from: RemoteInfo) => {
    if (from.port < LOWEST_SOURCE_PORT || (isLocal && !from.address.startsWith("127."))) return;
    try {
      const nonce = decodeDiscoveryRequest(datagram);
      if (!bucket.take(performance.now())) return;
      const answer = encodeDiscoveryAnswer({ nonce, port, name, fingerprint: fingerprint() });
      // An address that cannot be reached is the asker's mistake.
      socket.send(answer, from.port, from.address, () => undefined);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
    }
  });
  socket.bind(discoveryPort);
  const close = (): void => {
    if (isClosed) return;
    isClosed = true;
    socket.close();
  };
  return close;
}

function advertise({ name, port, fingerprint, onError }: AnnounceOptions): () => Promise<void> {
  const print = fingerprint();
  let bonjour: Bonjour;
  try {
    bonjour = new Bonjour({}, onError);
    // Unique without asking the network first: the library's own way to ask prints to stdout.
    const instance = `${name}-${shortAuthenticationString(print).slice(0, 4)}`;
    bonjour.publish({
      name: instance,
      probe: false,
      type: MDNS_TYPE,
      protocol: "tcp",
      port,
      host: `coffer-${instance}.local`,
      txt: {
        v: MDNS_VERSION,
        name,
        fp: Buffer.from(print).toString("hex"),
        sas: shortAuthenticationString(print),
      },
    });
  } catch (error) {
    onError(error instanceof Error ? error : new Error(String(error)));
    return () => Promise.resolve();
  }
  return () =>
    new Promise((resolve) => {
      // Says goodbye first; without a network nobody tells when that is done.
      const timer = setTimeout(resolve, 500);
      bonjour.unpublishAll(() => {
        bonjour.destroy(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    });
}
