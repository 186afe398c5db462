// SPDX-License-Identifier: MIT
/**
 * One end of a line on Node, the device's or the client's: TLS 1.3 with the other end, and nobody between who could read or
 * change anything. SPEC.md "Lines". The client of TLS shows its ticket as the server name; the server has to wait for the
 * other and shows its own in a `join` frame.
 */
import { connect as connectTcp } from "node:net";
import type { OnReadOpts } from "node:net";
import { TLSSocket, connect, createSecureContext } from "node:tls";
import type { ConnectionOptions, TLSSocketOptions, TlsOptions } from "node:tls";
import { FrameType, encodeFrame } from "../../protocol/frame";
import { LINE_CIPHER, LINE_IDENTITY, join } from "../../protocol/link-messages";
import { encode } from "../../protocol/message";

export interface LineEnd {
  /** The relay's. */
  host: string;
  port: number;
  ticket: Uint8Array;
  key: Uint8Array;
  /** Whether this end is the server of TLS. The client reads with less work: that is for the end which gets more. */
  isServer: boolean;
  /** What has come, valid during the call; false when nothing more is to come until `resume`. */
  onData: (bytes: Buffer) => boolean;
}

export interface Dialled {
  socket: TLSSocket;
  /** When the handshake is done and the peer has proven itself. */
  readyEvent: "secureConnect" | "secure";
}

const INCOMING_BYTES = 64 * 1024;

/** One buffer for all that comes: a buffer for each piece is what most garbage was made of. */
export function readInPlace(onData: (bytes: Buffer) => boolean): OnReadOpts {
  const buffer = Buffer.allocUnsafeSlow(INCOMING_BYTES);
  return { buffer, callback: (count) => onData(buffer.subarray(0, count)) };
}

export function dialLine(end: LineEnd): Dialled {
  return end.isServer ? dialAsServer(end) : dialAsClient(end);
}

/** The name by which a relay knows the ticket: two labels of 32 hexadecimal digits, and "line". */
function serverName(ticket: Uint8Array): string {
  const digits = Buffer.from(ticket).toString("hex");
  return `${digits.slice(0, 32)}.${digits.slice(32)}.line`;
}

function dialAsClient({ host, port, ticket, key, onData }: LineEnd): Dialled {
  const settings: ConnectionOptions & { onread: OnReadOpts } = {
    host,
    port,
    onread: readInPlace(onData),
    servername: serverName(ticket),
    minVersion: "TLSv1.3",
    ciphers: LINE_CIPHER,
    pskCallback: () => ({ psk: key, identity: LINE_IDENTITY }),
    // The key is the other end's proof. A server may answer an offered key with a certificate: none is good enough.
    ca: [],
    checkServerIdentity: () => new Error("a certificate instead of the line's key"),
  };
  const socket = connect(settings);
  socket.setNoDelay(true);
  return { socket, readyEvent: "secureConnect" };
}

function dialAsServer({ host, port, ticket, key, onData }: LineEnd): Dialled {
  const tcp = connectTcp({ host, port, noDelay: true });
  tcp.write(encodeFrame(FrameType.join, 0, encode(join, { ticket })));
  const psk = Buffer.from(key);
  const settings: TLSSocketOptions & Pick<TlsOptions, "pskCallback"> = {
    isServer: true,
    secureContext: createSecureContext({ minVersion: "TLSv1.3", ciphers: LINE_CIPHER, ca: [] }),
    pskCallback: (_, identity) => (identity === LINE_IDENTITY ? psk : null),
  };
  const socket = new TLSSocket(tcp, settings);
  socket.on("data", (bytes: Buffer) => {
    if (!onData(bytes)) socket.pause();
  });
  return { socket, readyEvent: "secure" };
}
