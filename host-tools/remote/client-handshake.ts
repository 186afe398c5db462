// SPDX-License-Identifier: MIT
/** The client's steps of the handshake, without the channel that carries them. SPEC.md "Handshake". */

import { randomBytes } from "node:crypto";
import { DataError } from "../../firmware/protocol/data-error";
import { HASH_BYTES, MAX_REQUESTS, NONCE_BYTES, WIRE_VERSION } from "../../firmware/protocol/limits";
import { decode, encode } from "../../firmware/protocol/message";
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
} from "../../firmware/protocol/session";
import type { Init } from "../../firmware/protocol/session";
import { Refusal } from "../refusal";
import { nodeCrypto } from "./node-crypto";

/** What a proven session consists of. */
export interface ProvenSession {
  sealer: ControlCipher;
  opener: ControlCipher;
  /** Requests the device takes at once. */
  maxRequests: number;
  /** The last step, to be sent before any control frame. */
  finish: Uint8Array;
}

export class ClientHandshake {
  readonly #device: string;
  readonly #secret: Uint8Array;
  readonly #init: Init;

  constructor(options: { device: string; pairingSecret: Uint8Array }) {
    this.#device = options.device;
    this.#secret = options.pairingSecret;
    this.#init = {
      minVersion: WIRE_VERSION,
      maxVersion: WIRE_VERSION,
      pairing: pairingId(nodeCrypto, options.pairingSecret),
      nonce: randomBytes(NONCE_BYTES),
    };
  }

  /** The payload that begins it. */
  begin(): Uint8Array {
    return stepPayload(HandshakeStep.init, encode(init, this.#init));
  }

  /** Takes the device's payload. Refusal "pairingFailed" when its proof is wrong, DataError when it makes no sense. */
  takeReply(payload: Uint8Array): ProvenSession {
    if (payload[1] !== HandshakeStep.reply) throw new DataError("type", "handshake step out of order");
    const body = payload.subarray(2);
    if (body.length < HASH_BYTES) throw new DataError("short", "handshake reply");
    const answer = decode(reply, body.subarray(0, body.length - HASH_BYTES));
    const theirs = decode(proof, body.subarray(body.length - HASH_BYTES));
    if (answer.version !== WIRE_VERSION) {
      throw new DataError("version", `${this.#device} speaks version ${String(answer.version)}`);
    }
    const keys = deriveSessionKeys(nodeCrypto, this.#secret, this.#device, this.#init, answer);
    if (!isEqual(theirs.proof, keys.deviceProof)) throw this.#unproven();
    if (answer.maxRequests < 1) throw new DataError("range", "a device that takes no requests");
    return {
      sealer: new ControlCipher({ crypto: nodeCrypto, key: keys.clientToDevice }),
      opener: new ControlCipher({ crypto: nodeCrypto, key: keys.deviceToClient }),
      maxRequests: Math.min(answer.maxRequests, MAX_REQUESTS),
      finish: stepPayload(HandshakeStep.finish, encode(proof, { proof: keys.clientProof })),
    };
  }

  #unproven(): Refusal {
    const what = `what answers as ${this.#device} does not know this computer's pairing secret`;
    return new Refusal("pairingFailed", what, {
      hint:
        "Somebody may be posing as the device, or it was given another secret: " +
        "pair it again with `coffer device add`.",
    });
  }
}

function stepPayload(step: number, body: Uint8Array): Uint8Array {
  const payload = new Uint8Array(2 + body.length);
  payload[0] = PayloadKind.handshake;
  payload[1] = step;
  payload.set(body, 2);
  return payload;
}
