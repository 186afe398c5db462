// SPDX-License-Identifier: MIT
/**
 * The channels of a client's link: opened, accepted or refused, fed, closed. SPEC.md "Order", "Ending a channel".
 *
 * What is wrong inside one channel ends that channel; what only the relay can have got wrong is a DataError and ends
 * the link.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { FRAME_HEADER_BYTES, FrameType } from "../../firmware/protocol/frame";
import {
  MAX_CHANNELS,
  MAX_FRAME_BYTES,
  MAX_WINDOW_BYTES,
  MIN_MAX_FRAME_BYTES,
} from "../../firmware/protocol/limits";
import { CloseReason, accept, close, credit, open } from "../../firmware/protocol/link-messages";
import type { Accept } from "../../firmware/protocol/link-messages";
import { decode, encode } from "../../firmware/protocol/message";
import { Refusal } from "../refusal";
import { Channel } from "./channel";
import type { ChannelLink, ChannelUser } from "./channel";
import { closeRefusal } from "./device-failure";
import type { LinkWriter } from "./link-writer";

/** Ids of closed channels that are remembered: what still comes for them crossed the close. */
const MAX_CLOSING = 512;

export interface ChannelTableOptions {
  writer: LinkWriter;
  /** Granted to each channel. */
  windowBytes: number;
  /** How long a device may take to accept. */
  timeoutMs: number;
  /** The refusal for a channel whose other side broke the protocol. */
  violated: (error: DataError) => Refusal;
}

interface Opening {
  resolve: (channel: Channel) => void;
  reject: (why: Refusal) => void;
  timer: NodeJS.Timeout;
}

export function requireFrameLimit(bytes: number): void {
  if (bytes < MIN_MAX_FRAME_BYTES || bytes > MAX_FRAME_BYTES) {
    throw new DataError("range", `largest frame of ${String(bytes)} bytes`);
  }
}

export class ChannelTable implements ChannelLink {
  /** Most that the relay takes in one payload. */
  maxPayloadBytes = MIN_MAX_FRAME_BYTES;
  readonly #options: ChannelTableOptions;
  readonly #channels = new Map<number, Channel>();
  readonly #openings = new Map<number, Opening>();
  /** Oldest first. */
  readonly #closing = new Set<number>();
  #nextId = 1;

  constructor(options: ChannelTableOptions) {
    this.#options = options;
  }

  /** Resolves when the device has accepted. */
  open(device: string, user: ChannelUser): Promise<Channel> {
    const { writer, windowBytes, timeoutMs } = this.#options;
    const id = this.#freeId();
    const channel = new Channel({ id, peer: device, user, link: this, windowBytes });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#openings.delete(id);
        this.closeChannel(channel, CloseReason.timeout);
        reject(closeRefusal(CloseReason.timeout, device, true));
      }, timeoutMs);
      this.#channels.set(id, channel);
      this.#openings.set(id, { resolve, reject, timer });
      const message = { peer: device, creditBytes: windowBytes, maxFrameBytes: MAX_FRAME_BYTES };
      writer.send(FrameType.open, id, encode(open, message));
    });
  }

  /** An accept, close or credit frame. */
  take(type: number, id: number, payload: Uint8Array): void {
    if (type === FrameType.accept) this.#accept(id, decode(accept, payload));
    else if (type === FrameType.close) this.#takeClose(id, decode(close, payload).reason);
    else if (type === FrameType.credit) {
      const { bytes } = decode(credit, payload);
      this.#inside(id, (channel) => {
        channel.addCredit(bytes);
      });
    } else throw new DataError("type", `frame of unknown type ${String(type)}`);
  }

  takeDataHeader(id: number, payloadBytes: number): void {
    const isOpen = this.#channels.has(id) && !this.#openings.has(id);
    if (!isOpen && !this.#closing.has(id)) {
      throw new DataError("type", `data on channel ${String(id)}, which is not open`);
    }
    this.#inside(id, (channel) => {
      channel.takeHeader(payloadBytes);
    });
  }

  takeData(id: number, piece: Uint8Array, at: number, payloadBytes: number): void {
    this.#inside(id, (channel) => {
      channel.user.onData(piece, at, payloadBytes);
      // Not when the user has closed the channel over this very frame: nothing follows a close.
      const isOpen = this.#channels.get(id) === channel;
      if (isOpen && at + piece.length === payloadBytes) channel.giveBack(FRAME_HEADER_BYTES + payloadBytes);
    });
  }

  /** The link ends. With `isGraceful` the devices are told. */
  closeAll(why: Refusal, isGraceful: boolean): void {
    const channels = [...this.#channels.values()];
    for (const channel of channels) {
      if (isGraceful) this.closeChannel(channel, CloseReason.done);
      const opening = this.#endOpening(channel.id);
      if (opening) opening.reject(why);
      else {
        queueMicrotask(() => {
          channel.user.onClosed(why);
        });
      }
    }
    this.#channels.clear();
  }

  // ---------------------------------------------------------------- for channels

  writeData(pieces: readonly Uint8Array[], bytes: number): void {
    this.#options.writer.writeData(pieces, bytes);
  }

  sendCredit(channel: number, bytes: number): void {
    this.#options.writer.send(FrameType.credit, channel, encode(credit, { bytes }));
  }

  schedule(channel: Channel): void {
    if (this.#channels.get(channel.id) === channel) this.#options.writer.schedule(channel);
  }

  closeChannel(channel: Channel, reason: number): void {
    const { id } = channel;
    if (this.#channels.get(id) !== channel) return;
    this.#forget(channel);
    this.#closing.add(id);
    const oldest = this.#closing.keys().next();
    if (this.#closing.size > MAX_CLOSING && !oldest.done) this.#closing.delete(oldest.value);
    this.#options.writer.send(FrameType.close, id, encode(close, { reason }));
  }

  // ---------------------------------------------------------------- inside

  /** Does something with an open channel; what is wrong there ends that channel and not the link. */
  #inside(id: number, action: (channel: Channel) => void): void {
    const channel = this.#channels.get(id);
    if (!channel) return;
    try {
      action(channel);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      const why = this.#options.violated(error);
      this.closeChannel(channel, CloseReason.protocol);
      const opening = this.#endOpening(id);
      if (opening) opening.reject(why);
      else {
        queueMicrotask(() => {
          channel.user.onClosed(why);
        });
      }
    }
  }

  #accept(id: number, message: Accept): void {
    const channel = this.#channels.get(id);
    const opening = this.#openings.get(id);
    if (!channel || !opening) {
      if (this.#closing.has(id)) return;
      throw new DataError("type", `accept of channel ${String(id)}, which was not being opened`);
    }
    requireFrameLimit(message.maxFrameBytes);
    if (message.creditBytes > MAX_WINDOW_BYTES) throw new DataError("range", "credit above the limit");
    this.#endOpening(id);
    channel.maxPayloadBytes = Math.min(message.maxFrameBytes, this.maxPayloadBytes);
    channel.creditBytes = message.creditBytes;
    channel.initialCreditBytes = message.creditBytes;
    opening.resolve(channel);
  }

  #takeClose(id: number, reason: number): void {
    if (this.#closing.delete(id)) return;
    const channel = this.#channels.get(id);
    if (!channel) return;
    this.#forget(channel);
    const opening = this.#endOpening(id);
    if (opening) {
      // A refusal: there was no channel, and nothing to answer.
      opening.reject(closeRefusal(reason, channel.peer, true));
      return;
    }
    this.#options.writer.send(FrameType.close, id, encode(close, { reason: CloseReason.done }));
    queueMicrotask(() => {
      channel.user.onClosed(closeRefusal(reason, channel.peer, false));
    });
  }

  #endOpening(id: number): Opening | undefined {
    const opening = this.#openings.get(id);
    clearTimeout(opening?.timer);
    this.#openings.delete(id);
    return opening;
  }

  #forget(channel: Channel): void {
    this.#channels.delete(channel.id);
    this.#options.writer.forget(channel);
  }

  /** Goes round all ids, so that one is used again as late as can be. */
  #freeId(): number {
    if (this.#channels.size >= MAX_CHANNELS) throw new RangeError("channels: too many open at once");
    let id = this.#nextId;
    while (this.#channels.has(id) || this.#closing.has(id)) id = (id % 0xffff) + 1;
    this.#nextId = (id % 0xffff) + 1;
    return id;
  }
}
