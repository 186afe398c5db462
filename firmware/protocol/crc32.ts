// SPDX-License-Identifier: MIT
/** CRC-32 (IEEE 802.3, reflected 0xEDB88320) as in zlib, four bits at a time: it guards card sectors and log entries. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let at = 0; at < bytes.length; at++) {
    crc ^= bytes[at] ?? 0;
    crc = (crc >>> 4) ^ (REMAINDERS[crc & 15] ?? 0);
    crc = (crc >>> 4) ^ (REMAINDERS[crc & 15] ?? 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** Of each four bits. */
const REMAINDERS: readonly number[] = Array.from({ length: 16 }, (_, bits) => {
  let crc = bits;
  for (let i = 0; i < 4; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});
