// SPDX-License-Identifier: MIT
/**
 * What goes to the relay. Small frames are written at once; bulk is asked for when the socket has room, a little from
 * each channel in turn, so that what waits in the socket is bounded and no channel holds up another. Headers and
 * slices of blobs are handed over corked: nothing is copied or joined here.
 */

import type { Writable } from "node:stream";
import { FRAME_HEADER_BYTES, encodeFrame } from "../../firmware/protocol/frame";
import type { Channel } from "./channel";
import type { TrafficStats } from "./traffic-stats";

/** So much is handed to the socket before it reports that some has left; a batch is what is encrypted at once. */
const SOCKET_BYTES = 512 * 1024;
const BATCH_BYTES = 128 * 1024;
/** Pongs, credit and the like that a relay makes us send without reading them. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
/** Written behind a batch to hear when it has left. */
const NOTHING = Buffer.alloc(0);

export interface LinkWriterOptions {
  socket: Writable;
  stats: TrafficStats;
  /** The relay makes us send and does not read. */
  onFlooded: () => void;
}

export class LinkWriter {
  readonly #options: LinkWriterOptions;
  /** Channels with something to send, in the order of their turns. */
  readonly #ready = new Set<Channel>();
  #socketBytes = 0;
  #isPumpDue = false;
  #isClosed = false;

  constructor(options: LinkWriterOptions) {
    this.#options = options;
  }

  /** A small frame, now. */
  send(type: number, channel: number, payload: Uint8Array): void {
    const { socket, stats, onFlooded } = this.#options;
    if (this.#isClosed) return;
    socket.write(encodeFrame(type, channel, payload));
    stats.bytesSent += FRAME_HEADER_BYTES + payload.length;
    if (socket.writableLength > MAX_UNREAD_BYTES) onFlooded();
  }

  /** A data frame in pieces, from inside a channel's `onWritable`. */
  writeData(pieces: readonly Uint8Array[], bytes: number): void {
    for (const piece of pieces) this.#options.socket.write(piece);
    this.#socketBytes += bytes;
    this.#options.stats.bytesSent += bytes;
  }

  /** Asks the channel after the events at hand: what was wanted together leaves together. */
  schedule(channel: Channel): void {
    this.#ready.add(channel);
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.#pump();
    });
  }

  forget(channel: Channel): void {
    this.#ready.delete(channel);
  }

  close(): void {
    this.#isClosed = true;
    this.#ready.clear();
  }

  #pump(): void {
    const { socket } = this.#options;
    while (!this.#isClosed && this.#ready.size > 0 && this.#socketBytes < SOCKET_BYTES) {
      const before = this.#socketBytes;
      socket.cork();
      for (const channel of this.#ready) {
        if (this.#socketBytes - before >= BATCH_BYTES) break;
        // To the end of the line, or out of it: a Set keeps the order in which was added.
        this.#ready.delete(channel);
        if (channel.user.onWritable()) this.#ready.add(channel);
      }
      const batch = this.#socketBytes - before;
      if (batch > 0) {
        socket.write(NOTHING, () => {
          this.#socketBytes -= batch;
          this.#pump();
        });
      }
      socket.uncork();
      if (batch === 0) return;
    }
  }
}
