// SPDX-License-Identifier: MIT
/** The cryptography port: the SDK's HMAC, which takes keys as ArrayBuffers only, and SHA-256 and AES-GCM of our own. */
import { Digest } from "crypt";
import HMAC from "hmac";
import type { Crypto, Sha256 } from "../../core/io";
import { NativeSha256 } from "./coffer-digest";
import { NativeGcm } from "./coffer-records";

const TAG_BYTES = 16;

export class ModdableCrypto implements Crypto {
  createSha256(): Sha256 {
    return new NativeSha256();
  }

  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
    return new Uint8Array(new HMAC(new Digest("SHA256"), bufferOf(key)).process(message));
  }

  seal(key: Uint8Array, nonce: Uint8Array, additional: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
    gcmOf(key).seal(nonce, additional, plaintext, sealed);
    return sealed;
  }

  open(
    key: Uint8Array,
    nonce: Uint8Array,
    additional: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined {
    if (sealed.length < TAG_BYTES) return undefined;
    const opened = new Uint8Array(sealed.length - TAG_BYTES);
    return gcmOf(key).open(nonce, additional, sealed, opened) ? opened : undefined;
  }
}

function gcmOf(key: Uint8Array): NativeGcm {
  const gcm = new NativeGcm();
  gcm.start(key);
  return gcm;
}

/** It takes views, too; its typings do not know. */
export function asMessage(bytes: Uint8Array): ArrayBuffer {
  return bytes as unknown as ArrayBuffer;
}

/** A copy of just these bytes. */
function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return bytes.slice().buffer as ArrayBuffer;
}
