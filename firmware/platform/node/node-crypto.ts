// SPDX-License-Identifier: MIT
/** The crypto and entropy ports over node:crypto. */
import { createCipheriv, createDecipheriv, createHash, createHmac, randomFillSync } from "node:crypto";
import type { Crypto, Entropy, Sha256 } from "../../core/io";
import { TAG_BYTES } from "../../protocol/limits";

export const nodeEntropy: Entropy = {
  fill: (into) => {
    randomFillSync(into);
  },
};

export const nodeCrypto: Crypto = {
  createSha256: (): Sha256 => {
    const hash = createHash("sha256");
    return {
      write: (bytes) => {
        hash.update(bytes);
      },
      close: () => new Uint8Array(hash.digest()),
    };
  },
  hmacSha256: (key, message) => new Uint8Array(createHmac("sha256", key).update(message).digest()),
  seal: (key, nonce, additional, plaintext) => {
    const cipher = createCipheriv("aes-256-gcm", key, nonce);
    cipher.setAAD(additional);
    const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
    sealed.set(cipher.update(plaintext));
    cipher.final();
    sealed.set(cipher.getAuthTag(), plaintext.length);
    return sealed;
  },
  open: (key, nonce, additional, sealed) => {
    if (sealed.length < TAG_BYTES) return undefined;
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(additional);
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    const opened = new Uint8Array(decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES)));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return opened;
  },
};
