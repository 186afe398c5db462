// SPDX-License-Identifier: MIT
/**
 * Moves frames of open channels from one connection to the other. Data is passed on unread: the header's channel id
 * is rewritten where it lies, and the piece of the received buffer is queued for the other side.
 *
 * Memory: what a channel may have queued here is what its receiver granted, never more than the side's window. The
 * relay passes on credit only as far as `granted and unused + queued` stays within the window, and the rest when there is
 * room: a receiver may have a larger window than the relay and never notices. One that grants without reading gets no
 * more into the queue.
 */
import { DataError } from "../firmware/protocol/data-error";
import { FRAME_HEADER_BYTES, FrameType } from "../firmware/protocol/frame";
import { MAX_WINDOW_BYTES } from "../firmware/protocol/limits";
import { CloseReason, close, credit } from "../firmware/protocol/link-messages";
import { decode } from "../firmware/protocol/message";
import { LINK_WINDOW_BYTES, MAX_LINK_QUEUE_BYTES, MAX_QUEUE_BYTES, MIN_WINDOW_BYTES } from "./limits";
import type { Link } from "./link";
import type { DataAccount, OutboxPool } from "./outbox";

/** One end of a channel. */
export class Side implements DataAccount {
  readonly link: Link;
  readonly id: number;
  /** Payload that this side takes. */
  maxFrameBytes = 0;
  /** Bytes that this side may still send. */
  creditBytes = 0;
  /** Credit that this side was granted and has not been told of. */
  unsentCredit = 0;
  /** Data queued for this side. */
  queuedBytes = 0;
  /** Data sent by this side, with headers. */
  sentBytes = 0;
  /** Credit and queued bytes together stay within it. */
  readonly windowBytes: number;
  /** Called when queued data has left and the other side waits for credit that was withheld from it. */
  onRoom: () => void = () => undefined;
  /** What this side granted the other and the window does not allow yet. */
  #withheldCredit = 0;

  constructor(link: Link, id: number) {
    this.link = link;
    this.id = id;
    const share = LINK_WINDOW_BYTES / (link.sides.size + 1);
    this.windowBytes = Math.floor(Math.max(MIN_WINDOW_BYTES, Math.min(MAX_WINDOW_BYTES, share)));
  }

  /** This side grants the other `bytes` more: returns what may be passed on now. */
  admit(bytes: number, other: Side): number {
    // Nobody honest has more outstanding.
    this.#withheldCredit = Math.min(this.#withheldCredit + bytes, MAX_WINDOW_BYTES);
    const room = this.windowBytes - other.creditBytes - this.queuedBytes;
    // A little is not worth a frame while there is more to come.
    if (room < Math.min(this.#withheldCredit, this.windowBytes / 4)) return 0;
    const admitted = Math.min(room, this.#withheldCredit);
    this.#withheldCredit -= admitted;
    return admitted;
  }

  sent(bytes: number): void {
    this.queuedBytes -= bytes;
    if (this.#withheldCredit > 0) this.onRoom();
  }
}

export interface Channel {
  client: Side;
  device: Side;
  openedAtMs: number;
  isAccepted: boolean;
}

export interface PumpOptions {
  pool: OutboxPool;
  onClosed(channel: Channel, reason: number): void;
}

export class Pump {
  bytesToDevices = 0;
  bytesToClients = 0;
  readonly #options: PumpOptions;
  readonly #channels = new Map<Side, Channel>();

  constructor(options: PumpOptions) {
    this.#options = options;
  }

  get channelCount(): number {
    return this.#channels.size / 2;
  }

  /** Those whose device has not answered for `timeoutMs`. */
  *unanswered(nowMs: number, timeoutMs: number): Iterable<Channel> {
    for (const [side, channel] of this.#channels)
      if (side === channel.client && !channel.isAccepted && nowMs - channel.openedAtMs > timeoutMs)
        yield channel;
  }

  add(channel: Channel): void {
    const { client, device } = channel;
    for (const [side, other] of [
      [client, device],
      [device, client],
    ] as const) {
      this.#channels.set(side, channel);
      side.link.sides.set(side.id, side);
      side.link.forget(side.id);
      side.onRoom = () => {
        if (this.#channels.has(side)) this.grant(side, other, 0);
      };
    }
  }

  channelOf(side: Side): Channel {
    const channel = this.#channels.get(side);
    if (!channel) throw new RangeError("pump: side of no channel");
    return channel;
  }

  /** A data, credit or close frame from `link`. Throws DataError when the link has to end. */
  forward(link: Link, type: number, id: number, bytes: Buffer, at: number, end: number): void {
    const side = link.sides.get(id);
    if (!side) {
      // It may have crossed a close; only data can cost anybody anything.
      if (link.remembers(id) || type !== FrameType.data) return;
      throw new DataError("range", `no channel ${String(id)}`);
    }
    const channel = this.channelOf(side);
    const other = side === channel.client ? channel.device : channel.client;
    if (type === FrameType.data) this.#forwardData(channel, side, other, bytes, at, end);
    else if (type === FrameType.credit) {
      const granted = decode(credit, bytes.subarray(at + FRAME_HEADER_BYTES, end)).bytes;
      this.grant(side, other, granted);
    } else {
      const { reason } = decode(close, bytes.subarray(at + FRAME_HEADER_BYTES, end));
      this.close(channel, reason, side);
    }
  }

  #forwardData(channel: Channel, side: Side, other: Side, bytes: Buffer, at: number, end: number): void {
    const size = end - at;
    if (!channel.isAccepted || size - FRAME_HEADER_BYTES > other.maxFrameBytes) {
      this.close(channel, CloseReason.protocol);
      return;
    }
    if (size > side.creditBytes) {
      this.close(channel, CloseReason.creditExceeded);
      return;
    }
    const { outbox } = other.link;
    const isFull = outbox.isBehind && this.#options.pool.queuedBytes > MAX_QUEUE_BYTES;
    if (isFull || outbox.queuedBytes > MAX_LINK_QUEUE_BYTES) {
      this.close(channel, CloseReason.busy);
      return;
    }
    side.creditBytes -= size;
    side.sentBytes += size;
    if (side === channel.client) this.bytesToDevices += size;
    else this.bytesToClients += size;
    bytes[at + 2] = other.id >> 8;
    bytes[at + 3] = other.id & 0xff;
    outbox.push(bytes, at, end, other);
  }

  /** `side` lets `other` send `bytes` more; told with the next batch. */
  grant(side: Side, other: Side, bytes: number): void {
    const granted = side.admit(bytes, other);
    if (granted === 0) return;
    other.creditBytes += granted;
    other.unsentCredit += granted;
    other.link.creditDue.add(other);
    other.link.outbox.schedule();
  }

  /** Ends a channel; both sides are told, the one that said so with `done`: the id is free. */
  close(channel: Channel, reason: number, saidBy?: Side): void {
    for (const side of [channel.client, channel.device]) {
      this.#channels.delete(side);
      side.link.remove(side);
    }
    for (const side of [channel.client, channel.device])
      if (side !== saidBy) side.link.send(FrameType.close, side.id, close, { reason });
      else if (channel.isAccepted)
        side.link.send(FrameType.close, side.id, close, { reason: CloseReason.done });
    this.#options.onClosed(channel, reason);
  }
}
