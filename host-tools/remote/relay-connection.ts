// SPDX-License-Identifier: MIT
/**
 * A client's link to the relay: mutual TLS, hello and welcome, heartbeats, channels. SPEC.md "Link".
 *
 * Every wait has an end: connecting, each answer of the relay, and silence (2.5 heartbeats). What is queued is bounded:
 * bulk is taken from its owner only when the socket has room, and everything else is a few bytes for each channel.
 * The relay is trusted for nothing; a frame that no honest relay sends ends the link.
 */

import type { TLSSocket } from "node:tls";
import { DataError } from "../../firmware/protocol/data-error";
import { FrameType } from "../../firmware/protocol/frame";
import { MAX_CHANNELS, MAX_FRAME_BYTES, WIRE_VERSION } from "../../firmware/protocol/limits";
import * as messages from "../../firmware/protocol/link-messages";
import type { LineAnswer, ListedDevice, Welcome } from "../../firmware/protocol/link-messages";
import { decode, encode } from "../../firmware/protocol/message";
import { Refusal } from "../refusal";
import { AnswerQueue } from "./answer-queue";
import type { Channel, ChannelUser } from "./channel";
import { ChannelTable, requireFrameLimit } from "./channel-table";
import { closeRefusal, interrupted } from "./device-failure";
import { DeviceListing } from "./device-listing";
import { FrameReader } from "./frame-reader";
import { Heartbeat } from "./heartbeat";
import { LinkWriter } from "./link-writer";
import { goAwayRefusal, lost, noAnswer, otherVersion, violated } from "./relay-refusal";
import { connectTls, relayNameOf, requireClientIdentity, sessionKey } from "./relay-tls";
import type { ClientIdentity, RelayAddress, ResumableSession, TlsSessionCache } from "./relay-tls";
import { closed } from "./socket-end";
import { tlsRefusal } from "./tls-refusal";
import type { Stage } from "./tls-refusal";
import { newTrafficStats } from "./traffic-stats";
import type { TrafficStats } from "./traffic-stats";

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
const MAX_SILENCE_MS = 60_000;
/** The longest a relay may send a client away. */
const MAX_RETRY_MS = 60_000;
const SOFTWARE = "coffer client 0.1.0";

export class RelayConnection {
  readonly stats: TrafficStats;
  /** Called once when the link has ended; the channels have been told. */
  onClosed: (why: Refusal) => void = () => undefined;
  /** The relay stops soon: no new channels here; connect again after `retryMs`. */
  onGoAway: (retryMs: number) => void = () => undefined;
  readonly #options: RelayConnectionOptions;
  readonly #socket: TLSSocket;
  readonly #resumed: ResumableSession | undefined;
  readonly #writer: LinkWriter;
  readonly #reader: FrameReader;
  readonly #channels: ChannelTable;
  readonly #listing: DeviceListing;
  readonly #lines: AnswerQueue<LineAnswer>;
  #heartbeat: Heartbeat | undefined;
  #stage: Stage = "connecting";
  #onWelcome: (welcome: Welcome) => void = () => undefined;
  #onFailed: (why: Refusal) => void = () => undefined;
  #relayName = "";
  #relayUnixMs = 0;
  #isGoingAway = false;
  /** Set when it is closed. */
  #whyClosed: Refusal | undefined;

  private constructor(options: RelayConnectionOptions) {
    const { relay, identity, timeoutMs = DEFAULT_TIMEOUT_MS, windowBytes = DEFAULT_WINDOW_BYTES } = options;
    this.#options = options;
    this.stats = options.stats ?? newTrafficStats();
    this.#resumed = options.sessions?.get(sessionKey(relay, identity));
    this.#socket = connectTls({
      relay,
      identity,
      session: this.#resumed?.session,
      onData: (bytes) => {
        this.#receive(bytes);
      },
    });
    this.#writer = new LinkWriter({
      socket: this.#socket,
      stats: this.stats,
      onFlooded: () => {
        this.#end(lost(relay, "does not read what is sent to it"));
      },
    });
    const channels = new ChannelTable({
      writer: this.#writer,
      windowBytes,
      timeoutMs,
      violated: (error) => violated(relay, error.message, error),
    });
    this.#channels = channels;
    const onTimeout = (): void => {
      this.#end(lost(relay, "has stopped answering"));
    };
    this.#listing = new DeviceListing({
      ask: (after) => {
        this.stats.roundTrips++;
        this.#writer.send(FrameType.listDevices, 0, encode(messages.listDevices, { after }));
      },
      timeoutMs,
      onTimeout,
    });
    this.#lines = new AnswerQueue({ timeoutMs, onTimeout });
    this.#reader = new FrameReader({
      maxPayloadBytes: MAX_FRAME_BYTES,
      handler: {
        onFrame: (type, channel, payload) => {
          this.#takeFrame(type, channel, payload);
        },
        onDataHeader: (id, payloadBytes) => {
          channels.takeDataHeader(id, payloadBytes);
        },
        onData: (id, piece, at, payloadBytes) => {
          channels.takeData(id, piece, at, payloadBytes);
        },
      },
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

  /** Whether new channels can be opened. */
  get isOpen(): boolean {
    return !this.#whyClosed && !this.#isGoingAway;
  }

  /** Unix time of the relay's clock when it welcomed us: a hint. */
  get relayUnixMs(): number {
    return this.#relayUnixMs;
  }

  /** Devices connected to the relay now, in order of their names. What the relay says, unproven. */
  async listDevices(): Promise<ListedDevice[]> {
    if (this.#whyClosed) throw this.#whyClosed;
    try {
      return await this.#listing.all();
    } catch (error) {
      throw error instanceof DataError ? violated(this.#options.relay, error.message, error) : error;
    }
  }

  /** Tickets for a line to a device. Rejects with a Refusal when the relay gives none. */
  async askLine(device: string): Promise<LineAnswer> {
    if (this.#whyClosed) throw this.#whyClosed;
    this.stats.roundTrips++;
    this.#writer.send(FrameType.askLine, 0, encode(messages.askLine, { peer: device }));
    const answer = await this.#lines.next();
    if (answer.reason !== messages.CloseReason.done) throw closeRefusal(answer.reason, device, true);
    return answer;
  }

  /** A channel to a device; resolves when the device has accepted it, rejects with a Refusal. */
  openChannel(device: string, user: ChannelUser): Promise<Channel> {
    if (this.#whyClosed) return Promise.reject(this.#whyClosed);
    this.stats.roundTrips++;
    return this.#channels.open(device, user);
  }

  /** Ends the link after what is queued has left, or after a second. */
  async close(): Promise<void> {
    this.#end(interrupted("the connection was closed"), true);
    await closed(this.#socket);
  }

  // ---------------------------------------------------------------- beginning and end

  async #start(): Promise<void> {
    const { relay, timeoutMs = DEFAULT_TIMEOUT_MS, heartbeat } = this.#options;
    const timer = setTimeout(() => {
      this.#end(noAnswer(relay));
    }, timeoutMs);
    this.stats.connections++;
    this.stats.roundTrips++;
    try {
      const { heartbeatSeconds, unixMs } = await new Promise<Welcome>((resolve, reject) => {
        this.#onWelcome = resolve;
        this.#onFailed = reject;
        this.#listen();
      });
      this.#relayUnixMs = unixMs;
      this.#heartbeat = new Heartbeat({
        silenceMs: Math.min(Math.max(1, heartbeatSeconds) * 1000, heartbeat?.maxMs ?? MAX_SILENCE_MS),
        ping: () => {
          this.#writer.send(FrameType.ping, 0, encode(messages.heartbeat, { token: new Uint8Array(8) }));
        },
        onDead: () => {
          this.#end(lost(relay, "has fallen silent"));
        },
      });
      if (this.#whyClosed) this.#heartbeat.stop();
    } finally {
      clearTimeout(timer);
    }
  }

  #listen(): void {
    const socket = this.#socket;
    const { signal, sessions, relay, identity } = this.#options;
    const onAbort = (): void => {
      this.#end(interrupted());
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.on("error", (error: Error) => {
      sessions?.delete(sessionKey(relay, identity));
      this.#end(tlsRefusal(error, relay, this.#stage));
    });
    socket.on("close", () => {
      signal?.removeEventListener("abort", onAbort);
      this.#end(tlsRefusal(new Error("it ends the connection"), relay, this.#stage));
    });
    socket.on("session", (session: Buffer) => {
      // Tickets of TLS 1.3 come after the handshake, when the name is known; an earlier one is of no use.
      const relayName = this.#relayName;
      if (relayName !== "") sessions?.set(sessionKey(relay, identity), { session, relayName });
    });
    socket.on("secureConnect", () => {
      this.#onSecured();
    });
  }

  #onSecured(): void {
    try {
      this.#relayName = relayNameOf(this.#socket, this.#resumed);
    } catch (error) {
      this.#end(tlsRefusal(error as Error, this.#options.relay, this.#stage));
      return;
    }
    this.#stage = "secured";
    const hello = {
      minVersion: WIRE_VERSION,
      maxVersion: WIRE_VERSION,
      maxFrameBytes: MAX_FRAME_BYTES,
      maxChannels: MAX_CHANNELS,
      software: SOFTWARE,
    };
    this.#writer.send(FrameType.hello, 0, encode(messages.hello, hello));
  }

  /** Ends everything once; channels and waiters are told why. */
  #end(why: Refusal, isGraceful = false): void {
    if (this.#whyClosed) return;
    this.#whyClosed = why;
    this.#reader.stop();
    this.#heartbeat?.stop();
    this.#channels.closeAll(why, isGraceful);
    this.#listing.close(why);
    this.#lines.close(why);
    this.#writer.close();
    if (isGraceful) this.#socket.end();
    else this.#socket.destroy();
    this.#onFailed(why);
    queueMicrotask(() => {
      if (this.#stage === "welcomed") this.onClosed(why);
    });
  }

  // ---------------------------------------------------------------- receiving

  #receive(bytes: Uint8Array): void {
    if (this.#whyClosed) return;
    this.#heartbeat?.heard();
    this.stats.bytesReceived += bytes.length;
    try {
      this.#reader.push(bytes);
    } catch (error) {
      if (error instanceof Refusal) this.#end(error);
      else if (error instanceof DataError) this.#end(violated(this.#options.relay, error.message, error));
      else throw error;
    }
  }

  /** DataError or Refusal: the link ends. */
  #takeFrame(type: number, channel: number, payload: Uint8Array): void {
    if (this.#stage !== "welcomed" && type !== FrameType.welcome && type !== FrameType.goAway) {
      throw new DataError("type", `frame ${String(type)} before the welcome`);
    }
    switch (type) {
      case FrameType.welcome:
        this.#takeWelcome(decode(messages.welcome, payload));
        return;
      case FrameType.ping:
        this.#writer.send(FrameType.pong, 0, encode(messages.heartbeat, decode(messages.heartbeat, payload)));
        return;
      case FrameType.pong:
        decode(messages.heartbeat, payload);
        return;
      case FrameType.goAway:
        this.#takeGoAway(decode(messages.goAway, payload));
        return;
      case FrameType.devices:
        this.#listing.take(decode(messages.devices, payload));
        return;
      case FrameType.line:
        this.#lines.take(decode(messages.line, payload));
        return;
      default:
        this.#channels.take(type, channel, payload);
    }
  }

  #takeWelcome(welcome: Welcome): void {
    if (this.#stage === "welcomed") throw new DataError("type", "a second welcome");
    if (welcome.version !== WIRE_VERSION) throw otherVersion(this.#options.relay, welcome.version);
    requireFrameLimit(welcome.maxFrameBytes);
    if (welcome.relay !== this.#relayName) {
      throw new DataError(
        "text",
        `the relay calls itself ${welcome.relay}, its certificate ${this.#relayName}`,
      );
    }
    this.#stage = "welcomed";
    this.#channels.maxPayloadBytes = welcome.maxFrameBytes;
    this.#onWelcome(welcome);
  }

  #takeGoAway({ reason, retryMs }: messages.GoAway): void {
    const { CloseReason } = messages;
    const isFinal = reason === CloseReason.authentication || reason === CloseReason.protocol;
    if (this.#stage !== "welcomed" || isFinal) throw goAwayRefusal(this.#options.relay, reason);
    this.#isGoingAway = true;
    this.onGoAway(Math.min(retryMs, MAX_RETRY_MS));
  }
}
