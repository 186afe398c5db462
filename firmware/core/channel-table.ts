// SPDX-License-Identifier: MIT
/**
 * The client channels of one link. Sending goes round: one frame of a channel, then one of the next, so that a channel
 * with much to send, or without credit, holds up no other.
 *
 * RAM: at most `maxChannels` channels.
 */
import { DataError } from "../protocol/data-error";
import { FrameType } from "../protocol/frame";
import { MAX_FRAME_BYTES, MAX_WINDOW_BYTES, MIN_MAX_FRAME_BYTES } from "../protocol/limits";
import { CloseReason, accept, close, credit, open } from "../protocol/link-messages";
import { decode, encode } from "../protocol/message";
import { Channel } from "./channel";
import type { DeviceLimits } from "./device-config";
import type { Log, Timers } from "./io";
import type { Link } from "./link";
import type { DeviceSession } from "./session";
import type { VerbContext } from "./verb";

export interface ChannelTableOptions {
  timers: Timers;
  log: Log;
  limits: DeviceLimits;
  context: VerbContext;
  newSession(): DeviceSession;
}

/** "authentication": the table of reasons read backwards. */
function reasonName(reason: number): string {
  const names = Object.keys(CloseReason) as (keyof typeof CloseReason)[];
  return names.find((name) => CloseReason[name] === reason) ?? String(reason);
}

/** A client has to leave room for an answer and for its own half-window rule. */
const LEAST_WINDOW_BYTES = 2 * MIN_MAX_FRAME_BYTES;

export class ChannelTable {
  readonly #options: ChannelTableOptions;
  readonly #channels = new Map<number, Channel>();
  /** The same channels in the order of sending, and which of them sent last. */
  #order: Channel[] = [];
  #next = 0;
  #link: Link | undefined;
  #isPumping = false;
  #isWanted = false;

  constructor(options: ChannelTableOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#channels.size;
  }

  /** Channels live as long as their link. */
  attach(link: Link): void {
    this.#link = link;
  }

  /** The link is gone: every channel ends, uploads keep their progress. */
  detach(): void {
    this.#link = undefined;
    const channels = this.#order;
    this.#channels.clear();
    this.#order = [];
    for (const channel of channels) channel.end();
  }

  /** A frame of a channel. DataError when the relay, not the client, keeps to no rule. */
  take(type: number, number: number, payload: Uint8Array): void {
    if (type === FrameType.open) {
      this.open(number, payload);
      return;
    }
    const channel = this.#channels.get(number);
    if (type === FrameType.data) channel?.receive(payload);
    else if (type === FrameType.credit) {
      const { bytes } = decode(credit, payload);
      channel?.addCredit(bytes);
    } else if (type === FrameType.close) {
      decode(close, payload);
      this.forget(number);
      channel?.end();
    } else throw new DataError("type", `unexpected frame of type ${String(type)}`);
  }

  /** Sends until there is no room or nothing to send. */
  pump(): void {
    this.#isWanted = true;
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      while (this.#isWanted) {
        this.#isWanted = false;
        this.goRound();
      }
    } finally {
      this.#isPumping = false;
    }
  }

  /** A channel closed itself. */
  channelClosed(channel: Channel, reason: number): void {
    this.forget(channel.number);
    if (reason === CloseReason.done) return;
    this.#options.log.write("warn", `channel: closed ${channel.peer}: ${reasonName(reason)}`);
  }

  /** A frame of each channel in turn, until none has anything that it may send. */
  private goRound(): void {
    for (let idle = 0; idle < this.#order.length;) {
      if (!this.#link || this.#link.roomBytes === 0) return;
      this.#next = (this.#next + 1) % this.#order.length;
      idle = this.#order[this.#next]?.transmit() ? 0 : idle + 1;
    }
  }

  private forget(number: number): void {
    const channel = this.#channels.get(number);
    this.#channels.delete(number);
    this.#order = this.#order.filter((other) => other !== channel);
  }

  private open(number: number, payload: Uint8Array): void {
    const link = this.#link;
    if (!link) return;
    const message = decode(open, payload);
    if (this.#channels.has(number)) throw new DataError("range", `channel ${String(number)} is open already`);
    const { limits, timers, context } = this.#options;
    const refuse = (reason: number): void => {
      link.send(FrameType.close, number, encode(close, { reason }));
    };
    if (this.#channels.size >= limits.maxChannels) {
      refuse(CloseReason.busy);
      return;
    }
    const isFrameGood =
      message.maxFrameBytes >= MIN_MAX_FRAME_BYTES && message.maxFrameBytes <= MAX_FRAME_BYTES;
    if (!isFrameGood || message.creditBytes < LEAST_WINDOW_BYTES || message.creditBytes > MAX_WINDOW_BYTES) {
      refuse(CloseReason.protocol);
      return;
    }
    const channel = new Channel({
      number,
      link,
      timers,
      context,
      open: message,
      session: this.#options.newSession(),
      windowBytes: limits.windowBytes,
      grantBytes: limits.grantBytes,
      maxRequests: limits.maxRequests,
      owner: this,
    });
    this.#channels.set(number, channel);
    this.#order.push(channel);
    link.send(
      FrameType.accept,
      number,
      encode(accept, { creditBytes: limits.windowBytes, maxFrameBytes: limits.maxFrameBytes }),
    );
  }
}
