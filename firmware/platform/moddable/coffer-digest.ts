// SPDX-License-Identifier: MIT
/** The natives of coffer-digest.c. */
import type { Sha256 } from "../../core/io";

const DIGEST_BYTES = 32;

/** Its memory is the system's, until `close`. */
export class NativeSha256 extends Native("xs_coffer_sha_destructor") implements Sha256 {
  write(bytes: Uint8Array): void {
    native("xs_coffer_sha_write").call(this, bytes);
  }

  close(): Uint8Array {
    const digest = new Uint8Array(DIGEST_BYTES);
    native("xs_coffer_sha_close").call(this, digest);
    return digest;
  }
}
