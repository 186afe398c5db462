// SPDX-License-Identifier: MIT
/**
 * What a new connection is, by its first bytes: TLS with the relay, or one end of a line. The end that is the
 * client of TLS there shows its ticket as the server name, the other in a `join` frame. SPEC.md "Lines".
 */
import type { Socket } from "node:net";
import { DataError } from "../firmware/protocol/data-error";
import { FRAME_HEADER_BYTES, FrameType, readFrameHeader } from "../firmware/protocol/frame";
import { TICKET_BYTES } from "../firmware/protocol/limits";
import { handshakeRecordBytes, serverNameOf } from "./client-hello";

/**
 * A hello on a line has 300 bytes, and 1600 with a key share against quantum computers; who begins with a longer record wants
 * TLS with the relay.
 */
const MAX_LINE_HELLO_BYTES = 4096;
const JOIN_BYTES = FRAME_HEADER_BYTES + TICKET_BYTES;
const LINE_NAME = /^([0-9a-f]{32})\.([0-9a-f]{32})\.line$/;

export interface Visitor {
  /** How long it may take to say what it is. */
  timeoutMs: number;
  /** Anything but a ticket: TLS will tell. */
  onTls: () => void;
  onTicket: (ticket: Uint8Array) => void;
  /** It ended before, or took too long; under the names that Node has for that. */
  onNothing: (reason: "ECONNRESET" | "ERR_TLS_HANDSHAKE_TIMEOUT") => void;
}

interface Opening {
  /** Of a line's end; undefined for TLS. */
  ticket: Uint8Array | undefined;
  /** What was for the relay alone. */
  usedBytes: number;
}

/**
 * Calls one of the visitor's functions once. What was read and is not the relay's is in the connection again, which is not
 * being read.
 */
export function readDoor(socket: Socket, { timeoutMs, onTls, onTicket, onNothing }: Visitor): void {
  let first = Buffer.alloc(0);
  const leave = (): void => {
    clearTimeout(timer);
    socket.off("readable", read).off("error", ignore).off("close", gone);
  };
  const read = (): void => {
    const bytes = socket.read() as Buffer | null;
    if (bytes === null) return;
    first = Buffer.concat([first, bytes]);
    const opening = openingOf(first);
    if (!opening) return;
    leave();
    const { ticket, usedBytes } = opening;
    if (first.length > usedBytes) socket.unshift(first.subarray(usedBytes));
    if (ticket) onTicket(ticket);
    else onTls();
  };
  const ignore = (): void => undefined; // "close" follows
  const gone = (): void => {
    leave();
    onNothing("ECONNRESET");
  };
  const timer = setTimeout(() => {
    leave();
    onNothing("ERR_TLS_HANDSHAKE_TIMEOUT");
  }, timeoutMs);
  socket.on("readable", read).on("error", ignore).on("close", gone);
}

/** Undefined: more bytes are needed to tell. */
export function openingOf(first: Uint8Array): Opening | undefined {
  try {
    return first[0] === FrameType.join ? joinOf(first) : helloOf(first);
  } catch (error) {
    if (error instanceof DataError) return { ticket: undefined, usedBytes: 0 };
    throw error;
  }
}

function joinOf(first: Uint8Array): Opening | undefined {
  if (first.length < JOIN_BYTES) return undefined;
  const header = readFrameHeader(first, 0, TICKET_BYTES);
  if (header?.channel !== 0 || header.payloadBytes !== TICKET_BYTES)
    throw new DataError("range", "join: channel or length");
  return { ticket: first.slice(FRAME_HEADER_BYTES, JOIN_BYTES), usedBytes: JOIN_BYTES };
}

function helloOf(first: Uint8Array): Opening | undefined {
  const recordBytes = handshakeRecordBytes(first);
  const isLong = recordBytes === undefined || recordBytes > MAX_LINE_HELLO_BYTES;
  if (isLong) return { ticket: undefined, usedBytes: 0 };
  if (first.length < recordBytes) return undefined;
  const [, front, back] = LINE_NAME.exec(serverNameOf(first.subarray(0, recordBytes)) ?? "") ?? [];
  const isLine = front !== undefined && back !== undefined;
  return { ticket: isLine ? Buffer.from(front + back, "hex") : undefined, usedBytes: 0 };
}
