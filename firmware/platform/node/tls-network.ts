// SPDX-License-Identifier: MIT
/**
 * The network port over node:tls: mutual TLS to a relay. Trusted is the relay authority alone; the certificate must be
 * valid for the host and name a relay in its URI SAN (of a relay that was found: that relay); revoked ones are refused when there is a list.
 */
import { isIP } from "node:net";
import { checkServerIdentity, connect } from "node:tls";
import type { OnReadOpts } from "node:net";
import type { ConnectionOptions, PeerCertificate, TLSSocket } from "node:tls";
import { ConnectionError } from "../../core/io";
import type {
  ConnectionErrorCode,
  LineOptions,
  Network,
  SecureSocket,
  SecureSocketOptions,
} from "../../core/io";
import { type Dialled, dialLine, readInPlace } from "./line-socket";

export interface TlsIdentity {
  keyPem: string;
  /** The device's certificate, followed by its authority's if that is sent. */
  certificatePem: string;
  relayAuthorityPem: string;
  /** Revoked relays. */
  crlPem?: string;
}

/** What may wait in this process for the socket to take it. */
const MAX_WAITING_BYTES = 512 * 1024;
/** `onWritable` comes again when so much of it is free. */
const LEAST_ROOM_BYTES = 128 * 1024;
/** Frames are gathered into pieces of this size, so that they become full TLS records and few system calls. */
const PIECE_BYTES = 64 * 1024;
const MAX_SPARE_PIECES = 8;
const INCOMING_BYTES = 64 * 1024;
const RELAY_NAME = /(?:^|, )URI:coffer:relay:([a-z0-9-]{1,32})(?:,|$)/;

export class TlsNetwork implements Network {
  readonly #identity: TlsIdentity;

  constructor(options: { identity: TlsIdentity }) {
    this.#identity = options.identity;
  }

  connect(options: SecureSocketOptions): SecureSocket {
    return new TlsSecureSocket(options, (take) => dialRelay(this.#identity, options, take));
  }

  join(options: LineOptions): SecureSocket {
    return new TlsSecureSocket(options, (take) => dialLine({ ...options, onData: take }));
  }
}

/** Takes what has come, at once; false when nothing more is to come until `resume`. */
type Take = (bytes: Buffer) => boolean;

function dialRelay(
  identity: TlsIdentity,
  { host, port, relayName }: SecureSocketOptions,
  take: Take,
): Dialled {
  const settings: ConnectionOptions & { onread: OnReadOpts } = {
    host,
    port,
    onread: readInPlace(take),
    ...(isIP(host) === 0 ? { servername: host } : {}),
    key: identity.keyPem,
    cert: identity.certificatePem,
    ca: identity.relayAuthorityPem,
    ...(identity.crlPem === undefined ? {} : { crl: identity.crlPem }),
    minVersion: "TLSv1.2",
    rejectUnauthorized: true,
    checkServerIdentity: (_, certificate) => judge(host, relayName, certificate),
  };
  const socket = connect(settings);
  socket.setNoDelay(true);
  return { socket, readyEvent: "secureConnect" };
}

class TlsSecureSocket implements SecureSocket {
  readonly #options: SecureSocketOptions;
  readonly #socket: TLSSocket;
  #isReady = false;
  #isClosed = false;
  #isPaused = false;
  /** What has just come: `#offset` to `#end`, until `onReadable` returns. */
  #incoming: Buffer = Buffer.alloc(0);
  #offset = 0;
  #end = 0;
  /** What the owner did not read then. The network waits when that is as much as INCOMING_BYTES. */
  #left: Buffer[] = [];
  #leftBytes = 0;
  /** What is being gathered. */
  #piece: Buffer | undefined;
  #pieceBytes = 0;
  /** Pieces that have been sent, for use again. */
  readonly #spare: Buffer[] = [];
  #isSendScheduled = false;
  #wantsRoom = false;

  constructor(options: SecureSocketOptions, dial: (take: Take) => Dialled) {
    this.#options = options;
    const { socket, readyEvent } = dial((bytes) => this.#take(bytes));
    this.#socket = socket;
    socket.on(readyEvent, () => {
      if (this.#isClosed) return;
      this.#isReady = true;
      this.#options.onWritable(this.writableBytes);
    });
    socket.on("error", (error: Error) => {
      this.#fail(connectionError(error, this.#isReady));
    });
    socket.on("end", () => {
      this.#fail(new ConnectionError("closed", "the relay closed the connection"));
    });
    socket.on("close", () => {
      this.#fail(new ConnectionError(this.#isReady ? "lost" : "rejected", "the connection broke"));
    });
  }

  read(into: Uint8Array): number {
    let count = 0;
    for (let piece = this.#left[0]; piece && count < into.length; piece = this.#left[0]) {
      const part = Math.min(piece.length, into.length - count);
      piece.copy(into, count, 0, part);
      count += part;
      this.#leftBytes -= part;
      if (part === piece.length) this.#left.shift();
      else this.#left[0] = piece.subarray(part);
    }
    const part = Math.min(into.length - count, this.#end - this.#offset);
    this.#incoming.copy(into, count, this.#offset, this.#offset + part);
    this.#offset += part;
    if (this.#isPaused && this.#leftBytes === 0) {
      this.#isPaused = false;
      this.#socket.resume();
    }
    return count + part;
  }

  view(count: number): Uint8Array | undefined {
    if (this.#leftBytes > 0 || this.#end - this.#offset < count) return undefined;
    this.#offset += count;
    return this.#incoming.subarray(this.#offset - count, this.#offset);
  }

  get writableBytes(): number {
    if (!this.#isReady || this.#isClosed) return 0;
    const room = MAX_WAITING_BYTES - this.#socket.writableLength - this.#pieceBytes;
    if (room < PIECE_BYTES / 2) {
      this.#wantsRoom = true;
      return 0;
    }
    return room;
  }

  write(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    if (bytes.length > this.writableBytes) throw new RangeError("write: more than writableBytes");
    for (let at = 0; at < bytes.length;) {
      this.#piece ??= this.#spare.pop() ?? Buffer.allocUnsafeSlow(PIECE_BYTES);
      const part = Math.min(PIECE_BYTES - this.#pieceBytes, bytes.length - at);
      this.#piece.set(bytes.subarray(at, at + part), this.#pieceBytes);
      this.#pieceBytes += part;
      at += part;
      if (this.#pieceBytes === PIECE_BYTES) this.#send();
    }
    if (this.#pieceBytes > 0 && !this.#isSendScheduled) {
      this.#isSendScheduled = true;
      queueMicrotask(() => {
        this.#isSendScheduled = false;
        this.#send();
      });
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#send();
    this.#isClosed = true;
    this.#forget();
    if (!this.#isReady) {
      this.#socket.destroy();
      return;
    }
    this.#socket.end();
    // What was written last may still go out; a peer that does not take it holds the socket no longer than this.
    this.#socket.resume();
    setTimeout(() => {
      this.#socket.destroy();
    }, 1000).unref();
  }

  #send(): void {
    const piece = this.#piece;
    if (!piece || this.#pieceBytes === 0 || this.#isClosed) return;
    const isFull = this.#pieceBytes === PIECE_BYTES;
    // A small piece is copied out, so that a credit of ten bytes does not keep 64 KiB waiting.
    const bytes = isFull ? piece : Buffer.from(piece.subarray(0, this.#pieceBytes));
    if (isFull) this.#piece = undefined;
    this.#pieceBytes = 0;
    this.#socket.write(bytes, () => {
      if (isFull && this.#spare.length < MAX_SPARE_PIECES) this.#spare.push(bytes);
      this.#offerRoom();
    });
  }

  /** Returns whether more may come: not while the owner has left much unread. */
  #take(bytes: Buffer): boolean {
    if (this.#isClosed) return true;
    this.#incoming = bytes;
    this.#offset = 0;
    this.#end = bytes.length;
    this.#options.onReadable(this.#leftBytes + bytes.length);
    this.#keepRest();
    this.#isPaused = this.#leftBytes >= INCOMING_BYTES;
    return !this.#isPaused;
  }

  #keepRest(): void {
    if (this.#offset < this.#end && !this.#isClosed) {
      const rest = Buffer.from(this.#incoming.subarray(this.#offset, this.#end));
      this.#left.push(rest);
      this.#leftBytes += rest.length;
    }
    this.#end = this.#offset;
  }

  #offerRoom(): void {
    if (!this.#wantsRoom || this.#isClosed) return;
    if (MAX_WAITING_BYTES - this.#socket.writableLength - this.#pieceBytes < LEAST_ROOM_BYTES) return;
    this.#wantsRoom = false;
    this.#options.onWritable(this.writableBytes);
  }

  #forget(): void {
    this.#end = this.#offset;
    this.#left = [];
    this.#leftBytes = 0;
  }

  #fail(error: ConnectionError): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#forget();
    this.#socket.destroy();
    this.#options.onError(error);
  }
}

/** Valid for the host or of the name, and a relay: a device's or client's certificate is neither, whoever signed it. */
function judge(host: string, relayName: string | undefined, certificate: PeerCertificate): Error | undefined {
  const [, name] = RELAY_NAME.exec(certificate.subjectaltname ?? "") ?? [];
  if (name === undefined) return new Error("the certificate does not name a relay");
  if (relayName === undefined) return checkServerIdentity(host, certificate);
  return name === relayName ? undefined : new Error(`${host} is not the relay ${relayName}`);
}

const UNREACHABLE = [
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "EADDRNOTAVAIL",
];

function connectionError(error: Error, isReady: boolean): ConnectionError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  let kind: ConnectionErrorCode = isReady ? "lost" : "certificate";
  if (UNREACHABLE.includes(code) || error instanceof AggregateError) kind = "unreachable";
  // The relay's alert about our certificate, in TLS 1.3 after the handshake has ended for this side.
  else if (code.startsWith("ERR_SSL_") && code.includes("ALERT")) kind = "rejected";
  else if (!isReady && (code === "ECONNRESET" || code === "EPIPE" || code.startsWith("ERR_SSL_")))
    kind = "rejected";
  return new ConnectionError(kind, error.message || code, { cause: error });
}
