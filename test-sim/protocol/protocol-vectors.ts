// SPDX-License-Identifier: MIT
/**
 * The shape of the vector files in `vectors/`. Plain portable code: the runner that reads them runs on Node and on XS.
 *
 * Bytes are lower-case hex. In values, bytes are `{ "hex": "..." }` and integers are plain numbers (at most 2^53 - 1).
 * Files are never edited after a release: a change of bytes is a new file for a new version.
 */

export const VECTOR_FORMAT = "coffer protocol vectors";
export const VECTOR_VERSION = 1;

export interface VectorHeader {
  format: string;
  version: number;
  wireVersion: number;
  about: string;
}

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** One value of a codec: `parts` are its fields one after the other, `[what it is, hex]`. */
export interface MessageVector {
  name: string;
  codec: string;
  value: { [name: string]: Json };
  parts: [string, string][];
}

export interface InvalidVector {
  name: string;
  codec: string;
  bytes: string;
  error: string;
}

export interface MessageVectors extends VectorHeader {
  vectors: MessageVector[];
  invalid: InvalidVector[];
}

export interface FrameVector {
  name: string;
  type: number;
  channel: number;
  payload: string;
  bytes: string;
}

export interface FrameVectors extends VectorHeader {
  vectors: FrameVector[];
  invalid: { name: string; bytes: string; maxPayloadBytes: number; error: string }[];
  bulk: { name: string; request: number; offsetBytes: number; data: string; payload: string }[];
  control: { name: string; type: number; request: number; body: string; message: string }[];
}

export interface SessionVector {
  name: string;
  secret: string;
  pairingId: string;
  deviceName: string;
  init: { minVersion: number; maxVersion: number; nonce: string };
  reply: { version: number; maxRequests: number; nonce: string };
  transcript: string;
  prk: string;
  deviceProof: string;
  clientProof: string;
  clientToDevice: string;
  deviceToClient: string;
  /** Payloads of the three data frames of the handshake. */
  payloads: { init: string; reply: string; finish: string };
}

export interface SessionVectors extends VectorHeader {
  vectors: SessionVector[];
  ciphers: {
    name: string;
    key: string;
    frames: { number: number; nonce: string; message: string; payload: string }[];
  }[];
}

export interface CardVectors extends VectorHeader {
  vectors: MessageVector[];
  invalid: InvalidVector[];
}

export interface LogVectors extends VectorHeader {
  chains: { name: string; entries: { entry: string; previous: string; hash: string }[] }[];
}

export interface TextVectors extends VectorHeader {
  valid: { name: string; codePoints: number[]; bytes: string }[];
  invalid: { name: string; bytes: string }[];
}

export interface ProtocolVectors {
  messages: MessageVectors;
  frames: FrameVectors;
  session: SessionVectors;
  card: CardVectors;
  log: LogVectors;
  text: TextVectors;
}
