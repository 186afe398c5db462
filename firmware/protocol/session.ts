// SPDX-License-Identifier: MIT
/**
 * The end-to-end session inside a channel, between client and device, over a relay that is trusted for nothing.
 * SPEC.md "Session". The first byte of each data frame's payload says what it is:
 *
 *   0  handshake   u8 step, then the step's fields
 *   1  control     AES-256-GCM(key of the direction, nonce = number of the frame, additional = the kind byte)
 *   2  bulk        u16 request, u32 offset, bytes: opaque blob bytes, proven by the blob's own SHA-256
 *
 * Both proofs and all keys come from the pairing secret and both nonces by HKDF-SHA-256 (RFC 5869); nothing is
 * ever encrypted under the pairing secret itself.
 */
import { DataError } from "./data-error";
import { FRAME_HEADER_BYTES } from "./frame";
import {
  HASH_BYTES,
  MAX_CONTROL_FRAMES,
  MAX_FRAME_BYTES,
  NONCE_BYTES,
  PAIRING_ID_BYTES,
  TAG_BYTES,
} from "./limits";
import { encode, fixed, record, u8 } from "./message";
import { encodeUtf8 } from "./utf8";

export const PayloadKind = { handshake: 0, control: 1, bulk: 2 } as const;
export const HandshakeStep = { init: 1, reply: 2, finish: 3 } as const;

/** What the session needs of a host's cryptography; `Crypto` of the firmware's ports is one. */
export interface SessionCrypto {
  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array;
  seal(key: Uint8Array, nonce: Uint8Array, additional: Uint8Array, plaintext: Uint8Array): Uint8Array;
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    additional: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined;
  createSha256(): { write(bytes: Uint8Array): void; close(): Uint8Array };
}

/**
 * Of a bulk frame with its header, where payloads may have `maxPayloadBytes`: one record of TLS, on a board as on a computer.
 */
export function bulkFrameBytes(maxPayloadBytes: number): number {
  return maxPayloadBytes === MAX_FRAME_BYTES ? FRAME_HEADER_BYTES + MAX_FRAME_BYTES : maxPayloadBytes;
}

/** Client to device. */
export interface Init {
  minVersion: number;
  maxVersion: number;
  /** Which pairing secret: `pairingId` of it. */
  pairing: Uint8Array;
  nonce: Uint8Array;
}
export const init = record<Init>({
  minVersion: u8,
  maxVersion: u8,
  pairing: fixed(PAIRING_ID_BYTES),
  nonce: fixed(NONCE_BYTES),
});

/** Device to client, followed by `proof`. */
export interface Reply {
  version: number;
  /** Requests the client may have in flight on this channel. */
  maxRequests: number;
  nonce: Uint8Array;
}
export const reply = record<Reply>({ version: u8, maxRequests: u8, nonce: fixed(NONCE_BYTES) });

/** Ends the reply and is the whole of `finish`. */
export const proof = record<{ proof: Uint8Array }>({ proof: fixed(HASH_BYTES) });

const LABEL = encodeUtf8("coffer session 1");

function sha256(crypto: SessionCrypto, ...parts: Uint8Array[]): Uint8Array {
  const hash = crypto.createSha256();
  for (const part of parts) hash.write(part);
  return hash.close();
}

/** Names a pairing secret without telling it: the first 8 bytes of SHA-256("coffer pairing 1" | secret). */
export function pairingId(crypto: SessionCrypto, secret: Uint8Array): Uint8Array {
  return sha256(crypto, encodeUtf8("coffer pairing 1"), secret).slice(0, PAIRING_ID_BYTES);
}

export interface SessionKeys {
  deviceProof: Uint8Array;
  clientProof: Uint8Array;
  clientToDevice: Uint8Array;
  deviceToClient: Uint8Array;
}

/**
 * transcript = SHA-256(label | u8 length of the device's name | name | init | reply without proof)
 * prk = HKDF-Extract(salt = transcript, pairing secret); every key and proof is HKDF-Expand(prk, its name, 32).
 */
export function deriveSessionKeys(
  crypto: SessionCrypto,
  secret: Uint8Array,
  deviceName: string,
  initMessage: Init,
  replyMessage: Reply,
): SessionKeys {
  const name = encodeUtf8(deviceName);
  const transcript = sha256(
    crypto,
    LABEL,
    Uint8Array.of(name.length),
    name,
    encode(init, initMessage),
    encode(reply, replyMessage),
  );
  const prk = crypto.hmacSha256(transcript, secret);
  const expand = (info: string): Uint8Array => {
    const label = encodeUtf8(info);
    const message = new Uint8Array(label.length + 1);
    message.set(label);
    message[label.length] = 1;
    return crypto.hmacSha256(prk, message);
  };
  return {
    deviceProof: expand("device proof"),
    clientProof: expand("client proof"),
    clientToDevice: expand("client to device"),
    deviceToClient: expand("device to client"),
  };
}

/** Compares without telling by its time where the first difference is. */
export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}

const CONTROL_ADDITIONAL = Uint8Array.of(PayloadKind.control);

/** Numbers, encrypts and authenticates control frames of one direction; one object for each direction and side. */
export class ControlCipher {
  readonly #crypto: SessionCrypto;
  readonly #key: Uint8Array;
  #number = 0;

  constructor(options: { crypto: SessionCrypto; key: Uint8Array }) {
    this.#crypto = options.crypto;
    this.#key = options.key;
  }

  /** The payload of a data frame: kind, ciphertext, tag. */
  seal(message: Uint8Array): Uint8Array {
    const sealed = this.#crypto.seal(this.#key, this.nonce(), CONTROL_ADDITIONAL, message);
    const payload = new Uint8Array(1 + sealed.length);
    payload[0] = PayloadKind.control;
    payload.set(sealed, 1);
    return payload;
  }

  /** The message in a payload whose first byte was `control`. DataError "forged" ends the session. */
  open(payload: Uint8Array): Uint8Array {
    if (payload.length < 1 + TAG_BYTES) throw new DataError("short", "control frame without a tag");
    const message = this.#crypto.open(this.#key, this.nonce(), CONTROL_ADDITIONAL, payload.subarray(1));
    if (!message) throw new DataError("forged", "control frame does not verify");
    return message;
  }

  /** 4 zero bytes, then the frame's number, 8 bytes: used once, because the number only goes up. */
  private nonce(): Uint8Array {
    if (this.#number >= MAX_CONTROL_FRAMES)
      throw new DataError("range", "too many control frames in one session");
    const nonce = new Uint8Array(12);
    let rest = this.#number++;
    for (let i = 11; i >= 4; i--) {
      nonce[i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    return nonce;
  }
}

export const BULK_HEADER_BYTES = 7;

export interface BulkHeader {
  request: number;
  /** Of the first byte of this frame within the stream that the request started. */
  offsetBytes: number;
}

/** RangeError for values outside their fields. */
export function writeBulkHeader(into: Uint8Array, at: number, header: BulkHeader): void {
  const { request, offsetBytes } = header;
  if (!(request >= 0 && request <= 0xffff && offsetBytes >= 0 && offsetBytes <= 0xffffffff)) {
    throw new RangeError(
      `bulk: request ${String(request)} or offset ${String(offsetBytes)} outside its field`,
    );
  }
  into[at] = PayloadKind.bulk;
  into[at + 1] = request >> 8;
  into[at + 2] = request & 0xff;
  into[at + 3] = (offsetBytes >>> 24) & 0xff;
  into[at + 4] = (offsetBytes >>> 16) & 0xff;
  into[at + 5] = (offsetBytes >>> 8) & 0xff;
  into[at + 6] = offsetBytes & 0xff;
}

/** Reads the header of a payload whose first byte was `bulk`; the bytes follow it and are at least one. */
export function readBulkHeader(payload: Uint8Array): BulkHeader {
  if (payload.length <= BULK_HEADER_BYTES) throw new DataError("short", "bulk frame without bytes");
  return {
    request: ((payload[1] ?? 0) << 8) | (payload[2] ?? 0),
    offsetBytes:
      (payload[3] ?? 0) * 0x1000000 +
      (((payload[4] ?? 0) << 16) | ((payload[5] ?? 0) << 8) | (payload[6] ?? 0)),
  };
}
