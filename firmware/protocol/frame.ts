// SPDX-License-Identifier: MIT
/**
 * Link frames: what travels inside TLS between an endpoint (device or client) and the relay. SPEC.md "Link".
 *
 *   0  u8   type
 *   1  u8   reserved, 0
 *   2  u16  channel, 0 for the connection itself
 *   4  u16  payload length
 *   6  payload
 */
import { DataError } from "./data-error";
import { MAX_FRAME_BYTES } from "./limits";

export const FRAME_HEADER_BYTES = 6;

export const FrameType = {
  hello: 1,
  welcome: 2,
  ping: 3,
  pong: 4,
  goAway: 5,
  listDevices: 6,
  devices: 7,
  askLine: 8,
  line: 9,
  join: 10,
  open: 16,
  accept: 17,
  close: 18,
  data: 19,
  credit: 20,
} as const;

export interface FrameHeader {
  type: number;
  channel: number;
  payloadBytes: number;
}

/** Writes a header at `at`; the payload follows it. RangeError for values outside their limits. */
export function writeFrameHeader(into: Uint8Array, at: number, header: FrameHeader): void {
  const { type, channel, payloadBytes } = header;
  if (!(payloadBytes >= 0 && payloadBytes <= MAX_FRAME_BYTES)) {
    throw new RangeError(`payloadBytes: expected 0..${String(MAX_FRAME_BYTES)}, got ${String(payloadBytes)}`);
  }
  if (channel < 0 || channel > 0xffff)
    throw new RangeError(`channel: expected 0..65535, got ${String(channel)}`);
  into[at] = type;
  into[at + 1] = 0;
  into[at + 2] = channel >> 8;
  into[at + 3] = channel & 0xff;
  into[at + 4] = payloadBytes >> 8;
  into[at + 5] = payloadBytes & 0xff;
}

/**
 * The header at `at`, or undefined when fewer than FRAME_HEADER_BYTES are there. DataError "range" for a payload above
 * `maxPayloadBytes` or a reserved byte that is not 0. The type is not judged here: a relay passes what it knows.
 */
export function readFrameHeader(
  bytes: Uint8Array,
  at: number,
  maxPayloadBytes: number,
): FrameHeader | undefined {
  if (bytes.length - at < FRAME_HEADER_BYTES) return undefined;
  if (bytes[at + 1] !== 0) throw new DataError("range", "frame: reserved byte is not 0");
  const channel = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
  const payloadBytes = ((bytes[at + 4] ?? 0) << 8) | (bytes[at + 5] ?? 0);
  if (payloadBytes > maxPayloadBytes) {
    throw new DataError(
      "range",
      `frame: payload of ${String(payloadBytes)} above ${String(maxPayloadBytes)} bytes`,
    );
  }
  return { type: bytes[at] ?? 0, channel, payloadBytes };
}

/** A whole frame in a buffer of its own, for the small ones. */
export function encodeFrame(type: number, channel: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  writeFrameHeader(bytes, 0, { type, channel, payloadBytes: payload.length });
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}
