// SPDX-License-Identifier: MIT
/** CRC-32 (IEEE 802.3, reflected 0xEDB88320) as in zlib, bit by bit: it guards card sectors, a few dozen bytes each. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
