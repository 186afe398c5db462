// SPDX-License-Identifier: MIT
/**
 * The device's side of the end-to-end session of `protocol/session`: proves to know the pairing secret, demands the same
 * of the client, then opens and seals control frames. Whatever is wrong is a DataError, after which the session is dead.
 *
 * An unknown pairing costs the same work as a known one and fails in the same step, so that a relay cannot find out
 * which pairings a device has.
 */
import { DataError } from "../protocol/data-error";
import { NONCE_BYTES, SECRET_BYTES, WIRE_VERSION } from "../protocol/limits";
import { decode, encode } from "../protocol/message";
import {
  ControlCipher,
  HandshakeStep,
  PayloadKind,
  deriveSessionKeys,
  init,
  isEqual,
  pairingId,
  proof,
  reply,
} from "../protocol/session";
import type { SessionKeys } from "../protocol/session";
import type { Crypto, Entropy } from "./io";

/** A pairing secret under the id that clients name it by. */
export interface Pairing {
  readonly id: Uint8Array;
  readonly secret: Uint8Array;
}

export function pairingsOf(crypto: Crypto, secrets: readonly Uint8Array[]): Pairing[] {
  return secrets.map((secret) => {
    if (secret.length !== SECRET_BYTES)
      throw new RangeError(`pairings: expected ${String(SECRET_BYTES)} bytes each`);
    return { id: pairingId(crypto, secret), secret };
  });
}

export interface SessionOptions {
  crypto: Crypto;
  entropy: Entropy;
  /** As in the device's certificate. */
  name: string;
  pairings: readonly Pairing[];
  maxRequests: number;
}

export class DeviceSession {
  readonly #options: SessionOptions;
  #keys: SessionKeys | undefined;
  #isKnown = false;
  #incoming: ControlCipher | undefined;
  #outgoing: ControlCipher | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /** Both sides have proven themselves. */
  get isOpen(): boolean {
    return this.#incoming !== undefined;
  }

  /** Takes a handshake payload; returns the payload to answer with, or nothing after the last step. */
  handshake(payload: Uint8Array): Uint8Array | undefined {
    const step = payload[1];
    if (step === HandshakeStep.init && !this.#keys && !this.isOpen) return this.reply(payload.subarray(2));
    if (step === HandshakeStep.finish && this.#keys && !this.isOpen) {
      this.finish(this.#keys, payload.subarray(2));
      return undefined;
    }
    throw new DataError("type", "handshake step out of turn");
  }

  /** The message in a control payload. */
  open(payload: Uint8Array): Uint8Array {
    if (!this.#incoming) throw new DataError("forged", "control frame before the handshake ended");
    return this.#incoming.open(payload);
  }

  /** The payload for a message. Messages must be sent in the order in which they are sealed. */
  seal(message: Uint8Array): Uint8Array {
    if (!this.#outgoing) throw new DataError("forged", "no session");
    return this.#outgoing.seal(message);
  }

  private reply(bytes: Uint8Array): Uint8Array {
    const { crypto, entropy, name, pairings, maxRequests } = this.#options;
    const asked = decode(init, bytes);
    if (asked.minVersion > WIRE_VERSION || asked.maxVersion < WIRE_VERSION) {
      throw new DataError("version", "no session version in common");
    }
    // Every pairing is compared, and a secret nobody knows stands in for an unknown one.
    const secret = new Uint8Array(SECRET_BYTES);
    entropy.fill(secret);
    for (const pairing of pairings) {
      if (isEqual(pairing.id, asked.pairing)) {
        secret.set(pairing.secret);
        this.#isKnown = true;
      }
    }
    const nonce = new Uint8Array(NONCE_BYTES);
    entropy.fill(nonce);
    const answer = { version: WIRE_VERSION, maxRequests, nonce };
    const keys = deriveSessionKeys(crypto, secret, name, asked, answer);
    this.#keys = keys;
    const fields = encode(reply, answer);
    const payload = new Uint8Array(2 + fields.length + keys.deviceProof.length);
    payload[0] = PayloadKind.handshake;
    payload[1] = HandshakeStep.reply;
    payload.set(fields, 2);
    payload.set(keys.deviceProof, 2 + fields.length);
    return payload;
  }

  private finish(keys: SessionKeys, bytes: Uint8Array): void {
    const isProven = isEqual(decode(proof, bytes).proof, keys.clientProof);
    if (!isProven || !this.#isKnown)
      throw new DataError("forged", "the client does not know the pairing secret");
    const { crypto } = this.#options;
    this.#incoming = new ControlCipher({ crypto, key: keys.clientToDevice });
    this.#outgoing = new ControlCipher({ crypto, key: keys.deviceToClient });
    this.#keys = undefined; // the proofs have served, the ciphers hold the rest
  }
}
