// SPDX-License-Identifier: MIT
/**
 * A client's link to the relay: mutual TLS, hello and welcome, heartbeats, channels. SPEC.md "Link".
 *
 * Every wait has an end: connecting, each answer of the relay, and silence (2.5 heartbeats). What is queued here is
 * bounded: bulk is taken from its owner only when the socket has room, and everything else is a few bytes for each
 * channel. The relay is trusted for nothing; a frame that no honest relay sends ends the link.
 */

import type { TLSSocket } from "node:tls";
import { DataError } from "../../firmware/protocol/data-error";
import { FRAME_HEADER_BYTES, FrameType, encodeFrame } from "../../firmware/protocol/frame";
import {
  MAX_CHANNELS,
  MAX_FRAME_BYTES,
  MAX_WINDOW_BYTES,
  MIN_MAX_FRAME_BYTES,
  WIRE_VERSION,
} from "../../firmware/protocol/limits";
import * as messages from "../../firmware/protocol/link-messages";
import type { ListedDevice, Welcome } from "../../firmware/protocol/link-messages";
import { decode, encode } from "../../firmware/protocol/message";
import { Refusal } from "../refusal";
import { Channel } from "./channel";
import type { ChannelLink, ChannelUser } from "./channel";
import { closeRefusal, interrupted } from "./device-failure";
import { FrameReader } from "./frame-reader";
import {
  connectTls,
  formatRelay,
  relayNameOf,
  requireClientIdentity,
  sessionKey,
  tlsRefusal,
} from "./relay-tls";
import type { ClientIdentity, RelayAddress, ResumableSession, TlsSessionCache } from "./relay-tls";
import type { TrafficStats } from "./traffic-stats";
import { newTrafficStats } from "./traffic-stats";

export interface RelayConnectionOptions {
  relay: RelayAddress;
  identity: ClientIdentity;
  signal?: AbortSignal | undefined;
  /** The longest silence before a ping; the relay may ask for a shorter one. */
  heartbeat?: { maxMs: number } | undefined;
  /** How long connecting and each answer of the relay may take. */
  timeoutMs?: number | undefined;
  /** Granted to each channel. */
  windowBytes?: number | undefined;
  sessions?: TlsSessionCache | undefined;
  stats?: TrafficStats | undefined;
}

const DEFAULT_TIMEOUT_MS = 20_000;
const DEFAULT_WINDOW_BYTES = 1024 * 1024;
/** So much is handed to the socket before it reports that some has left; a batch is what is encrypted at once. */
const SOCKET_BYTES = 512 * 1024;
const BATCH_BYTES = 128 * 1024;
/** Pongs, credit and the like that a relay makes us send without reading them. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
const MAX_LISTED_PAGES = 1024;
const MAX_CLOSING = 512;
/** Written behind a batch to hear when it has left. */
const NOTHING = Buffer.alloc(0);
const SOFTWARE = "coffer client 0.1.0";

interface Opening {
  resolve(channel: Channel): void;
  reject(why: Refusal): void;
  timer: NodeJS.Timeout;
}

export class RelayConnection implements ChannelLink {
  readonly stats: TrafficStats;
  /** Called once when the link has ended; the channels have been told. */
  onClosed: (why: Refusal) => void = () => undefined;
  /** The relay stops soon: no new channels here; connect again after `retryMs`. */
  onGoAway: (retryMs: number) => void = () => undefined;
  readonly #options: RelayConnectionOptions;
  readonly #timeoutMs: number;
  readonly #windowBytes: number;
  readonly #socket: TLSSocket;
  readonly #resumed: ResumableSession | undefined;
  readonly #reader: FrameReader;
  readonly #channels = new Map<number, Channel>();
  readonly #openings = new Map<number, Opening>();
  /** Ids whose close we have sent and the relay has not answered, oldest first: what still comes for them crossed it. */
  readonly #closing = new Set<number>();
  readonly #ready = new Set<Channel>();
  #listings: {
    resolve(page: { more: number; devices: ListedDevice[] }): void;
    reject(why: Refusal): void;
  }[] = [];
  #onWelcome: (welcome: Welcome) => void = () => undefined;
  #onFailed: (why: Refusal) => void = () => undefined;
  #welcome: Welcome | undefined;
  #relayName = "";
  #nextId = 1;
  #socketBytes = 0;
  #isPumpDue = false;
  #isClosed = false;
  #isGoingAway = false;
  #isSecured = false;
  #heardAtMs = performance.now();
  #pingedAtMs = 0;
  #heartbeat: NodeJS.Timeout | undefined;
  #whyClosed: Refusal | undefined;

  private constructor(options: RelayConnectionOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#windowBytes = options.windowBytes ?? DEFAULT_WINDOW_BYTES;
    this.stats = options.stats ?? newTrafficStats();
    this.#reader = new FrameReader({ handler: this.#frames, maxPayloadBytes: MAX_FRAME_BYTES });
    this.#resumed = options.sessions?.get(sessionKey(options.relay, options.identity));
    this.#socket = connectTls({
      relay: options.relay,
      identity: options.identity,
      session: this.#resumed?.session,
    });
  }

  /** Connects, proves both sides' certificates, and waits for the relay's welcome. Rejects with a Refusal. */
  static async connect(options: RelayConnectionOptions): Promise<RelayConnection> {
    requireClientIdentity(options.identity);
    if (options.signal?.aborted === true) throw interrupted();
    let connection: RelayConnection;
    try {
      connection = new RelayConnection(options);
    } catch (error) {
      throw new Refusal("damagedState", "this computer's certificate, key or authority cannot be used", {
        hint: "Check the files of the state folder with `coffer cert list`, or make the certificate anew.",
        cause: error,
      });
    }
    await connection.#start();
    return connection;
  }

  get relayName(): string {
    return this.#relayName;
  }

  get isOpen(): boolean {
    return !this.#isClosed && !this.#isGoingAway;
  }

  /** Unix time of the relay's clock when it welcomed us: a hint. */
  get relayUnixMs(): number {
    return this.#welcome?.unixMs ?? 0;
  }

  /** Devices connected to the relay now, in order of their names. What the relay says, unproven. */
  async listDevices(): Promise<ListedDevice[]> {
    const found: ListedDevice[] = [];
    for (let page = 0; page < MAX_LISTED_PAGES; page++) {
      const after = found.at(-1)?.name ?? "";
      const { more, devices } = await this.#listPage(after);
      for (const device of devices) {
        if (device.name <= (found.at(-1)?.name ?? "")) throw this.#violated("devices out of order");
        found.push(device);
      }
      if (more === 0 || devices.length === 0) break;
    }
    return found;
  }

  /** A channel to a device; resolves when the device has accepted it, rejects with a Refusal. */
  openChannel(device: string, user: ChannelUser): Promise<Channel> {
    if (this.#isClosed) return Promise.reject(this.#whyClosed ?? this.#lost());
    const id = this.#freeId();
    const channel = new Channel({ id, peer: device, user, link: this, windowBytes: this.#windowBytes });
    const open = { peer: device, creditBytes: this.#windowBytes, maxFrameBytes: MAX_FRAME_BYTES };
    this.stats.roundTrips++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#openings.delete(id);
        this.closeChannel(channel, messages.CloseReason.timeout);
        reject(
          new Refusal("deviceOffline", `${device} does not answer`, { hint: "Check that the device runs." }),
        );
      }, this.#timeoutMs);
      this.#channels.set(id, channel);
      this.#openings.set(id, { resolve, reject, timer });
      this.#send(FrameType.open, id, encode(messages.open, open));
    });
  }

  /** Ends the link after what is queued has left, or after a second. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#end(interrupted("the connection was closed"), true);
    if (this.#socket.closed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.#socket.destroy();
      }, 1000);
      this.#socket.once("close", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  // ---------------------------------------------------------------- for channels

  writeData(pieces: readonly Uint8Array[], bytes: number): void {
    for (const piece of pieces) this.#socket.write(piece);
    this.#socketBytes += bytes;
    this.stats.bytesSent += bytes;
  }

  sendCredit(channel: number, bytes: number): void {
    this.#send(FrameType.credit, channel, encode(messages.credit, { bytes }));
  }

  /** After the events at hand: what was asked for together leaves together. */
  schedule(channel: Channel): void {
    this.#ready.add(channel);
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  closeChannel(channel: Channel, reason: number): void {
    if (this.#channels.get(channel.id) !== channel) return;
    this.#channels.delete(channel.id);
    this.#ready.delete(channel);
    this.#rememberClosing(channel.id);
    this.#send(FrameType.close, channel.id, encode(messages.close, { reason }));
  }

  #rememberClosing(id: number): void {
    this.#closing.add(id);
    const oldest = this.#closing.keys().next();
    if (this.#closing.size > MAX_CLOSING && !oldest.done) this.#closing.delete(oldest.value);
  }

  // ---------------------------------------------------------------- sending

  #send(type: number, channel: number, payload: Uint8Array): void {
    if (this.#isClosed) return;
    this.#socket.write(encodeFrame(type, channel, payload));
    this.stats.bytesSent += FRAME_HEADER_BYTES + payload.length;
    if (this.#socket.writableLength > MAX_UNREAD_BYTES) {
      this.#end(
        new Refusal("connectionLost", `${this.#where} does not read what is sent to it`, {
          hint: "Check the network, and look into the relay's log.",
        }),
      );
    }
  }

  /** Fills the socket from the channels that have something, a little from each in turn. */
  #pump(): void {
    while (!this.#isClosed && this.#ready.size > 0 && this.#socketBytes < SOCKET_BYTES) {
      const before = this.#socketBytes;
      this.#socket.cork();
      for (const channel of this.#ready) {
        if (this.#socketBytes - before >= BATCH_BYTES) break;
        // To the end of the line, or out of it: a Set keeps the order in which was added.
        this.#ready.delete(channel);
        if (channel.user.onWritable()) this.#ready.add(channel);
      }
      const batch = this.#socketBytes - before;
      if (batch > 0) {
        this.#socket.write(NOTHING, () => {
          this.#socketBytes -= batch;
          this.#pump();
        });
      }
      this.#socket.uncork();
      if (batch === 0) return;
    }
  }

  // ---------------------------------------------------------------- beginning and end

  async #start(): Promise<void> {
    const socket = this.#socket;
    const { signal, sessions, relay, identity } = this.#options;
    const isAborted = (): void => {
      this.#end(interrupted());
    };
    signal?.addEventListener("abort", isAborted, { once: true });
    socket.on("error", (error) => {
      sessions?.delete(sessionKey(relay, identity));
      this.#end(tlsRefusal(error, relay, this.#stage));
    });
    socket.on("close", () => {
      signal?.removeEventListener("abort", isAborted);
      this.#end(tlsRefusal(new Error("it ends the connection"), relay, this.#stage));
    });
    socket.on("session", (session: Buffer) => {
      // Tickets of TLS 1.3 come after the handshake, when the name is known; an earlier one is of no use.
      if (this.#relayName !== "")
        sessions?.set(sessionKey(relay, identity), { session, relayName: this.#relayName });
    });
    socket.on("data", (bytes: Buffer) => {
      this.#receive(bytes);
    });
    socket.on("secureConnect", () => {
      try {
        this.#relayName = relayNameOf(socket, this.#resumed);
      } catch (error) {
        this.#end(tlsRefusal(error as Error, relay, this.#stage));
        return;
      }
      this.#isSecured = true;
      this.#send(
        FrameType.hello,
        0,
        encode(messages.hello, {
          minVersion: WIRE_VERSION,
          maxVersion: WIRE_VERSION,
          maxFrameBytes: MAX_FRAME_BYTES,
          maxChannels: MAX_CHANNELS,
          software: SOFTWARE,
        }),
      );
    });
    const timer = setTimeout(() => {
      this.#end(
        new Refusal("relayUnreachable", `${this.#where} does not answer`, {
          hint: "Check that the relay runs, its address, and the network between.",
        }),
      );
    }, this.#timeoutMs);
    this.stats.connections++;
    this.stats.roundTrips++;
    try {
      const welcome = await new Promise<Welcome>((resolve, reject) => {
        this.#onWelcome = resolve;
        this.#onFailed = reject;
      });
      this.#startHeartbeat(welcome);
    } finally {
      clearTimeout(timer);
    }
  }

  #startHeartbeat(welcome: Welcome): void {
    const asked = Math.max(1, welcome.heartbeatSeconds) * 1000;
    const silenceMs = Math.min(asked, this.#options.heartbeat?.maxMs ?? 60_000);
    const check = (): void => {
      const nowMs = performance.now();
      const silentMs = nowMs - this.#heardAtMs;
      if (silentMs > 2.5 * silenceMs) {
        this.#end(
          new Refusal("connectionLost", `${this.#where} has fallen silent`, {
            hint: "Run the same command again; it continues where it stopped.",
          }),
        );
      } else if (silentMs >= silenceMs && nowMs - this.#pingedAtMs >= silenceMs) {
        this.#pingedAtMs = nowMs;
        this.#send(FrameType.ping, 0, encode(messages.heartbeat, { token: new Uint8Array(8) }));
      }
    };
    this.#heartbeat = setInterval(check, Math.max(10, silenceMs / 4)).unref();
  }

  /** Ends everything once; channels and waiters are told why. */
  #end(why: Refusal, isGraceful = false): void {
    if (this.#isClosed) return;
    if (isGraceful) {
      for (const channel of [...this.#channels.values()])
        this.closeChannel(channel, messages.CloseReason.done);
    }
    const wasWelcomed = this.#welcome !== undefined;
    const left = isGraceful ? [] : [...this.#channels.values()];
    this.#isClosed = true;
    this.#whyClosed = why;
    this.#reader.stop();
    clearInterval(this.#heartbeat);
    if (isGraceful) this.#socket.end();
    else this.#socket.destroy();
    for (const [id, opening] of this.#openings) {
      clearTimeout(opening.timer);
      this.#channels.delete(id);
      opening.reject(why);
    }
    const opening = new Set(this.#openings.keys());
    this.#openings.clear();
    this.#channels.clear();
    this.#ready.clear();
    for (const listing of this.#listings) listing.reject(why);
    this.#listings = [];
    this.#onFailed(why);
    queueMicrotask(() => {
      for (const channel of left) if (!opening.has(channel.id)) channel.user.onClosed(why);
      if (wasWelcomed) this.onClosed(why);
    });
  }

  // ---------------------------------------------------------------- receiving

  #receive(bytes: Buffer): void {
    if (this.#isClosed) return;
    this.#heardAtMs = performance.now();
    this.stats.bytesReceived += bytes.length;
    try {
      this.#reader.push(bytes);
    } catch (error) {
      if (error instanceof Refusal) this.#end(error);
      else if (error instanceof DataError) this.#end(this.#violated(error.message, error));
      else throw error;
    }
  }

  readonly #frames = {
    onFrame: (type: number, channel: number, payload: Uint8Array): void => {
      this.#onFrame(type, channel, payload);
    },
    onDataHeader: (id: number, payloadBytes: number): void => {
      const channel = this.#channels.get(id);
      if (channel && !this.#openings.has(id))
        this.#guard(channel, () => {
          channel.takeHeader(payloadBytes);
        });
      else if (!this.#closing.has(id))
        throw new DataError("type", `data on channel ${String(id)}, which is not open`);
    },
    onData: (id: number, piece: Uint8Array, at: number, payloadBytes: number): void => {
      const channel = this.#channels.get(id);
      if (!channel) return;
      this.#guard(channel, () => {
        channel.user.onData(piece, at, payloadBytes);
        // Not when the user has closed the channel over this very frame: nothing follows a close.
        const isOpen = this.#channels.get(id) === channel;
        if (isOpen && at + piece.length === payloadBytes) channel.giveBack(FRAME_HEADER_BYTES + payloadBytes);
      });
    },
  };

  /** What is wrong inside one channel ends that channel and not the link. */
  #guard(channel: Channel, action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      this.closeChannel(channel, messages.CloseReason.protocol);
      const why = this.#violated(error.message, error);
      queueMicrotask(() => {
        channel.user.onClosed(why);
      });
    }
  }

  #onFrame(type: number, id: number, payload: Uint8Array): void {
    if (!this.#welcome && type !== FrameType.welcome && type !== FrameType.goAway) {
      throw new DataError("type", `frame ${String(type)} before the welcome`);
    }
    switch (type) {
      case FrameType.welcome:
        this.#takeWelcome(decode(messages.welcome, payload));
        return;
      case FrameType.ping:
        this.#send(FrameType.pong, 0, encode(messages.heartbeat, decode(messages.heartbeat, payload)));
        return;
      case FrameType.pong:
        decode(messages.heartbeat, payload);
        return;
      case FrameType.goAway:
        this.#takeGoAway(decode(messages.goAway, payload));
        return;
      case FrameType.devices: {
        const page = decode(messages.devices, payload);
        const listing = this.#listings.shift();
        if (!listing) throw new DataError("type", "devices that nobody asked for");
        listing.resolve(page);
        return;
      }
      case FrameType.accept:
        this.#takeAccept(id, decode(messages.accept, payload));
        return;
      case FrameType.close:
        this.#takeClose(id, decode(messages.close, payload).reason);
        return;
      case FrameType.credit: {
        const { bytes } = decode(messages.credit, payload);
        const channel = this.#channels.get(id);
        if (channel)
          this.#guard(channel, () => {
            channel.addCredit(bytes);
          });
        return;
      }
      default:
        throw new DataError("type", `frame of unknown type ${String(type)}`);
    }
  }

  #takeWelcome(welcome: Welcome): void {
    if (this.#welcome) throw new DataError("type", "a second welcome");
    if (welcome.version !== WIRE_VERSION) {
      throw new Refusal(
        "protocolVersion",
        `${this.#where} speaks version ${String(welcome.version)} of the protocol`,
        {
          hint: "Update the older of the two, this program or the relay.",
        },
      );
    }
    requireFrameLimit(welcome.maxFrameBytes);
    if (welcome.relay !== this.#relayName) {
      throw new DataError(
        "text",
        `the relay calls itself ${welcome.relay}, its certificate ${this.#relayName}`,
      );
    }
    this.#welcome = welcome;
    this.#onWelcome(welcome);
  }

  #takeGoAway({ reason, retryMs }: messages.GoAway): void {
    const { CloseReason } = messages;
    if (!this.#welcome || reason === CloseReason.authentication || reason === CloseReason.protocol) {
      throw goAwayRefusal(reason, this.#where);
    }
    this.#isGoingAway = true;
    this.onGoAway(Math.min(retryMs, 60_000));
  }

  #takeAccept(id: number, accept: messages.Accept): void {
    const opening = this.#openings.get(id);
    const channel = this.#channels.get(id);
    if (!opening || !channel) {
      if (this.#closing.has(id)) return;
      throw new DataError("type", `accept of channel ${String(id)}, which was not being opened`);
    }
    requireFrameLimit(accept.maxFrameBytes);
    if (accept.creditBytes > MAX_WINDOW_BYTES) throw new DataError("range", "credit above the limit");
    this.#openings.delete(id);
    clearTimeout(opening.timer);
    channel.maxPayloadBytes = Math.min(
      accept.maxFrameBytes,
      this.#welcome?.maxFrameBytes ?? MIN_MAX_FRAME_BYTES,
    );
    channel.creditBytes = accept.creditBytes;
    channel.initialCreditBytes = accept.creditBytes;
    opening.resolve(channel);
  }

  #takeClose(id: number, reason: number): void {
    if (this.#closing.delete(id)) return;
    const channel = this.#channels.get(id);
    if (!channel) throw new DataError("type", `close of channel ${String(id)}, which is not open`);
    this.#channels.delete(id);
    this.#ready.delete(channel);
    const opening = this.#openings.get(id);
    if (opening) {
      // A refusal: there was no channel, and nothing to answer.
      this.#openings.delete(id);
      clearTimeout(opening.timer);
      opening.reject(closeRefusal(reason, channel.peer, true));
    } else {
      this.#send(FrameType.close, id, encode(messages.close, { reason: messages.CloseReason.done }));
      queueMicrotask(() => {
        channel.user.onClosed(closeRefusal(reason, channel.peer, false));
      });
    }
  }

  // ---------------------------------------------------------------- small things

  #listPage(after: string): Promise<{ more: number; devices: ListedDevice[] }> {
    if (this.#isClosed) return Promise.reject(this.#whyClosed ?? this.#lost());
    this.stats.roundTrips++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#end(this.#lost());
      }, this.#timeoutMs);
      this.#listings.push({
        resolve: (page) => {
          clearTimeout(timer);
          resolve(page);
        },
        reject: (why) => {
          clearTimeout(timer);
          reject(why);
        },
      });
      this.#send(FrameType.listDevices, 0, encode(messages.listDevices, { after }));
    });
  }

  #freeId(): number {
    if (this.#channels.size >= MAX_CHANNELS) throw new RangeError("channels: too many open at once");
    while (this.#channels.has(this.#nextId) || this.#closing.has(this.#nextId))
      this.#nextId = (this.#nextId % 0xffff) + 1;
    const id = this.#nextId;
    this.#nextId = (id % 0xffff) + 1;
    return id;
  }

  get #stage(): "connecting" | "secured" | "welcomed" {
    if (this.#welcome) return "welcomed";
    return this.#isSecured ? "secured" : "connecting";
  }

  get #where(): string {
    return `relay ${formatRelay(this.#options.relay)}`;
  }

  #lost(): Refusal {
    return new Refusal("connectionLost", `the connection to ${this.#where} broke`, {
      hint: "Run the same command again; it continues where it stopped.",
    });
  }

  #violated(what: string, cause?: unknown): Refusal {
    return new Refusal(
      "protocolViolation",
      `what comes through ${this.#where} is not what was sent: ${what}`,
      {
        hint: "Nothing was believed. The relay or the device is broken, outdated or hostile: check both.",
        ...(cause === undefined ? {} : { cause }),
      },
    );
  }
}

function requireFrameLimit(bytes: number): void {
  if (bytes < MIN_MAX_FRAME_BYTES || bytes > MAX_FRAME_BYTES) {
    throw new DataError("range", `largest frame of ${String(bytes)} bytes`);
  }
}

function goAwayRefusal(reason: number, where: string): Refusal {
  const { CloseReason } = messages;
  if (reason === CloseReason.authentication) {
    return new Refusal("certificateRevoked", `${where} refuses this computer's certificate`, {
      hint: "It was revoked, has expired, or another authority signed it: see `coffer cert list` and the relay's log.",
    });
  }
  if (reason === CloseReason.busy) {
    return new Refusal("relayUnreachable", `${where} serves as many connections as it can`, {
      hint: "Try again later.",
    });
  }
  if (reason === CloseReason.protocol) {
    return new Refusal("protocolViolation", `${where} does not understand this program`, {
      hint: "Update the older of the two.",
    });
  }
  return new Refusal("relayUnreachable", `${where} is going away`, { hint: "Try again when it is back." });
}
