// SPDX-License-Identifier: MIT
/** The cryptography port over the SDK's Digest, HMAC and AES-GCM. Its classes take keys, nonces and additional data as ArrayBuffers only. */
import { BlockCipher, Digest } from "crypt";
import GCM from "gcm";
import HMAC from "hmac";
import type { Crypto, Sha256 } from "../../core/io";
import { isEqual } from "../../protocol/session";

const TAG_BYTES = 16;

export class ModdableCrypto implements Crypto {
  createSha256(): Sha256 {
    const digest = new Digest("SHA256");
    return {
      write(bytes) {
        digest.write(asMessage(bytes));
      },
      close: () => new Uint8Array(digest.close()),
    };
  }

  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
    return new Uint8Array(new HMAC(new Digest("SHA256"), bufferOf(key)).process(message));
  }

  seal(key: Uint8Array, nonce: Uint8Array, additional: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const gcm = new GCM(new BlockCipher("AES", bufferOf(key)));
    return new Uint8Array(gcm.process(plaintext, undefined, bufferOf(nonce), bufferOf(additional), true));
  }

  /** Piece by piece, because `process` compares tags in a time that depends on where they differ. */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    additional: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined {
    const end = sealed.length - TAG_BYTES;
    if (end < 0) return undefined;
    const gcm = new GCM(new BlockCipher("AES", bufferOf(key)));
    gcm.init(bufferOf(nonce), bufferOf(additional));
    const opened = end > 0 ? gcm.decrypt(sealed.subarray(0, end)) : new ArrayBuffer(0);
    const isTrue = isEqual(new Uint8Array(gcm.close()), sealed.subarray(end));
    return isTrue ? new Uint8Array(opened) : undefined;
  }
}

/** It takes views, too; its typings do not know. */
export function asMessage(bytes: Uint8Array): ArrayBuffer {
  return bytes as unknown as ArrayBuffer;
}

/** A copy of just these bytes. */
function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer as ArrayBuffer;
}
