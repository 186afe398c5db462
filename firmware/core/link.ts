// SPDX-License-Identifier: MIT
/**
 * Frames over one secure socket to the relay: hello and welcome, heartbeats, and taking whole frames apart. The device
 * speaks first. SPEC.md "Link".
 *
 * RAM: one receive and one transmit buffer of a frame each, and a bounded queue of frames of a few bytes that wait for room.
 */
import { DataError } from "../protocol/data-error";
import {
  FRAME_HEADER_BYTES,
  FrameType,
  encodeFrame,
  readFrameHeader,
  writeFrameHeader,
} from "../protocol/frame";
import type { FrameHeader } from "../protocol/frame";
import { MAX_FRAME_BYTES, MIN_MAX_FRAME_BYTES, WIRE_VERSION } from "../protocol/limits";
import { goAway, heartbeat, hello, welcome } from "../protocol/link-messages";
import type { Hello, Welcome } from "../protocol/link-messages";
import { decode, encode } from "../protocol/message";
import type { RelayAddress } from "./device-config";
import { ConnectionError } from "./io";
import type { Clock, ConnectionErrorCode, Network, SecureSocket, TimerHandle, Timers } from "./io";
import { messageOf } from "./refusal";

export interface LinkHandlers {
  onUp(welcome: Welcome): void;
  /** A frame of a channel. `payload` is a view that is good until the handler returns. DataError ends the link. */
  onFrame(type: number, channel: number, payload: Uint8Array): void;
  /** There may be room: send what waits. */
  onRoom(): void;
  /** The relay wants to be left alone for so long. The link stays until it is closed. */
  onGoAway(retryMs: number): void;
  /** The link is closed; at most once. `code` when the connection itself failed. */
  onLost(reason: string, code?: ConnectionErrorCode): void;
}

export interface LinkOptions {
  network: Network;
  clock: Clock;
  timers: Timers;
  address: RelayAddress;
  hello: Hello;
  handlers: LinkHandlers;
}

/** Small frames that may wait, and for each channel: more means that the relay takes nothing and asks for ever more. */
const MAX_QUEUED = 64;
const MAX_QUEUED_PER_CHANNEL = 4;
/** From the first SYN to the welcome; a full handshake takes a board two seconds. */
const GREETING_MS = 30_000;
const MAX_HEARTBEAT_SECONDS = 600;

export class Link {
  readonly #options: LinkOptions;
  readonly #socket: SecureSocket;
  readonly #received: Uint8Array;
  #receivedBytes = 0;
  #header: FrameHeader | undefined;
  /** A payload to send is put here from FRAME_HEADER_BYTES on, then `sendFrame` is called. */
  readonly frame: Uint8Array;
  #queue: Uint8Array[] = [];
  #state: "connecting" | "greeting" | "up" | "closed" = "connecting";
  #maxPayloadBytes = MIN_MAX_FRAME_BYTES;
  #heardMs: number;
  #heartbeatMs = 0;
  #pings = 0;
  #timer: TimerHandle;

  constructor(options: LinkOptions) {
    this.#options = options;
    const { network, address, timers, clock } = options;
    this.#received = new Uint8Array(options.hello.maxFrameBytes);
    this.frame = new Uint8Array(FRAME_HEADER_BYTES + options.hello.maxFrameBytes);
    this.#heardMs = clock.monotonicMs();
    this.#socket = network.connect({
      ...address,
      onReadable: () => {
        this.onReadable();
      },
      onWritable: () => {
        this.onWritable();
      },
      onError: (error) => {
        if (error instanceof ConnectionError) this.lose(`${error.code}: ${error.message}`, error.code);
        else this.lose(messageOf(error));
      },
    });
    this.#timer = timers.set(GREETING_MS, () => {
      this.lose("no answer from the relay");
    });
  }

  get isUp(): boolean {
    return this.#state === "up";
  }

  /** Largest payload that may be sent: what the relay takes and the transmit buffer holds. */
  get maxPayloadBytes(): number {
    return this.#maxPayloadBytes;
  }

  /** Payload bytes that a frame may have now; 0 while small frames wait. */
  get roomBytes(): number {
    if (this.#state !== "up" || this.#queue.length > 0) return 0;
    return Math.max(0, Math.min(this.#maxPayloadBytes, this.#socket.writableBytes - FRAME_HEADER_BYTES));
  }

  /** A small frame, now or as soon as there is room, in order. */
  send(type: number, channel: number, payload: Uint8Array): void {
    if (this.#state === "closed") return;
    if (this.#queue.length >= MAX_QUEUED + MAX_QUEUED_PER_CHANNEL * this.#options.hello.maxChannels) {
      this.lose("the relay takes no more frames");
      return;
    }
    this.#queue.push(encodeFrame(type, channel, payload));
    this.sendQueue();
  }

  /** Sends the first `payloadBytes` (at most `roomBytes`) of the payload in `frame` as data. */
  sendFrame(channel: number, payloadBytes: number): void {
    if (this.#state === "closed") return;
    writeFrameHeader(this.frame, 0, { type: FrameType.data, channel, payloadBytes });
    this.#socket.write(this.frame.subarray(0, FRAME_HEADER_BYTES + payloadBytes));
  }

  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#options.timers.clear(this.#timer);
    this.#queue = [];
    this.#socket.close();
  }

  private lose(reason: string, code?: ConnectionErrorCode): void {
    if (this.#state === "closed") return;
    this.close();
    this.#options.handlers.onLost(reason, code);
  }

  private onWritable(): void {
    if (this.#state === "closed") return;
    if (this.#state === "connecting") {
      this.#state = "greeting";
      this.send(FrameType.hello, 0, encode(hello, this.#options.hello));
    }
    this.sendQueue();
    if (this.isUp) this.#options.handlers.onRoom();
  }

  private sendQueue(): void {
    if (this.#state === "connecting") return;
    for (
      let next = this.#queue[0];
      next && this.#socket.writableBytes >= next.length;
      next = this.#queue[0]
    ) {
      this.#queue.shift();
      this.#socket.write(next);
    }
  }

  /** Reads a header, then exactly its payload. */
  private onReadable(): void {
    this.#heardMs = this.#options.clock.monotonicMs();
    try {
      while (this.#state !== "closed") {
        if (!this.#header) {
          const header = this.next(FRAME_HEADER_BYTES);
          this.#header = header && readFrameHeader(header, 0, this.#options.hello.maxFrameBytes);
        }
        const payload = this.#header && this.next(this.#header.payloadBytes);
        if (!this.#header || !payload) break;
        const { type, channel } = this.#header;
        this.#header = undefined;
        this.take(type, channel, payload);
      }
    } catch (error) {
      this.lose(
        `${error instanceof DataError ? "the relay broke the protocol" : "internal"}: ${messageOf(error)}`,
      );
    }
    if (this.isUp) this.#options.handlers.onRoom();
  }

  /** The next `count` bytes when all are there: a view, of the socket's where it has them in one piece. */
  private next(count: number): Uint8Array | undefined {
    const view = this.#receivedBytes === 0 ? this.#socket.view?.(count) : undefined;
    if (view) return view;
    while (this.#receivedBytes < count) {
      const got = this.#socket.read(this.#received.subarray(this.#receivedBytes, count));
      if (got === 0) return undefined;
      this.#receivedBytes += got;
    }
    this.#receivedBytes = 0;
    return this.#received.subarray(0, count);
  }

  private take(type: number, channel: number, payload: Uint8Array): void {
    const { handlers } = this.#options;
    if (this.#state === "greeting") {
      if (type === FrameType.welcome) this.greeted(decode(welcome, payload));
      else if (type === FrameType.goAway) this.goAway(payload);
      else throw new DataError("type", `frame of type ${String(type)} before the welcome`);
      return;
    }
    if (type === FrameType.ping) this.send(FrameType.pong, 0, encode(heartbeat, decode(heartbeat, payload)));
    else if (type === FrameType.pong) decode(heartbeat, payload);
    else if (type === FrameType.goAway) this.goAway(payload);
    else if (type >= FrameType.open && type <= FrameType.credit && channel !== 0)
      handlers.onFrame(type, channel, payload);
    else
      throw new DataError("type", `unexpected frame of type ${String(type)} on channel ${String(channel)}`);
  }

  private greeted(message: Welcome): void {
    if (message.version !== WIRE_VERSION)
      throw new DataError("version", `the relay speaks version ${String(message.version)}`);
    if (message.maxFrameBytes < MIN_MAX_FRAME_BYTES || message.maxFrameBytes > MAX_FRAME_BYTES) {
      throw new DataError("range", "welcome: maxFrameBytes");
    }
    this.#state = "up";
    this.#maxPayloadBytes = Math.min(message.maxFrameBytes, this.#options.hello.maxFrameBytes);
    this.#heartbeatMs = 1000 * Math.max(1, Math.min(MAX_HEARTBEAT_SECONDS, message.heartbeatSeconds));
    this.#options.timers.clear(this.#timer);
    this.#timer = this.#options.timers.set(this.#heartbeatMs, () => {
      this.beat();
    });
    this.#options.handlers.onUp(message);
  }

  private goAway(payload: Uint8Array): void {
    this.#options.handlers.onGoAway(decode(goAway, payload).retryMs);
  }

  /** Silence: a ping after one heartbeat, the end after two and a half. Costs nothing while frames come. */
  private beat(): void {
    if (this.#state === "closed") return;
    const silentMs = this.#options.clock.monotonicMs() - this.#heardMs;
    const deadMs = 2.5 * this.#heartbeatMs;
    if (silentMs >= deadMs) {
      this.lose("the relay has gone silent");
      return;
    }
    let waitMs = this.#heartbeatMs - silentMs;
    if (waitMs <= 0) {
      if (this.#queue.length === 0) {
        const token = new Uint8Array(8);
        token[7] = ++this.#pings & 0xff;
        this.send(FrameType.ping, 0, encode(heartbeat, { token }));
      }
      waitMs = Math.min(this.#heartbeatMs, deadMs - silentMs);
    }
    this.#timer = this.#options.timers.set(waitMs, () => {
      this.beat();
    });
  }
}
