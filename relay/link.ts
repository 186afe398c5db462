// SPDX-License-Identifier: MIT
/**
 * One authenticated connection: cuts what arrives into frames, keeps the link alive, and ends it with a reason.
 * What frames mean is decided in pair.ts and pump.ts. SPEC.md "Link".
 */
import type { TLSSocket } from "node:tls";
import { DataError } from "../firmware/protocol/data-error";
import { FRAME_HEADER_BYTES, FrameType, encodeFrame, readFrameHeader } from "../firmware/protocol/frame";
import type { FrameHeader } from "../firmware/protocol/frame";
import { MAX_FRAME_BYTES } from "../firmware/protocol/limits";
import { CloseReason, type Hello, credit, goAway, heartbeat } from "../firmware/protocol/link-messages";
import { type Field, encode } from "../firmware/protocol/message";
import type { PeerIdentity } from "./authenticate";
import type { BufferPool } from "./buffer-pool";
import {
  GOODBYE_MS,
  HELLO_TIMEOUT_MS,
  MAX_CONTROL_BYTES,
  MAX_REMEMBERED_IDS,
  REQUESTS_PER_SECOND,
  REQUEST_BURST,
} from "./limits";
import type { Line } from "./lines";
import { Outbox, type OutboxPool } from "./outbox";
import type { Side } from "./pump";
import { TokenBucket } from "./token-bucket";

export interface LinkOptions {
  socket: TLSSocket;
  peer: PeerIdentity;
  pool: OutboxPool;
  /** Of FRAME_HEADER_BYTES + MAX_FRAME_BYTES: for frames that have not arrived whole. */
  frames: BufferPool;
  heartbeatMs: number;
  nowMs: () => number;
  /** A whole frame: bytes.subarray(at, end), valid during the call. Throws DataError for a violation, which ends the link. */
  onFrame(link: Link, header: FrameHeader, bytes: Buffer, at: number, end: number): void;
  /** Once. `error` only when it is the relay's own mistake. */
  onEnd(link: Link, reason: string, error?: unknown): void;
}

export class Link {
  readonly peer: PeerIdentity;
  readonly remote: string;
  readonly outbox: Outbox;
  /** Open channels by the id they have on this connection. */
  readonly sides = new Map<number, Side>();
  readonly lines = new Set<Line>();
  /** Sides that were granted credit which has not been sent yet. One frame a channel, however slowly this side reads. */
  readonly creditDue = new Set<Side>();
  readonly connectedAtMs = Date.now();
  hello: Hello | undefined;
  /** Told in goAway: when to come back. */
  retryMs = 1000;
  receivedBytes = 0;
  readonly #options: LinkOptions;
  readonly #socket: TLSSocket;
  readonly #requests: TokenBucket;
  readonly #rememberedIds = new Set<number>();
  readonly #sinceMs: number;
  #heardAtMs: number;
  #pingedAtMs = -1;
  #nextId = 0;
  #isEnded = false;
  /** The start of a frame that has not arrived whole. */
  #partial: Buffer | undefined;
  #partialBytes = 0;

  constructor(options: LinkOptions) {
    const { socket, peer, pool } = options;
    this.peer = peer;
    this.remote = `${socket.remoteAddress ?? "?"}:${String(socket.remotePort ?? 0)}`;
    this.#options = options;
    this.#socket = socket;
    this.#sinceMs = this.#heardAtMs = options.nowMs();
    this.#requests = new TokenBucket({
      burst: REQUEST_BURST,
      perSecond: REQUESTS_PER_SECOND,
      nowMs: this.#sinceMs,
    });
    this.outbox = new Outbox({
      socket,
      pool,
      onFlush: () => {
        this.#sendCredit();
      },
    });
    socket.on("data", (chunk: Buffer) => {
      this.#receive(chunk);
    });
    socket.on("end", () => {
      this.end("closed");
    });
    socket.on("error", () => {
      this.end("lost");
    });
    socket.on("close", () => {
      this.end("lost");
    });
  }

  /** Whether something still goes on here that a stopping relay lets finish. */
  get isBusy(): boolean {
    return this.sides.size + this.lines.size > 0;
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  send<T>(type: number, channel: number, field: Field<T>, message: T): void {
    this.#push(type, channel, field, message);
    if (this.outbox.controlBytes > MAX_CONTROL_BYTES) this.end("notReading");
  }

  /** Counts a frame that costs the relay work; above the limit the link ends. */
  countRequest(): void {
    if (!this.#requests.take(this.#options.nowMs())) throw new DataError("range", "flood");
  }

  /** An id for a channel that the relay opens: the one that has been out of use longest. */
  allocateId(): number {
    do this.#nextId = this.#nextId >= 0xffff ? 1 : this.#nextId + 1;
    while (this.sides.has(this.#nextId));
    return this.#nextId;
  }

  remove(side: Side): void {
    this.sides.delete(side.id);
    this.creditDue.delete(side);
    this.#rememberedIds.add(side.id);
    if (this.#rememberedIds.size <= MAX_REMEMBERED_IDS) return;
    for (const oldest of this.#rememberedIds) {
      this.#rememberedIds.delete(oldest);
      break;
    }
  }

  /** Whether frames of a channel that is not open may have crossed its `close`. */
  remembers(id: number): boolean {
    return this.#rememberedIds.has(id);
  }

  forget(id: number): void {
    this.#rememberedIds.delete(id);
  }

  /** Small frames are to be small records too: a board holds a record whole before it sees the first byte. */
  limitRecords(maxFrameBytes: number): void {
    const bytes = maxFrameBytes + FRAME_HEADER_BYTES;
    if (bytes < 16_384) this.#socket.setMaxSendFragment(bytes);
  }

  /** Called about every second. */
  tick(nowMs: number): void {
    const { heartbeatMs } = this.#options;
    const silentMs = nowMs - this.#heardAtMs;
    if (!this.hello && nowMs - this.#sinceMs > HELLO_TIMEOUT_MS)
      this.end("helloTimeout", CloseReason.timeout);
    else if (silentMs >= 2.5 * heartbeatMs) this.end("heartbeatTimeout");
    else if (this.hello && silentMs >= heartbeatMs && this.#pingedAtMs < this.#heardAtMs) {
      this.#pingedAtMs = nowMs;
      this.send(FrameType.ping, 0, heartbeat, { token: new Uint8Array(8) });
    }
  }

  /** The relay itself was stopped or asleep: nobody could have been heard. */
  excuseSilence(nowMs: number): void {
    this.#heardAtMs = nowMs;
  }

  /**
   * Ends the link. With `code` the endpoint is told (goAway) and gets what is queued for it before; without, it is cut
   * off at once. `reason` goes to the log.
   */
  end(reason: string, code?: number, error?: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (code === undefined) {
      this.outbox.close();
      this.#socket.destroy();
    } else {
      this.#push(FrameType.goAway, 0, goAway, { reason: code, retryMs: this.retryMs });
      this.outbox.end();
      const timer = setTimeout(() => {
        this.#socket.destroy();
      }, GOODBYE_MS);
      this.#socket.once("close", () => {
        clearTimeout(timer);
        this.outbox.close();
      });
    }
    this.#dropPartial();
    this.#options.onEnd(this, reason, error);
  }

  #push<T>(type: number, channel: number, field: Field<T>, message: T): void {
    const frame = encodeFrame(type, channel, encode(field, message));
    this.outbox.push(frame, 0, frame.length);
  }

  #sendCredit(): void {
    for (const side of this.creditDue) {
      const bytes = side.unsentCredit;
      side.unsentCredit = 0;
      this.creditDue.delete(side);
      this.send(FrameType.credit, side.id, credit, { bytes });
    }
  }

  #receive(chunk: Buffer): void {
    if (this.#isEnded) return;
    this.#heardAtMs = this.#options.nowMs();
    this.receivedBytes += chunk.length;
    try {
      let at = this.#partial ? this.#completePartial(chunk, this.#partial) : 0;
      while (!this.isEnded && at < chunk.length) {
        const header = readFrameHeader(chunk, at, MAX_FRAME_BYTES);
        const end = at + FRAME_HEADER_BYTES + (header?.payloadBytes ?? 0);
        if (!header || end > chunk.length) {
          this.#partial = this.#options.frames.take();
          this.#partialBytes = chunk.copy(this.#partial, 0, at);
          return;
        }
        this.#options.onFrame(this, header, chunk, at, end);
        at = end;
      }
    } catch (error) {
      if (error instanceof DataError) this.end(`protocol: ${error.message}`, CloseReason.protocol);
      else this.end("internalError", undefined, error);
    }
  }

  /** Continues a frame with the bytes at the start of `chunk`; returns how many were its. */
  #completePartial(chunk: Buffer, partial: Buffer): number {
    const before = this.#partialBytes;
    // First the header, then what it says.
    let header = readFrameHeader(partial.subarray(0, before), 0, MAX_FRAME_BYTES);
    let copied = 0;
    if (!header) {
      copied = chunk.copy(partial, before, 0, FRAME_HEADER_BYTES - before);
      this.#partialBytes += copied;
      header = readFrameHeader(partial.subarray(0, this.#partialBytes), 0, MAX_FRAME_BYTES);
      if (!header) return copied;
    }
    const size = FRAME_HEADER_BYTES + header.payloadBytes;
    const more = chunk.copy(partial, this.#partialBytes, copied, copied + size - this.#partialBytes);
    this.#partialBytes += more;
    if (this.#partialBytes < size) return copied + more;
    this.#options.onFrame(this, header, partial, 0, size);
    this.#dropPartial();
    return copied + more;
  }

  #dropPartial(): void {
    if (this.#partial) this.#options.frames.give(this.#partial);
    this.#partial = undefined;
  }
}
