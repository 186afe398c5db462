// SPDX-License-Identifier: MIT
/**
 * Takes the place of the SDK's module "rng", from which its TLS draws nonces and secret keys: that one is an RC4 variant
 * started from rand(), the same in every run on Linux. This one is the system's generator.
 */
import { fillRandom } from "./coffer-system";

export default {
  get(count: number): ArrayBuffer {
    const bytes = new Uint8Array(count);
    if (count > 0) fillRandom(bytes);
    return bytes.buffer;
  },
  /** The system's generator takes no seed. */
  init(): void {},
};
