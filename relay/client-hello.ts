// SPDX-License-Identifier: MIT
/** The server name in the first record of a TLS connection: RFC 8446 section 4.1.2, RFC 6066 section 3. */
import { ByteReader } from "../firmware/protocol/byte-reader";

const RECORD_HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;
const NAME_HOST = 0;
export const RECORD_HEADER_BYTES = 5;

/** Bytes of the record that begins there, with its header; undefined when it is none of a handshake's, or too short to tell. */
export function handshakeRecordBytes(bytes: Uint8Array): number | undefined {
  if (bytes.length < RECORD_HEADER_BYTES || bytes[0] !== RECORD_HANDSHAKE) return undefined;
  return RECORD_HEADER_BYTES + (bytes[3] ?? 0) * 256 + (bytes[4] ?? 0);
}

/** Of a ClientHello that fills one record; undefined when it has none. DataError when it is no ClientHello. */
export function serverNameOf(record: Uint8Array): string | undefined {
  const message = new ByteReader(record.subarray(RECORD_HEADER_BYTES));
  if (message.u8() !== CLIENT_HELLO) return undefined;
  message.take(3 + 2 + 32); // length, version, random
  message.take(message.u8()); // session id
  message.take(message.u16()); // cipher suites
  message.take(message.u8()); // compression
  const extensions = new ByteReader(message.take(message.u16()));
  while (extensions.remaining > 0) {
    const type = extensions.u16();
    const content = new ByteReader(extensions.take(extensions.u16()));
    if (type !== EXTENSION_SERVER_NAME) continue;
    const names = new ByteReader(content.take(content.u16()));
    while (names.remaining > 0) {
      const kind = names.u8();
      const name = names.take(names.u16());
      if (kind === NAME_HOST) return Buffer.from(name).toString("latin1");
    }
  }
  return undefined;
}
