// SPDX-License-Identifier: MIT
/**
 * What waits for one connection: frames, copied one behind the other into blocks, and handed to the socket a block at
 * a time when it has taken the one before. A slow reader's bytes wait here, under the relay's own bounds, and not in
 * the socket, which has none.
 *
 * The copy is on purpose. A queue of slices of what was received would keep a whole record alive for each small
 * frame in it, and Node copies several slices into one buffer anyway before it encrypts them. Blocks are used again,
 * so that passing on a gigabyte leaves nothing for the garbage collector.
 */
import type { Writable } from "node:stream";
import { BufferPool } from "./buffer-pool";
import { BEHIND_BYTES, SEGMENT_BYTES } from "./limits";

/** Who is charged for queued data: a side of a channel. */
export interface DataAccount {
  queuedBytes: number;
  /** So much of it was handed to the socket. */
  sent(bytes: number): void;
}

/** Neighbouring bytes of one account; undefined for everything but data. */
interface Segment {
  account: DataAccount | undefined;
  bytes: number;
}

interface Block {
  bytes: Buffer;
  used: number;
  segments: Segment[];
}

/** Four full TLS records: few system calls, and soon somebody else's turn. */
const BLOCK_BYTES = 64 * 1024;
const MAX_SPARE_BLOCKS = 256;
/** For a small frame to a connection that has nothing else to get, such as a thousand pings in one second. */
const SMALL_BLOCK_BYTES = 1024;
const MAX_SPARE_SMALL_BLOCKS = 1024;

/** What the outboxes of a relay share. */
export class OutboxPool {
  queuedBytes = 0;
  readonly #blocks = new BufferPool({ sizeBytes: BLOCK_BYTES, maxSpare: MAX_SPARE_BLOCKS });
  readonly #smallBlocks = new BufferPool({ sizeBytes: SMALL_BLOCK_BYTES, maxSpare: MAX_SPARE_SMALL_BLOCKS });
  readonly #due: Outbox[] = [];

  takeBlock(isSmall: boolean): Buffer {
    return (isSmall ? this.#smallBlocks : this.#blocks).take();
  }

  giveBlock(block: Buffer): void {
    (block.length === SMALL_BLOCK_BYTES ? this.#smallBlocks : this.#blocks).give(block);
  }

  /** Sends after the events of this turn of the loop have been handled: frames that came together leave together. */
  schedule(outbox: Outbox): void {
    if (this.#due.push(outbox) > 1) return;
    setImmediate(() => {
      for (const due of this.#due.splice(0)) due.flush();
    });
  }
}

export class Outbox {
  /** What is queued, with its bookkeeping. */
  queuedBytes = 0;
  /** The part of it that is not data. */
  controlBytes = 0;
  readonly #socket: Writable;
  readonly #pool: OutboxPool;
  readonly #onFlush: () => void;
  #blocks: Block[] = [];
  #isDue = false;
  #isEnding = false;
  #isClosed = false;

  /** `onFlush` may push what only makes sense just before sending. */
  constructor(options: { socket: Writable; pool: OutboxPool; onFlush: () => void }) {
    this.#socket = options.socket;
    this.#pool = options.pool;
    this.#onFlush = options.onFlush;
    this.#socket.on("drain", () => {
      this.flush();
    });
  }

  get isBehind(): boolean {
    return this.queuedBytes > BEHIND_BYTES;
  }

  /** Queues a copy of bytes.subarray(start, end). */
  push(bytes: Uint8Array, start: number, end: number, account?: DataAccount): void {
    if (this.#isClosed || this.#isEnding) return;
    this.schedule();
    if (account) account.queuedBytes += end - start;
    else this.controlBytes += end - start;
    let at = start;
    while (at < end) {
      let block = this.#blocks.at(-1);
      if (!block || block.used === block.bytes.length) {
        const isSmall = !block && end - at <= SMALL_BLOCK_BYTES;
        block = { bytes: this.#pool.takeBlock(isSmall), used: 0, segments: [] };
        this.#blocks.push(block);
      }
      const count = Math.min(end - at, block.bytes.length - block.used);
      block.bytes.set(
        at === 0 && count === bytes.length ? bytes : bytes.subarray(at, at + count),
        block.used,
      );
      block.used += count;
      at += count;
      const last = block.segments.at(-1);
      if (last && last.account === account) {
        last.bytes += count;
        this.#charge(count);
      } else {
        block.segments.push({ account, bytes: count });
        this.#charge(count + SEGMENT_BYTES);
      }
    }
  }

  /** Sends what is queued in this turn of the event loop. */
  schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#pool.schedule(this);
  }

  /** Takes nothing more, sends what is queued and ends the socket. */
  end(): void {
    this.#isEnding = true;
    this.schedule();
  }

  /** Drops what is queued. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#charge(-this.queuedBytes);
    for (const { bytes } of this.#blocks) this.#pool.giveBlock(bytes);
    this.#blocks = [];
  }

  flush(): void {
    this.#isDue = true;
    while (!this.#isClosed && !this.#socket.writableNeedDrain) {
      if (!this.#isEnding) this.#onFlush();
      const block = this.#blocks.shift();
      if (block) this.#write(block);
      else {
        if (this.#isEnding) this.#socket.end();
        break;
      }
    }
    this.#isDue = false;
  }

  #write({ bytes, used, segments }: Block): void {
    for (const { account, bytes: count } of segments) {
      if (account) account.sent(count);
      else this.controlBytes -= count;
      this.#charge(-count - SEGMENT_BYTES);
    }
    this.#socket.write(bytes.subarray(0, used), (error) => {
      if (!error) this.#pool.giveBlock(bytes);
    });
  }

  #charge(bytes: number): void {
    this.queuedBytes += bytes;
    this.#pool.queuedBytes += bytes;
  }
}
