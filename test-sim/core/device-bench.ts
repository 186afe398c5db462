// SPDX-License-Identifier: MIT
/**
 * A whole device in one process and virtual time: a relay in memory that speaks the link's frames, clients behind it that
 * speak the session, and hands on every byte between them for a test to meddle with.
 */
import assert from "node:assert/strict";
import { BOARD_LIMITS } from "../../firmware/core/device-config";
import type { DeviceConfig, DeviceLimits } from "../../firmware/core/device-config";
import { Device } from "../../firmware/core/device";
import { ConnectionError } from "../../firmware/core/io";
import type {
  ConnectionErrorCode,
  Discovery,
  Entropy,
  Log,
  Network,
  Preferences,
  ResetReason,
  SecureSocket,
  SecureSocketOptions,
  Watchdog,
} from "../../firmware/core/io";
import { nodeCrypto } from "../../firmware/platform/node/node-crypto";
import { FRAME_HEADER_BYTES, FrameType, encodeFrame, readFrameHeader } from "../../firmware/protocol/frame";
import * as link from "../../firmware/protocol/link-messages";
import { decode, encode } from "../../firmware/protocol/message";
import type { Field } from "../../firmware/protocol/message";
import { SimCard } from "../card";
import type { SimCardOptions } from "../card";
import { MemoryPreferences } from "../memory-preferences";
import { SeededEntropy } from "../seeded-entropy";
import { Turns } from "./turns";

export interface Frame {
  type: number;
  channel: number;
  payload: Uint8Array;
}

/** The relay's end of one connection of the device. */
export class RelayEnd {
  readonly options: SecureSocketOptions;
  /** What the device has sent, taken apart; a test takes from the front. */
  readonly frames: Frame[] = [];
  /** Bytes that the device may write before it is told of new room. */
  roomBytes = Infinity;
  isClosed = false;
  readonly #turns: Turns;
  #sent = new Uint8Array(0);
  #received: Uint8Array[] = [];

  constructor(options: SecureSocketOptions, turns: Turns) {
    this.options = options;
    this.#turns = turns;
  }

  /** The device's socket. */
  readonly socket: SecureSocket = ((end: RelayEnd) => ({
    read: (into: Uint8Array) => end.#read(into),
    get writableBytes() {
      return end.isClosed ? 0 : Math.min(end.roomBytes, 100_000);
    },
    write: (bytes: Uint8Array) => {
      end.#write(bytes);
    },
    close: () => {
      end.isClosed = true;
    },
  }))(this);

  /** The handshake is done. */
  connect(): void {
    this.#turns.set(0, () => {
      if (!this.isClosed) this.options.onWritable(this.socket.writableBytes);
    });
    this.#turns.run();
  }

  fail(code: ConnectionErrorCode): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.options.onError(new ConnectionError(code, "by the test"));
    this.#turns.run();
  }

  deliver(bytes: Uint8Array): void {
    if (this.isClosed) return;
    this.#received.push(bytes.slice());
    this.options.onReadable(bytes.length);
    this.#turns.run();
  }

  send<T>(type: number, channel: number, field: Field<T>, value: T): void {
    this.deliver(encodeFrame(type, channel, encode(field, value)));
  }

  giveRoom(bytes: number): void {
    this.roomBytes = bytes;
    if (bytes > 0 && !this.isClosed) this.options.onWritable(this.socket.writableBytes);
    this.#turns.run();
  }

  /** Removes and returns the next frame of a type, wherever it is among what the device has sent. */
  take(type: number, channel?: number): Frame | undefined {
    const at = this.frames.findIndex(
      (frame) => frame.type === type && (channel === undefined || frame.channel === channel),
    );
    return at < 0 ? undefined : this.frames.splice(at, 1)[0];
  }

  #read(into: Uint8Array): number {
    let count = 0;
    for (let piece = this.#received[0]; piece && count < into.length; piece = this.#received[0]) {
      const part = piece.subarray(0, into.length - count);
      into.set(part, count);
      count += part.length;
      if (part.length === piece.length) this.#received.shift();
      else this.#received[0] = piece.subarray(part.length);
    }
    return count;
  }

  #write(bytes: Uint8Array): void {
    if (bytes.length > this.socket.writableBytes) throw new RangeError("write: more than writableBytes");
    this.roomBytes -= bytes.length;
    const all = new Uint8Array(this.#sent.length + bytes.length);
    all.set(this.#sent);
    all.set(bytes, this.#sent.length);
    let at = 0;
    for (let header = readFrameHeader(all, at, 65535); header; header = readFrameHeader(all, at, 65535)) {
      const end = at + FRAME_HEADER_BYTES + header.payloadBytes;
      if (end > all.length) break;
      this.frames.push({ ...header, payload: all.slice(at + FRAME_HEADER_BYTES, end) });
      at = end;
    }
    this.#sent = all.slice(at);
  }
}

export interface DeviceBenchOptions {
  limits?: Partial<DeviceLimits>;
  card?: SimCardOptions;
  simCard?: SimCard;
  secrets?: Uint8Array[];
  entropy?: Entropy;
  /** Without: the device has no relay configured. */
  relay?: { host: string; port: number } | null;
  discovery?: Discovery;
  isClockSet?: boolean;
  /** What the device keeps from start to start; without: nothing. */
  preferences?: Preferences;
  resetReason?: ResetReason;
  watchdog?: Watchdog;
  /** Instead of `lines`. */
  log?: Log;
}

export const SECRET = new Uint8Array(32).fill(7);
export const DEVICE = "cam1";
const WINDOW_BYTES = 64 * 1024;

export class DeviceBench {
  readonly turns = new Turns();
  readonly simCard: SimCard;
  readonly lines: string[] = [];
  readonly states: string[] = [];
  readonly config: DeviceConfig;
  /** Every connection the device has made, and when. */
  readonly connections: { end: RelayEnd; atMs: number }[] = [];
  readonly device: Device;
  /** How often the device has asked to be started anew. */
  restarts = 0;

  constructor(options: DeviceBenchOptions = {}) {
    this.turns.isClockSet = options.isClockSet ?? true;
    const sim = { capacityBytes: 64 * 2 ** 20, clusterBytes: 4096, ...options.card, defer: this.turns.defer };
    this.simCard = options.simCard?.copy(sim) ?? new SimCard(sim);
    const relay = options.relay === undefined ? { host: "relay.example.org", port: 7443 } : options.relay;
    this.config = {
      name: DEVICE,
      firmwareVersion: "0.1.0",
      ...(relay ? { relay } : {}),
      pairings: options.secrets ?? [SECRET],
      limits: { ...BOARD_LIMITS, ...options.limits },
    };
    const network: Network = {
      connect: (socketOptions) => {
        const end = new RelayEnd(socketOptions, this.turns);
        this.connections.push({ end, atMs: this.turns.nowMs });
        return end.socket;
      },
    };
    this.device = new Device({
      clock: this.turns,
      timers: this.turns,
      entropy: options.entropy ?? new SeededEntropy(5),
      log: options.log ?? { write: (level, line) => this.lines.push(`${level}: ${line}`) },
      reset: {
        reason: options.resetReason ?? "powerOn",
        restart: () => {
          this.restarts++;
        },
      },
      ...(options.watchdog ? { watchdog: options.watchdog } : {}),
      preferences: options.preferences ?? new MemoryPreferences(),
      memory: { read: () => undefined },
      storage: this.simCard,
      crypto: nodeCrypto,
      network,
      ...(options.discovery ? { discovery: options.discovery } : {}),
      config: this.config,
      host: "test",
      onState: (state) => this.states.push(state),
    });
    this.turns.run();
  }

  /** The newest connection. */
  get relay(): RelayEnd {
    const last = this.connections.at(-1);
    assert.ok(last, "the device has not connected");
    return last.end;
  }

  /** Lets the device come online; returns what it said of itself. */
  welcome(options: Partial<link.Welcome> = {}): link.Hello {
    this.relay.connect();
    const frame = this.relay.take(FrameType.hello);
    assert.ok(frame, "no hello");
    this.relay.send(FrameType.welcome, 0, link.welcome, {
      version: 1,
      maxFrameBytes: 16378,
      heartbeatSeconds: 20,
      unixMs: 0,
      relay: "test",
      ...options,
    });
    return decode(link.hello, frame.payload);
  }

  /** Opens a channel as the relay does for a client; returns the device's grant, or why it refused. */
  open(channel: number, options: Partial<link.Open> = {}): { accept?: link.Accept; closed?: number } {
    this.relay.send(FrameType.open, channel, link.open, {
      peer: "client1",
      creditBytes: WINDOW_BYTES,
      maxFrameBytes: 16378,
      ...options,
    });
    const accepted = this.relay.take(FrameType.accept, channel);
    if (accepted) return { accept: decode(link.accept, accepted.payload) };
    const closed = this.closed(channel);
    return closed === undefined ? {} : { closed };
  }

  /** The reason with which the device closed a channel. */
  closed(channel: number): number | undefined {
    const frame = this.relay.take(FrameType.close, channel);
    return frame && decode(link.close, frame.payload).reason;
  }
}
