// SPDX-License-Identifier: MIT
/**
 * One channel of a link: credit in both directions. SPEC.md "Credit". A frame of data costs its header and its payload;
 * what a side may have under way is what the other has granted and not yet seen.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { FRAME_HEADER_BYTES } from "../../firmware/protocol/frame";
import { MAX_WINDOW_BYTES } from "../../firmware/protocol/limits";
import type { Refusal } from "../refusal";

/** What is above a channel: the session. */
export interface ChannelUser {
  /** The next piece of a data payload. DataError: the channel is closed as the peer's violation. */
  onData(piece: Uint8Array, at: number, payloadBytes: number): void;
  /**
   * Writes some frames with `channel.writeFrame` as far as credit goes; true when there is more that could go at
   * once. Called when the link has room, after `wantWrite`.
   */
  onWritable(): boolean;
  /** Once, never from inside a call of the user's. Nothing follows it. */
  onClosed(why: Refusal): void;
}

/** What a channel needs of its link. */
export interface ChannelLink {
  /** Bytes are not copied and must not change until they are sent. */
  writeData(pieces: readonly Uint8Array[], bytes: number): void;
  sendCredit(channel: number, bytes: number): void;
  schedule(channel: Channel): void;
  closeChannel(channel: Channel, reason: number): void;
}

export class Channel {
  readonly id: number;
  /** The device at the other end. */
  readonly peer: string;
  readonly user: ChannelUser;
  readonly #link: ChannelLink;
  readonly #windowBytes: number;
  /** Most that the peer and the relay take in one payload. */
  maxPayloadBytes = 0;
  /** What we may send now, and what we could at first. */
  creditBytes = 0;
  initialCreditBytes = 0;
  /** What the peer may still send, and what we have taken and not granted again. */
  #grantedBytes: number;
  #takenBytes = 0;

  constructor(options: {
    id: number;
    peer: string;
    user: ChannelUser;
    link: ChannelLink;
    windowBytes: number;
  }) {
    this.id = options.id;
    this.peer = options.peer;
    this.user = options.user;
    this.#link = options.link;
    this.#windowBytes = options.windowBytes;
    this.#grantedBytes = options.windowBytes;
  }

  /** There is something to write: `onWritable` is called when the link has room. */
  wantWrite(): void {
    this.#link.schedule(this);
  }

  /** A data frame: `pieces` are header and payload, `bytes` their sum, at most `creditBytes`. */
  writeFrame(pieces: readonly Uint8Array[], bytes: number): void {
    if (bytes > this.creditBytes) throw new RangeError(`frame of ${String(bytes)} bytes above the credit`);
    this.creditBytes -= bytes;
    this.#link.writeData(pieces, bytes);
  }

  close(reason: number): void {
    this.#link.closeChannel(this, reason);
  }

  /** The link: the peer granted more. */
  addCredit(bytes: number): void {
    this.creditBytes += bytes;
    if (this.creditBytes > MAX_WINDOW_BYTES) throw new DataError("range", "credit above the limit");
    this.wantWrite();
  }

  /** The link: a data frame begins. */
  takeHeader(payloadBytes: number): void {
    this.#grantedBytes -= FRAME_HEADER_BYTES + payloadBytes;
    if (this.#grantedBytes < 0) throw new DataError("range", "data above the credit");
  }

  /** The link: so much of the window was used up and is free again. */
  giveBack(bytes: number): void {
    this.#takenBytes += bytes;
    if (this.#takenBytes * 2 < this.#windowBytes) return;
    const returned = this.#takenBytes;
    this.#takenBytes = 0;
    this.#grantedBytes += returned;
    this.#link.sendCredit(this.id, returned);
  }
}
