// SPDX-License-Identifier: MIT
/**
 * Takes the place of the SDK's module "rng", from which its TLS draws nonces and secret keys: that one is an RC4 variant
 * started from rand(), the same in every run on Linux. This one is the system's generator. It imports nothing, because
 * a module of a name without folders has no neighbours.
 */

/** In coffer-system.c. */
function fill(this: unknown, into: Uint8Array): void {
  native("xs_coffer_system_random").call(this, into);
}

export default {
  get(count: number): ArrayBuffer {
    const bytes = new Uint8Array(count);
    if (count > 0) fill(bytes);
    return bytes.buffer;
  },
  /** The system's generator takes no seed. */
  init(): void {},
};
