// SPDX-License-Identifier: MIT
/**
 * One client's channel: credit both ways, the session, the requests. Whatever a client or a relay does wrong closes this
 * channel with a reason, never the device. SPEC.md "Credit", "Session", "Verbs".
 *
 * RAM: what waits to be sent is at most one handshake reply, and two messages for each request.
 */
import { DataError } from "../protocol/data-error";
import { FRAME_HEADER_BYTES, FrameType } from "../protocol/frame";
import { MAX_WINDOW_BYTES, TAG_BYTES } from "../protocol/limits";
import { CloseReason, close as closeMessage, credit } from "../protocol/link-messages";
import type { Open } from "../protocol/link-messages";
import { encode } from "../protocol/message";
import {
  BULK_HEADER_BYTES,
  PayloadKind,
  bulkFrameBytes,
  readBulkHeader,
  writeBulkHeader,
} from "../protocol/session";
import { decodeControl } from "../protocol/verbs";
import type { Link } from "./link";
import type { RequestOwner } from "./request";
import { RequestTable } from "./request-table";
import type { DeviceSession } from "./session";
import type { TimerHandle, Timers } from "./io";
import type { VerbContext } from "./verb";

export interface ChannelOptions {
  number: number;
  link: Link;
  timers: Timers;
  session: DeviceSession;
  context: VerbContext;
  open: Open;
  windowBytes: number;
  grantBytes: number;
  maxRequests: number;
  owner: ChannelOwner;
}

export interface ChannelOwner {
  /** There is something to send, or may be. */
  pump(): void;
  /** It closed itself: forget it. */
  channelClosed(channel: Channel, reason: number): void;
}

/** A client that does not prove itself in this time has lost its place. */
const HANDSHAKE_MS = 20_000;
/** With less room or credit than this, bulk waits for more: a silly window would cost more in headers than it carries. */
const LEAST_BULK_BYTES = 1024;

interface Outgoing {
  bytes: Uint8Array;
  isSealed: boolean;
  endsRequest: number | undefined;
}

/** A board has some 2000 slots of heap for everything: a channel keeps no closures and no options. */
export class Channel implements RequestOwner {
  readonly number: number;
  /** Of the client, as in its certificate. */
  readonly peer: string;
  readonly #link: Link;
  readonly #owner: ChannelOwner;
  readonly #session: DeviceSession;
  readonly #requests: RequestTable;
  readonly #grantBytes: number;
  readonly #maxPayloadBytes: number;
  #outgoing: Outgoing[] = [];
  /** What this side may still send, what the other side may, and what it has used up since the last grant. */
  #sendCredit: number;
  #receiveCredit: number;
  #usedBytes = 0;
  #isClosed = false;
  readonly #timers: Timers;
  /** Until the session is open. */
  #timer: TimerHandle | undefined;

  constructor(options: ChannelOptions) {
    const { number, open, link, owner, session, windowBytes, grantBytes, timers, context, maxRequests } =
      options;
    this.number = number;
    this.peer = open.peer;
    this.#link = link;
    this.#owner = owner;
    this.#session = session;
    this.#grantBytes = grantBytes;
    this.#sendCredit = open.creditBytes;
    this.#receiveCredit = windowBytes;
    this.#maxPayloadBytes = Math.min(open.maxFrameBytes, link.maxPayloadBytes);
    this.#requests = new RequestTable({ context, maxRequests, owner: this });
    this.#timers = timers;
    this.#timer = timers.set(HANDSHAKE_MS, () => {
      this.#timer = undefined;
      this.close(CloseReason.timeout);
    });
  }

  /** A data frame's payload: a view that is good until this returns. */
  receive(payload: Uint8Array): void {
    const cost = FRAME_HEADER_BYTES + payload.length;
    if (cost > this.#receiveCredit) {
      this.close(CloseReason.creditExceeded);
      return;
    }
    this.#receiveCredit -= cost;
    const session = this.#session;
    try {
      const kind = payload[0];
      if (!session.isOpen && kind === PayloadKind.handshake) this.handshake(payload);
      else if (!session.isOpen) throw new DataError("forged", "no session yet");
      else if (kind === PayloadKind.bulk)
        this.#requests.receive(readBulkHeader(payload), payload.subarray(BULK_HEADER_BYTES));
      else if (kind === PayloadKind.control) this.#requests.start(decodeControl(session.open(payload)));
      else throw new DataError("type", "payload of an unknown kind");
    } catch (error) {
      const isForged = !session.isOpen || (error instanceof DataError && error.code === "forged");
      this.close(isForged ? CloseReason.authentication : CloseReason.protocol);
      return;
    }
    this.#usedBytes += cost;
    this.grant();
  }

  /** The other side granted more. */
  addCredit(bytes: number): void {
    this.#sendCredit += bytes;
    if (this.#sendCredit > MAX_WINDOW_BYTES) this.close(CloseReason.creditExceeded);
  }

  /** Sends at most one frame; false when there is nothing to send, no credit, or no room. */
  transmit(): boolean {
    if (this.#isClosed) return false;
    const roomBytes = Math.min(
      this.#link.roomBytes,
      this.#maxPayloadBytes,
      this.#sendCredit - FRAME_HEADER_BYTES,
    );
    const next = this.#outgoing[0];
    if (!next) return this.transmitBulk(roomBytes);
    const payloadBytes = next.isSealed ? next.bytes.length : 1 + next.bytes.length + TAG_BYTES;
    if (payloadBytes > this.#maxPayloadBytes) {
      this.close(CloseReason.protocol);
      return false;
    }
    if (payloadBytes > roomBytes) return false;
    this.#outgoing.shift();
    const payload = next.isSealed ? next.bytes : this.#session.seal(next.bytes);
    this.#link.frame.set(payload, FRAME_HEADER_BYTES);
    this.sendFrame(payload.length);
    if (next.endsRequest !== undefined) this.#requests.sent(next.endsRequest);
    return true;
  }

  /** Ends the channel from this side. */
  close(reason: number): void {
    if (this.#isClosed) return;
    this.end();
    this.#link.send(FrameType.close, this.number, encode(closeMessage, { reason }));
    this.#owner.channelClosed(this, reason);
  }

  /** Ends the channel without a word: the other side, or the link, is gone. */
  end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.stopTimer();
    this.#outgoing = [];
    this.#requests.close();
  }

  /** Of a request: something to send, in order. */
  sendMessage(message: Uint8Array, endsRequest: number | undefined): void {
    this.push({ bytes: message, isSealed: false, endsRequest });
  }

  /** Of a request: bulk to send, or no more reason to hold credit back. */
  wake(): void {
    this.grant();
    this.#owner.pump();
  }

  private handshake(payload: Uint8Array): void {
    const reply = this.#session.handshake(payload);
    if (this.#session.isOpen) this.stopTimer();
    if (reply) this.push({ bytes: reply, isSealed: true, endsRequest: undefined });
  }

  private stopTimer(): void {
    if (this.#timer) this.#timers.clear(this.#timer);
    this.#timer = undefined;
  }

  private push(outgoing: Outgoing): void {
    if (this.#isClosed) return;
    this.#outgoing.push(outgoing);
    this.#owner.pump();
  }

  private transmitBulk(roomBytes: number): boolean {
    const payloadBytes = Math.min(roomBytes, bulkFrameBytes(this.#link.maxPayloadBytes) - FRAME_HEADER_BYTES);
    const countBytes = payloadBytes - BULK_HEADER_BYTES;
    if (!this.#requests.hasBulk || countBytes < LEAST_BULK_BYTES) return false;
    const { frame } = this.#link;
    const start = FRAME_HEADER_BYTES + BULK_HEADER_BYTES;
    const sent = this.#requests.send(frame.subarray(start, start + countBytes));
    if (!sent) return this.#outgoing.length > 0;
    writeBulkHeader(frame, FRAME_HEADER_BYTES, sent.header);
    this.sendFrame(BULK_HEADER_BYTES + sent.count);
    return true;
  }

  private sendFrame(payloadBytes: number): void {
    this.#sendCredit -= FRAME_HEADER_BYTES + payloadBytes;
    this.#link.sendFrame(this.number, payloadBytes);
  }

  /** Grants again what was used up, once that is worth a frame and nothing has to wait for the card. */
  private grant(): void {
    if (this.#isClosed || this.#usedBytes < this.#grantBytes || this.#requests.isHeld) return;
    const bytes = this.#usedBytes;
    this.#usedBytes = 0;
    this.#receiveCredit += bytes;
    this.#link.send(FrameType.credit, this.number, encode(credit, { bytes }));
  }
}
