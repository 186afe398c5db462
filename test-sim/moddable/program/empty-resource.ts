// SPDX-License-Identifier: MIT
/** In place of the SDK's "Resource", which command-line programs do not have: its TLS looks there for authorities. */
export default class Resource {
  readonly byteLength = 0;
  slice(): ArrayBuffer {
    return new ArrayBuffer(0);
  }
  static exists(): boolean {
    return false;
  }
}
