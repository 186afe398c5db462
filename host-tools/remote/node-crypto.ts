// SPDX-License-Identifier: MIT
/** The cryptography that session and store need, on node:crypto. Shaped as the firmware's `Crypto` port. */

import { createCipheriv, createDecipheriv, createHash, createHmac } from "node:crypto";
import type { Crypto, Sha256 } from "../../firmware/core/io";

const TAG_BYTES = 16;

class NodeSha256 implements Sha256 {
  readonly #hash = createHash("sha256");

  write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  close(): Uint8Array {
    return this.#hash.digest();
  }
}

export const nodeCrypto: Crypto = {
  createSha256: () => new NodeSha256(),

  hmacSha256: (key, message) => createHmac("sha256", key).update(message).digest(),

  seal: (key, nonce, additional, plaintext) => {
    const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(additional);
    return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
  },

  open: (key, nonce, additional, sealed) => {
    if (sealed.length < TAG_BYTES) return undefined;
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(additional);
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    const plaintext = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plaintext;
  },
};
