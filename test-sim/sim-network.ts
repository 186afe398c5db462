// SPDX-License-Identifier: MIT
/**
 * The secure-socket port over node:tls, as the device's TLS behaves: TLS 1.2, trust in the relay authority only, and a
 * certificate that names a relay. Every failure is a value with one of the port's codes.
 */
import { isIP } from "node:net";
import { type PeerCertificate, type TLSSocket, checkServerIdentity, connect } from "node:tls";

import {
  ConnectionError,
  type ConnectionErrorCode,
  type Network,
  type SecureSocket,
  type SecureSocketOptions,
} from "../firmware/core/io";

/** PEM texts. */
export interface BoardIdentity {
  /** The device's private key. */
  key: string;
  /** The device's certificate and its authority's. */
  cert: string;
  /** The authority that signs relays: the only one trusted. */
  ca: string;
}

/** Held for the firmware at most; beyond it the sender is made to wait. */
const READ_BUFFER_BYTES = 64 * 1024;
/** The largest record of TLS: what the device's own sockets take at most. */
const WRITE_WINDOW_BYTES = 16 * 1024;
/** A device gives up on a silent address after this. */
const HANDSHAKE_MS = 20_000;

export class SimNetwork implements Network {
  readonly #identity: BoardIdentity;
  readonly #sockets = new Set<SimSecureSocket>();

  constructor(identity: BoardIdentity) {
    this.#identity = identity;
  }

  connect(options: SecureSocketOptions): SecureSocket {
    const socket = new SimSecureSocket(this.#identity, options, () => this.#sockets.delete(socket));
    this.#sockets.add(socket);
    return socket;
  }

  /** The power is gone: connections end without a word, as the peer sees it. */
  drop(): void {
    for (const socket of this.#sockets) socket.abandon();
    this.#sockets.clear();
  }
}

class SimSecureSocket implements SecureSocket {
  readonly #socket: TLSSocket;
  readonly #options: SecureSocketOptions;
  readonly #forget: () => void;
  #isOpen = true;
  #isSecure = false;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #pendingBytes = 0;

  constructor(identity: BoardIdentity, options: SecureSocketOptions, forget: () => void) {
    this.#options = options;
    this.#forget = forget;
    const socket = connect({
      host: options.host,
      port: options.port,
      ...(isIP(options.host) ? {} : { servername: options.host }),
      key: identity.key,
      cert: identity.cert,
      ca: identity.ca,
      maxVersion: "TLSv1.2", // what the device has
      checkServerIdentity: (host, certificate) => refuseRelay(host, certificate, options.relayName),
    });
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setTimeout(HANDSHAKE_MS, () => {
      if (!this.#isSecure)
        this.#fail("unreachable", `no answer from ${options.host}:${String(options.port)}`);
    });
    socket.on("secureConnect", () => {
      this.#isSecure = true;
      socket.setTimeout(0);
      this.#tellRoom();
    });
    socket.on("data", (bytes: Buffer) => {
      this.#receive(bytes);
    });
    socket.on("end", () => {
      this.#fail(this.#isSecure ? "closed" : "rejected", "the relay closed the connection");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      this.#fail(errorCode(error, this.#isSecure), error.message, error);
    });
    socket.on("close", () => {
      this.#fail("lost", "the connection broke");
    });
  }

  get writableBytes(): number {
    return this.#isOpen && this.#isSecure ? WRITE_WINDOW_BYTES - this.#pendingBytes : 0;
  }

  read(into: Uint8Array): number {
    let count = 0;
    while (count < into.length) {
      const first = this.#received[0];
      if (first === undefined) break;
      const part = first.subarray(0, into.length - count);
      into.set(part, count);
      count += part.length;
      if (part.length === first.length) this.#received.shift();
      else this.#received[0] = first.subarray(part.length);
    }
    this.#receivedBytes -= count;
    if (this.#receivedBytes < READ_BUFFER_BYTES / 2) this.#socket.resume();
    return count;
  }

  /** Waiting to be read. */
  get readableBytes(): number {
    return this.#receivedBytes;
  }

  write(bytes: Uint8Array): void {
    if (bytes.length > this.writableBytes)
      throw new RangeError(
        `write: expected at most ${String(this.writableBytes)} bytes, got ${String(bytes.length)}`,
      );
    this.#pendingBytes += bytes.length;
    this.#socket.write(bytes.slice(), () => {
      this.#pendingBytes -= bytes.length;
      this.#tellRoom();
    });
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#end();
    this.#socket.end();
    this.#socket.setTimeout(HANDSHAKE_MS, () => this.#socket.destroy()); // a peer that never closes its side
  }

  abandon(): void {
    this.#end();
    this.#socket.destroy();
  }

  #receive(bytes: Buffer): void {
    if (!this.#isOpen) return;
    this.#received.push(bytes);
    this.#receivedBytes += bytes.length;
    if (this.#receivedBytes >= READ_BUFFER_BYTES) this.#socket.pause();
    this.#options.onReadable(this.#receivedBytes);
  }

  #tellRoom(): void {
    if (this.#isOpen && this.writableBytes > 0) this.#options.onWritable(this.writableBytes);
  }

  #fail(code: ConnectionErrorCode, message: string, cause?: Error): void {
    if (!this.#isOpen) return;
    this.#end();
    this.#socket.destroy();
    this.#options.onError(new ConnectionError(code, message, { cause }));
  }

  #end(): void {
    this.#isOpen = false;
    this.#received = [];
    this.#receivedBytes = 0;
    this.#forget();
  }
}

/** What the device's adapter checks beyond the chain; undefined: accepted. */
function refuseRelay(
  host: string,
  certificate: PeerCertificate,
  relayName: string | undefined,
): Error | undefined {
  const names = (certificate.subjectaltname ?? "")
    .split(", ")
    .filter((name) => name.startsWith("URI:coffer:relay:"));
  if (names.length === 0) return refusal(`the certificate of ${host} does not name a relay`);
  if (relayName === undefined) return checkServerIdentity(host, certificate);
  return names.includes(`URI:coffer:relay:${relayName}`)
    ? undefined
    : refusal(`${host} is not the relay ${relayName}`);
}

function refusal(message: string): Error {
  return Object.assign(new Error(message), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

function errorCode(error: NodeJS.ErrnoException, isSecure: boolean): ConnectionErrorCode {
  const code = error.code ?? "";
  if (/ALERT/.test(code)) return "rejected"; // the peer's word, before or - TLS 1.3 - after our handshake
  if (/CERT|ERR_TLS|SELF_SIGNED|VERIFY|ISSUER/.test(code)) return "certificate";
  if (isSecure) return "lost";
  if (/^(ECONNRESET|EPIPE|EPROTO)$/.test(code) || code.startsWith("ERR_SSL")) return "rejected";
  return "unreachable";
}
