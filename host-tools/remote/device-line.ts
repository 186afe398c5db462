// SPDX-License-Identifier: MIT
/**
 * A client's end of a line to a device: TLS 1.3 end to end through a relay that only joins two TCP connections, and in it
 * the link protocol with the client in the relay's part. SPEC.md "Lines". It is there for speed: what it cannot do for
 * any reason is done over the relay's link, so that nothing that goes wrong here is a refusal of its own.
 */

import { randomBytes } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { type LineEnd, dialLine } from "../../firmware/platform/node/line-socket";
import { DataError } from "../../firmware/protocol/data-error";
import { FrameType } from "../../firmware/protocol/frame";
import { LINE_KEY_BYTES, MAX_FRAME_BYTES, WIRE_VERSION } from "../../firmware/protocol/limits";
import * as messages from "../../firmware/protocol/link-messages";
import { decode, encode } from "../../firmware/protocol/message";
import { verbs } from "../../firmware/protocol/verbs";
import { Refusal } from "../refusal";
import type { Channel, ChannelUser } from "./channel";
import { ChannelTable, requireFrameLimit } from "./channel-table";
import { interrupted, wrongAnswer } from "./device-failure";
import { FrameReader } from "./frame-reader";
import { Heartbeat } from "./heartbeat";
import { LinkWriter } from "./link-writer";
import type { RelayConnection } from "./relay-connection";
import type { RelayAddress } from "./relay-tls";
import type { Session, SessionLink } from "./session";
import { closed } from "./socket-end";
import type { TrafficStats } from "./traffic-stats";

export interface DeviceLineOptions {
  /** Asked for the tickets. */
  link: RelayConnection;
  relay: RelayAddress;
  /** Tells the device where to come. */
  session: Session;
  /** Whether most of what passes comes from the device. */
  receives: boolean;
  /** How long the device may take to come. */
  timeoutMs: number;
}

const HEARTBEAT_SECONDS = 20;
const WINDOW_BYTES = 1024 * 1024;

export class DeviceLine implements SessionLink {
  /** Called once when the line has ended; its channels have been told. */
  onClosed: (why: Refusal) => void = () => undefined;
  readonly stats: TrafficStats;
  readonly #device: string;
  readonly #socket: TLSSocket;
  readonly #writer: LinkWriter;
  readonly #reader: FrameReader;
  readonly #channels: ChannelTable;
  readonly #heartbeat: Heartbeat;
  #isGreeted = false;
  #isRetired = false;
  #onGreeted: () => void = () => undefined;
  #onFailed: (why: Refusal) => void = () => undefined;
  #whyClosed: Refusal | undefined;

  private constructor(options: {
    end: Omit<LineEnd, "onData">;
    device: string;
    timeoutMs: number;
    stats: TrafficStats;
  }) {
    const { device, timeoutMs, stats } = options;
    const { socket } = dialLine({
      ...options.end,
      onData: (bytes) => {
        this.#receive(bytes);
        return true;
      },
    });
    this.#socket = socket;
    this.#device = device;
    this.stats = stats;
    this.#writer = new LinkWriter({
      socket,
      stats,
      onFlooded: () => {
        this.#end(lost(device, "does not read what is sent to it"));
      },
    });
    const channels = new ChannelTable({
      writer: this.#writer,
      windowBytes: WINDOW_BYTES,
      timeoutMs,
      violated: (error) => wrongAnswer(device, error.message, error),
    });
    this.#channels = channels;
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
    this.#heartbeat = new Heartbeat({
      silenceMs: HEARTBEAT_SECONDS * 1000,
      ping: () => {
        this.#writer.send(FrameType.ping, 0, encode(messages.heartbeat, { token: new Uint8Array(8) }));
      },
      onDead: () => {
        this.#end(lost(device, "has fallen silent"));
      },
    });
    socket.on("error", (error: Error) => {
      this.#end(lost(device, "was cut off", error));
    });
    socket.on("close", () => {
      this.#end(lost(device, "was cut off"));
    });
  }

  /** Resolves when the device is at the other end. Rejects with a Refusal or DeviceFailure, after at most `timeoutMs`. */
  static async open({ link, relay, session, receives, timeoutMs }: DeviceLineOptions): Promise<DeviceLine> {
    const { device } = session;
    const { clientTicket, deviceTicket } = await link.askLine(device);
    const key = randomBytes(LINE_KEY_BYTES);
    await session.request(verbs.line, { ticket: deviceTicket, key, isServer: receives });
    link.stats.connections++;
    const line = new DeviceLine({
      end: { ...relay, ticket: clientTicket, key, isServer: !receives },
      device,
      timeoutMs,
      stats: link.stats,
    });
    await line.#greeted(timeoutMs);
    return line;
  }

  get isOpen(): boolean {
    return !this.#whyClosed && !this.#isRetired;
  }

  /** It does not carry what it should. */
  abandon(why: Refusal): void {
    this.#end(why);
  }

  /** What is under way may finish. */
  retire(): void {
    this.#isRetired = true;
  }

  openChannel(device: string, user: ChannelUser): Promise<Channel> {
    if (this.#whyClosed) return Promise.reject(this.#whyClosed);
    this.stats.roundTrips++;
    return this.#channels.open(device, user);
  }

  /** Ends the line after what is queued has left, or after a second. */
  async close(): Promise<void> {
    this.#end(interrupted("the connection was closed"), true);
    await closed(this.#socket);
  }

  #greeted(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#end(lost(this.#device, "does not answer"));
      }, timeoutMs);
      this.#onGreeted = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#onFailed = (why) => {
        clearTimeout(timer);
        reject(why);
      };
      if (this.#whyClosed) this.#onFailed(this.#whyClosed);
    });
  }

  #receive(bytes: Uint8Array): void {
    if (this.#whyClosed) return;
    this.#heartbeat.heard();
    this.stats.bytesReceived += bytes.length;
    try {
      this.#reader.push(bytes);
    } catch (error) {
      if (error instanceof DataError) this.#end(wrongAnswer(this.#device, error.message, error));
      else throw error;
    }
  }

  /** DataError: the line ends. */
  #takeFrame(type: number, channel: number, payload: Uint8Array): void {
    if (!this.#isGreeted) {
      if (type !== FrameType.hello)
        throw new DataError("type", `frame ${String(type)} instead of a hello on a line`);
      this.#takeHello(decode(messages.hello, payload));
    } else if (type === FrameType.ping)
      this.#writer.send(FrameType.pong, 0, encode(messages.heartbeat, decode(messages.heartbeat, payload)));
    else if (type === FrameType.pong) decode(messages.heartbeat, payload);
    else this.#channels.take(type, channel, payload);
  }

  #takeHello({ minVersion, maxVersion, maxFrameBytes }: messages.Hello): void {
    if (minVersion > WIRE_VERSION || maxVersion < WIRE_VERSION)
      throw new DataError("version", `versions ${String(minVersion)} to ${String(maxVersion)}`);
    requireFrameLimit(maxFrameBytes);
    this.#channels.maxPayloadBytes = maxFrameBytes;
    this.#writer.send(
      FrameType.welcome,
      0,
      encode(messages.welcome, {
        version: WIRE_VERSION,
        maxFrameBytes: MAX_FRAME_BYTES,
        heartbeatSeconds: HEARTBEAT_SECONDS,
        unixMs: Date.now(),
        relay: "line",
      }),
    );
    this.#isGreeted = true;
    this.#onGreeted();
  }

  /** Ends everything once; channels are told why. */
  #end(why: Refusal, isGraceful = false): void {
    if (this.#whyClosed) return;
    this.#whyClosed = why;
    this.#reader.stop();
    this.#heartbeat.stop();
    this.#channels.closeAll(why, isGraceful);
    this.#writer.close();
    if (isGraceful) this.#socket.end();
    else this.#socket.destroy();
    this.#onFailed(why);
    queueMicrotask(() => {
      this.onClosed(why);
    });
  }
}

function lost(device: string, what: string, cause?: Error): Refusal {
  return new Refusal("connectionLost", `${device} ${what}`, {
    hint: "Check the network; run the same command again, it continues where it stopped.",
    ...(cause === undefined ? {} : { cause }),
  });
}
