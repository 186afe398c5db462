// SPDX-License-Identifier: MIT
/**
 * The relay as a TLS server: lets in whom `authenticate` lets in, gives each connection a Link, and stops without
 * losing what is on its way.
 */
import { constants } from "node:crypto";
import { type AddressInfo, type DropArgument, type Server, type Socket, createServer } from "node:net";
import {
  type SecureContextOptions,
  type Server as TlsServer,
  type TLSSocket,
  createServer as createTlsServer,
} from "node:tls";
import { FRAME_HEADER_BYTES, FrameType, encodeFrame } from "../firmware/protocol/frame";
import { MAX_FRAME_BYTES } from "../firmware/protocol/limits";
import { CloseReason, goAway } from "../firmware/protocol/link-messages";
import { encode } from "../firmware/protocol/message";
import { Refused, authenticate, refusalNow } from "./authenticate";
import { BufferPool } from "./buffer-pool";
import { readDoor } from "./door";
import type { EventLog } from "./events";
import type { RelayIdentity } from "./identity-files";
import {
  DRAIN_MS,
  GOODBYE_MS,
  HANDSHAKE_TIMEOUT_MS,
  LINE_QUEUE_BYTES,
  MAX_CONNECTIONS,
  MAX_HANDSHAKES,
  SESSION_SECONDS,
} from "./limits";
import { Link } from "./link";
import { OutboxPool } from "./outbox";
import { Pairing } from "./pair";
import { SessionCache } from "./session-cache";

/**
 * Forward secrecy first, and AES-128 before AES-256: what travels here is sealed end to end, and every byte is
 * decrypted and encrypted once more by the relay. The last two are for boards that are built without key exchange.
 */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
  "ECDHE-RSA-AES128-SHA256",
  "AES128-GCM-SHA256",
  "AES128-SHA256",
].join(":");

/** All of it each time: what a new context is not given, Node sets back to its own defaults. */
function contextOf({ tls }: RelayIdentity): SecureContextOptions {
  return {
    ...tls,
    minVersion: "TLSv1.2",
    maxVersion: "TLSv1.3",
    ciphers: CIPHERS,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    sessionTimeout: SESSION_SECONDS,
  };
}

const TICK_MS = 1000;
/** After a stop everybody comes back somewhere in this time, and later the more there are. */
const RETRY_MS = 1000;
const RETRY_MS_PER_LINK = 20;

export interface RelayServerOptions {
  name: string;
  identity: RelayIdentity;
  heartbeatSeconds: number;
  events: EventLog;
  handshakeTimeoutMs?: number;
}

export class RelayServer {
  readonly pairing: Pairing;
  readonly pool = new OutboxPool();
  readonly handshakes = { full: 0, resumed: 0 };
  readonly refusals = new Map<string, number>();
  readonly #options: RelayServerOptions;
  /** What listens; `#tls` gets the connections that begin a handshake. */
  readonly #server: Server;
  readonly #tls: TlsServer;
  readonly #frames = new BufferPool({ sizeBytes: FRAME_HEADER_BYTES + MAX_FRAME_BYTES, maxSpare: 64 });
  readonly #sessions = new SessionCache();
  /** Connections whose handshake is under way, by remote address. */
  readonly #handshakes = new Map<string, Socket>();
  readonly #sockets = new Set<TLSSocket>();
  readonly #ticking: NodeJS.Timeout;
  #identity: RelayIdentity;
  #tickedAtMs = performance.now();

  constructor(options: RelayServerOptions) {
    this.#options = options;
    this.#identity = options.identity;
    this.pairing = new Pairing({
      name: options.name,
      heartbeatSeconds: options.heartbeatSeconds,
      pool: this.pool,
      nowMs: () => performance.now(),
      onJoined: ({ peer, remote }) => {
        options.events.add({ event: "joined", role: peer.role, name: peer.name, remote });
      },
      onChannelClosed: ({ client, device }, reason) => {
        options.events.add({
          event: "channelClosed",
          role: "client",
          name: client.link.peer.name,
          remote: client.link.remote,
          device: device.link.peer.name,
          reason: reasonNames.get(reason) ?? reason,
          bytes: client.sentBytes + device.sentBytes,
        });
      },
      onLineClosed: ({ client, device, bytesToDevice, bytesToClient }) => {
        options.events.add({
          event: "lineClosed",
          role: "client",
          name: client.peer.name,
          remote: client.remote,
          device: device.peer.name,
          bytes: bytesToDevice + bytesToClient,
        });
      },
    });
    this.#tls = createTlsServer({
      ...contextOf(options.identity),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
    });
    this.#sessions.attach(this.#tls);
    this.#server = createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      highWaterMark: LINE_QUEUE_BYTES,
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("connection", (socket: Socket) => {
      this.#began(socket);
    });
    this.#server.on("drop", (dropped?: DropArgument) => {
      this.#count(
        "tooManyConnections",
        `${dropped?.remoteAddress ?? "?"}:${String(dropped?.remotePort ?? 0)}`,
      );
    });
    this.#tls.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      // Set when the handshake was fine but the certificate was not. Typed as Error, but Node gives the code.
      const { authorizationError, _parent } = socket as { authorizationError?: unknown; _parent?: Socket };
      const reason = typeof authorizationError === "string" ? authorizationError : error.code;
      // A TLS socket that is gone no longer knows its address; the TCP socket under it does.
      this.#count(reason ?? "handshakeFailed", remoteOf(_parent ?? socket));
      // Node leaves the connection open after a handshake that took too long.
      socket.destroy();
    });
    this.#tls.on("secureConnection", (socket) => {
      this.#secured(socket);
    });
    this.#ticking = setInterval(() => {
      this.#tick();
    }, TICK_MS);
  }

  /** Rejects when the address cannot be listened on. */
  async listen(address: { host: string; port: number }): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(address, () => {
        this.#server.off("error", reject);
        resolve();
      });
    });
    // Running out of file descriptors and the like: connections are lost, the relay is not.
    this.#server.on("error", (error: Error) => {
      this.#options.events.add({ event: "internalError", reason: error.message });
    });
    return this.#server.address() as AddressInfo;
  }

  get fingerprint(): Uint8Array {
    return this.#identity.fingerprint;
  }

  /** From now on this identity and trust; who would not be let in any more has to leave. */
  replaceIdentity(identity: RelayIdentity): void {
    this.#tls.setSecureContext(contextOf(identity));
    this.#sessions.clear();
    this.#identity = identity;
    this.#expel();
  }

  /** Takes no more connections or channels, lets open channels finish for a while, and resolves when all is closed. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    const spreadMs = RETRY_MS + RETRY_MS_PER_LINK * this.pairing.links.size;
    this.pairing.stop(() => RETRY_MS + Math.floor(Math.random() * spreadMs));
    const draining = setTimeout(() => {
      this.pairing.stopNow();
    }, DRAIN_MS);
    for (const socket of [...this.#handshakes.values()]) socket.destroy();
    const cutting = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, DRAIN_MS + GOODBYE_MS);
    await closed;
    clearTimeout(draining);
    clearTimeout(cutting);
    clearInterval(this.#ticking);
  }

  #began(socket: Socket): void {
    const remote = remoteOf(socket);
    if (this.#handshakes.size >= MAX_HANDSHAKES) {
      this.#count("tooManyHandshakes", remote);
      socket.destroy();
      return;
    }
    this.#handshakes.set(remote, socket);
    socket.once("close", () => {
      this.#handshakes.delete(remote);
    });
    readDoor(socket, {
      timeoutMs: this.#options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
      onTls: () => {
        this.#tls.emit("connection", socket);
      },
      onTicket: (ticket) => {
        this.#handshakes.delete(remote);
        if (this.pairing.lines.join(socket, ticket)) return;
        this.#count("unknownTicket", remote);
        socket.destroy();
      },
      onNothing: (reason) => {
        this.#count(reason, remote);
        socket.destroy();
      },
    });
  }

  #secured(socket: TLSSocket): void {
    this.#handshakes.delete(remoteOf(socket));
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    this.handshakes[socket.isSessionReused() ? "resumed" : "full"]++;
    try {
      const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
      const peer = authenticate(certificate, this.#identity.trust, Date.now());
      this.pairing.links.add(this.#link(socket, peer));
    } catch (error) {
      this.#count(error instanceof Refused ? error.reason : "internalError", remoteOf(socket));
      refuse(socket);
    }
  }

  #link(socket: TLSSocket, peer: ReturnType<typeof authenticate>): Link {
    return new Link({
      socket,
      peer,
      pool: this.pool,
      frames: this.#frames,
      heartbeatMs: this.#options.heartbeatSeconds * 1000,
      nowMs: () => performance.now(),
      onFrame: (link, header, bytes, at, end) => {
        this.pairing.receive(link, header, bytes, at, end);
      },
      onEnd: (link, reason, error) => {
        this.pairing.remove(link);
        const { role, name } = link.peer;
        const who = { role, name, remote: link.remote };
        this.#options.events.add({ event: "left", ...who, reason, bytes: link.receivedBytes });
        if (error !== undefined)
          this.#options.events.add({ event: "internalError", ...who, reason: describe(error) });
      },
    });
  }

  #tick(): void {
    const nowMs = performance.now();
    const lateMs = nowMs - this.#tickedAtMs - TICK_MS;
    this.#tickedAtMs = nowMs;
    if (lateMs > TICK_MS * 2) for (const link of this.pairing.links) link.excuseSilence(nowMs);
    this.pairing.tick(nowMs);
    this.#expel();
  }

  #expel(): void {
    const nowMs = Date.now();
    for (const link of [...this.pairing.links]) {
      const reason = refusalNow(link.peer, this.#identity.trust, nowMs);
      if (reason === undefined) continue;
      this.#count(reason, link.remote, link.peer);
      link.end(reason, CloseReason.authentication);
    }
  }

  #count(reason: string, remote: string, peer?: { role: string; name: string }): void {
    this.refusals.set(reason, (this.refusals.get(reason) ?? 0) + 1);
    const who = peer ? { role: peer.role, name: peer.name } : {};
    this.#options.events.addRefusal({ ...who, remote, reason });
  }
}

const reasonNames = new Map<number, string>(Object.entries(CloseReason).map(([name, code]) => [code, name]));

/** Tells the owner of a certificate that the relay does not serve it, and hangs up. */
function refuse(socket: TLSSocket): void {
  const timer = setTimeout(() => {
    socket.destroy();
  }, GOODBYE_MS);
  socket.on("error", () => undefined);
  socket.once("close", () => {
    clearTimeout(timer);
  });
  socket.resume();
  const payload = encode(goAway, { reason: CloseReason.authentication, retryMs: 60_000 });
  socket.end(encodeFrame(FrameType.goAway, 0, payload));
}

function remoteOf(socket: Socket): string {
  return `${socket.remoteAddress ?? "?"}:${String(socket.remotePort ?? 0)}`;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
