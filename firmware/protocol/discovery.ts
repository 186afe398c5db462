// SPDX-License-Identifier: MIT
/**
 * The two datagrams by which relays are found in a local network. relay/README.md "Discovery".
 *
 * A request is always REQUEST_BYTES long and an answer never longer, so that a relay cannot be used to multiply what
 * somebody sends in another's name. What an answer says is a hint: a connection is trusted for its certificate alone.
 */
import { DataError } from "./data-error";
import { HASH_BYTES, MAX_NAME_BYTES } from "./limits";
import { decode, encode, fixed, record, text, u16, u8 } from "./message";

export const DISCOVERY_PORT = 17433;
export const DISCOVERY_VERSION = 1;
export const DISCOVERY_NONCE_BYTES = 8;
export const REQUEST_BYTES = 96;

/** "cofd" */
const MAGIC = Uint8Array.of(0x63, 0x6f, 0x66, 0x64);
const Kind = { request: 1, answer: 2 } as const;

interface Head {
  magic: Uint8Array;
  version: number;
  kind: number;
  nonce: Uint8Array;
}
const head = { magic: fixed(MAGIC.length), version: u8, kind: u8, nonce: fixed(DISCOVERY_NONCE_BYTES) };
const HEAD_BYTES = MAGIC.length + 2 + DISCOVERY_NONCE_BYTES;

interface Request extends Head {
  padding: Uint8Array;
}
const request = record<Request>({ ...head, padding: fixed(REQUEST_BYTES - HEAD_BYTES) });

export interface RelayAnnouncement {
  /** That of the request. */
  nonce: Uint8Array;
  /** TCP port of the relay; its address is the one that the answer came from. */
  port: number;
  name: string;
  /** SHA-256 of the relay's certificate, DER. */
  fingerprint: Uint8Array;
}
const answer = record<Head & RelayAnnouncement>({
  ...head,
  port: u16,
  name: text(MAX_NAME_BYTES),
  fingerprint: fixed(HASH_BYTES),
});

export function encodeDiscoveryRequest(nonce: Uint8Array): Uint8Array {
  const padding = new Uint8Array(REQUEST_BYTES - HEAD_BYTES);
  return encode(request, { magic: MAGIC, version: DISCOVERY_VERSION, kind: Kind.request, nonce, padding });
}

/** The nonce of a request. DataError for anything else; the padding may hold what a later version puts there. */
export function decodeDiscoveryRequest(datagram: Uint8Array): Uint8Array {
  return checked(decode(request, datagram), Kind.request).nonce;
}

export function encodeDiscoveryAnswer(announcement: RelayAnnouncement): Uint8Array {
  return encode(answer, { magic: MAGIC, version: DISCOVERY_VERSION, kind: Kind.answer, ...announcement });
}

/** DataError for anything but an answer. Whether the nonce is one's own is the caller's to check. */
export function decodeDiscoveryAnswer(datagram: Uint8Array): RelayAnnouncement {
  const { nonce, port, name, fingerprint } = checked(decode(answer, datagram), Kind.answer);
  if (port === 0) throw new DataError("range", "discovery: port 0");
  return { nonce, port, name, fingerprint };
}

function checked<T extends Head>(message: T, kind: number): T {
  if (message.magic.some((byte, i) => byte !== MAGIC[i])) throw new DataError("checksum", "discovery: magic");
  if (message.version !== DISCOVERY_VERSION) throw new DataError("version", "discovery: version");
  if (message.kind !== kind) throw new DataError("type", "discovery: kind");
  return message;
}
