// SPDX-License-Identifier: MIT
/** The natives of coffer-records.c. Buffers are views of bytes; a wrong length is a RangeError. */

/** One direction of a TLS 1.2 connection with AES-GCM. */
export class NativeRecords extends Native("xs_coffer_records_destructor") {
  /** `key`: 16 or 32 bytes; `salt`: 4; `number`: of the next record. Once. */
  start(key: Uint8Array, salt: Uint8Array, number: number): void {
    native("xs_coffer_records_start").call(this, key, salt, number);
  }

  /** The record of `bytes` (16384 at most) in `into`, which is RECORD_OVERHEAD_BYTES longer or more; returns its length. */
  seal(type: number, bytes: Uint8Array, into: Uint8Array): number {
    return native("xs_coffer_records_seal").call(this, type, bytes, into) as number;
  }

  /** A whole record: its plaintext replaces the ciphertext, from PLAINTEXT_OFFSET on; returns its length, -1 when it is forged. */
  open(record: Uint8Array): number {
    return native("xs_coffer_records_open").call(this, record) as number;
  }
}

/** AES-GCM with a nonce of 12 bytes and a tag of 16. */
export class NativeGcm extends Native("xs_coffer_gcm_destructor") {
  /** 16 or 32 bytes. Once. */
  start(key: Uint8Array): void {
    native("xs_coffer_gcm_start").call(this, key);
  }

  /** `into`: ciphertext and tag. */
  seal(nonce: Uint8Array, additional: Uint8Array, bytes: Uint8Array, into: Uint8Array): void {
    native("xs_coffer_gcm_seal").call(this, nonce, additional, bytes, into);
  }

  /** False, and nothing in `into`, when `sealed` was not made so. */
  open(nonce: Uint8Array, additional: Uint8Array, sealed: Uint8Array, into: Uint8Array): boolean {
    return native("xs_coffer_gcm_open").call(this, nonce, additional, sealed, into) as boolean;
  }
}
