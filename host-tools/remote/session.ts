// SPDX-License-Identifier: MIT
/**
 * The client's side of one end-to-end session with a device. SPEC.md "Session" and "Verbs".
 *
 * Nothing of a request is believed before the device's proof has verified; every control frame is authenticated and
 * numbered; bulk is counted against what the authenticated answer says was sent, and proven by hashes above this.
 * Any DataError ends the session: a peer that breaks the protocol once is not spoken to on.
 */

import { DataError } from "../../firmware/protocol/data-error";
import { FrameType, encodeFrame } from "../../firmware/protocol/frame";
import { CloseReason } from "../../firmware/protocol/link-messages";
import { decode } from "../../firmware/protocol/message";
import { PayloadKind } from "../../firmware/protocol/session";
import type { BulkHeader, ControlCipher } from "../../firmware/protocol/session";
import {
  ANSWER_BIT,
  FAILURE,
  PUT_READY,
  decodeControl,
  encodeControl,
  failure,
  putReady,
} from "../../firmware/protocol/verbs";
import type { Control, Verb } from "../../firmware/protocol/verbs";
import { Refusal } from "../refusal";
import type { Channel, ChannelUser } from "./channel";
import { ClientHandshake } from "./client-handshake";
import { DeviceFailure, closeRefusal } from "./device-failure";
import { PayloadReader } from "./payload-reader";
import type { TrafficStats } from "./traffic-stats";
import { Upload } from "./upload";

/** Where the bulk of an answer goes. */
export interface BulkSink {
  readonly receivedBytes: number;
  readonly limitBytes: number;
  write(piece: Uint8Array): void;
}

/** The blob of a put. */
export interface BulkSource {
  parts: readonly Uint8Array[];
  sizeBytes: number;
  /** The device wants the bytes from here on. */
  onReady: (offsetBytes: number) => void;
  onSent: (bytes: number) => void;
}

/** What a session needs of what is below it: the link to a relay, or a line to the device. */
export interface SessionLink {
  /** Whether new channels can be opened. */
  readonly isOpen: boolean;
  readonly stats: TrafficStats;
  openChannel(device: string, user: ChannelUser): Promise<Channel>;
}

export interface SessionOptions {
  link: SessionLink;
  device: string;
  pairingSecret: Uint8Array;
  /** How long the device's part of the handshake may take. */
  timeoutMs: number;
  /** How long a session with requests in flight may go without progress. */
  stallMs: number;
}

interface Pending {
  type: number;
  answer: { decode(body: Uint8Array): unknown };
  resolve: (answer: unknown) => void;
  reject: (why: Error) => void;
  sink: BulkSink | undefined;
  source: BulkSource | undefined;
  upload: Upload | undefined;
}

export class Session implements ChannelUser {
  readonly device: string;
  /** Requests the device takes at once on this channel. */
  maxRequests = 0;
  /** Once, when the session has ended; every request has been rejected. */
  onEnd: (why: Refusal) => void = () => undefined;
  readonly #options: SessionOptions;
  readonly #stats: TrafficStats;
  readonly #pending = new Map<number, Pending>();
  readonly #handshake: ClientHandshake;
  readonly #payloads: PayloadReader;
  #channel: Channel | undefined;
  #sealer: ControlCipher | undefined;
  #opener: ControlCipher | undefined;
  #onReady: () => void = () => undefined;
  #onFailed: (why: Refusal) => void = () => undefined;
  #nextRequest = 1;
  /** Sealed or handshake payloads waiting for credit: at most one for each request in flight, and two. */
  #outgoing: Uint8Array[] = [];
  #uploads: Upload[] = [];
  #whyClosed: Refusal | undefined;
  #progressAtMs = 0;
  #stallTimer: NodeJS.Timeout | undefined;

  private constructor(options: SessionOptions) {
    this.#options = options;
    this.device = options.device;
    this.#stats = options.link.stats;
    this.#handshake = new ClientHandshake(options);
    this.#payloads = new PayloadReader({
      onPayload: (payload) => {
        this.#takePayload(payload);
      },
      onBulk: (header, bytes) => this.#startBulk(header, bytes),
    });
  }

  /** Opens a channel and proves both sides to each other. Rejects with a Refusal. */
  static async open(options: SessionOptions): Promise<Session> {
    const session = new Session(options);
    session.#channel = await options.link.openChannel(options.device, session);
    await session.#prove();
    return session;
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  get isOpen(): boolean {
    return this.#whyClosed === undefined;
  }

  /** Whether the link below takes new requests. */
  get isOnOpenLink(): boolean {
    return this.link.isOpen;
  }

  get link(): SessionLink {
    return this.#options.link;
  }

  /** Resolves with the answer; rejects with a DeviceFailure, or with the Refusal that ended the session. */
  request<Request, Answer>(
    verb: Verb<Request, Answer>,
    value: Request,
    bulk: { sink?: BulkSink; source?: BulkSource } = {},
  ): Promise<Answer> {
    if (this.#pending.size >= this.maxRequests) throw new RangeError("request: too many in flight");
    const number = this.#freeNumber();
    const message = encodeControl(verb.type, number, verb.request, value);
    return new Promise<Answer>((resolve, reject) => {
      if (this.#whyClosed || !this.#sealer) {
        reject(this.#whyClosed ?? closeRefusal(CloseReason.peerLost, this.device, false));
        return;
      }
      this.#pending.set(number, {
        type: verb.type,
        answer: { decode: (body) => decode(verb.answer, body) },
        resolve: resolve as (answer: unknown) => void,
        reject,
        sink: bulk.sink,
        source: bulk.source,
        upload: undefined,
      });
      this.#stats.requests++;
      this.#stats.roundTrips++;
      this.#send(this.#sealer.seal(message));
      this.#watch();
    });
  }

  close(reason: number): void {
    this.#end(closeRefusal(CloseReason.peerLost, this.device, false), reason);
  }

  // ---------------------------------------------------------------- channel user

  onWritable(): boolean {
    const channel = this.#channel;
    if (!channel || this.#whyClosed) return false;
    for (let next = this.#outgoing[0]; next; next = this.#outgoing[0]) {
      const frame = encodeFrame(FrameType.data, channel.id, next);
      if (frame.length > channel.creditBytes) return false;
      this.#outgoing.shift();
      channel.writeFrame([frame], frame.length);
    }
    const upload = this.#uploads.shift();
    if (!upload) return false;
    const before = upload.sentBytes;
    const couldMore = upload.writeTo(channel);
    if (upload.sentBytes > before) this.#progressAtMs = performance.now();
    if (!upload.isDone) this.#uploads.push(upload);
    return this.#uploads.length > 0 && (couldMore || upload.isDone);
  }

  onData(piece: Uint8Array, at: number, payloadBytes: number): void {
    this.#payloads.push(piece, at, payloadBytes);
  }

  onClosed(why: Refusal): void {
    // The device has proven that it knows the secret: what it could not open now was changed on the way.
    const isTampered = this.#sealer !== undefined && why.kind === "pairingFailed";
    this.#end(isTampered ? closeRefusal(CloseReason.protocol, this.device, false) : why, undefined);
  }

  // ---------------------------------------------------------------- handshake

  #prove(): Promise<void> {
    return new Promise((resolve, reject) => {
      // The channel may have been closed in the very chunk in which it was accepted.
      if (this.#whyClosed) {
        reject(this.#whyClosed);
        return;
      }
      const timer = setTimeout(() => {
        this.#end(closeRefusal(CloseReason.timeout, this.device, true), CloseReason.timeout);
      }, this.#options.timeoutMs);
      this.#onReady = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#onFailed = (why) => {
        clearTimeout(timer);
        reject(why);
      };
      this.#stats.roundTrips++;
      this.#send(this.#handshake.begin());
    });
  }

  #takeReply(payload: Uint8Array): void {
    if (this.#sealer) throw new DataError("type", "handshake step out of order");
    try {
      const { sealer, opener, maxRequests, finish } = this.#handshake.takeReply(payload);
      this.#sealer = sealer;
      this.#opener = opener;
      this.maxRequests = maxRequests;
      this.#send(finish);
      this.#onReady();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#end(error, CloseReason.authentication);
    }
  }

  // ---------------------------------------------------------------- answers

  #takePayload(payload: Uint8Array): void {
    if (payload[0] === PayloadKind.handshake) this.#takeReply(payload);
    else if (payload[0] !== PayloadKind.control) throw new DataError("type", "payload of an unknown kind");
    else if (!this.#opener) throw new DataError("type", "control frame before the handshake");
    else this.#takeControl(decodeControl(this.#opener.open(payload)));
  }

  #takeControl(control: Control): void {
    const pending = this.#pending.get(control.request);
    if (!pending) throw new DataError("type", "an answer to no request");
    this.#progressAtMs = performance.now();
    if (control.type === PUT_READY) {
      this.#startUpload(control.request, pending, decode(putReady, control.body).offsetBytes);
      return;
    }
    if (control.type === FAILURE) {
      const why = decode(failure, control.body);
      this.#settle(control.request, pending);
      pending.reject(new DeviceFailure(this.device, why));
      return;
    }
    if (control.type !== (pending.type | ANSWER_BIT))
      throw new DataError("type", "an answer of another verb");
    const answer = pending.answer.decode(control.body);
    const { source, upload } = pending;
    const isWhole = !source || source.sizeBytes === 0 || upload?.isDone === true;
    if (!isWhole && !(answer as { wasStored: boolean }).wasStored) {
      throw new DataError("range", "a blob acknowledged before it was sent");
    }
    this.#settle(control.request, pending);
    pending.resolve(answer);
  }

  #startUpload(request: number, pending: Pending, offsetBytes: number): void {
    const { source } = pending;
    if (!source || pending.upload) throw new DataError("type", "ready for an upload that is not one");
    if (offsetBytes > source.sizeBytes) throw new DataError("range", "ready past the end of the blob");
    const { parts, sizeBytes, onSent } = source;
    pending.upload = new Upload({ request, parts, sizeBytes, offsetBytes, onSent });
    this.#stats.roundTrips++;
    source.onReady(offsetBytes);
    if (pending.upload.isDone) return;
    this.#uploads.push(pending.upload);
    this.#channel?.wantWrite();
  }

  /** The last answer: the number is free again, and no more of its bytes are sent. */
  #settle(request: number, pending: Pending): void {
    this.#pending.delete(request);
    if (pending.upload) this.#uploads = this.#uploads.filter((upload) => upload !== pending.upload);
  }

  #startBulk({ request, offsetBytes }: BulkHeader, bytes: number): (piece: Uint8Array) => void {
    const sink = this.#pending.get(request)?.sink;
    if (!sink) throw new DataError("type", "bulk that was not asked for");
    if (offsetBytes !== sink.receivedBytes) throw new DataError("range", "bulk out of order");
    if (bytes > sink.limitBytes - sink.receivedBytes) throw new DataError("long", "more bulk than asked for");
    return (piece) => {
      sink.write(piece);
      this.#progressAtMs = performance.now();
    };
  }

  // ---------------------------------------------------------------- small things

  #send(payload: Uint8Array): void {
    this.#outgoing.push(payload);
    this.#channel?.wantWrite();
  }

  #freeNumber(): number {
    while (this.#pending.has(this.#nextRequest)) this.#nextRequest = (this.#nextRequest % 0xffff) + 1;
    const number = this.#nextRequest;
    this.#nextRequest = (number % 0xffff) + 1;
    return number;
  }

  /** Ends a session whose peer, or whoever is between, has stopped answering. */
  #watch(): void {
    if (this.#pending.size === 1) this.#progressAtMs = performance.now();
    const { stallMs } = this.#options;
    this.#stallTimer ??= setInterval(
      () => {
        if (this.#pending.size === 0) {
          clearInterval(this.#stallTimer);
          this.#stallTimer = undefined;
        } else if (performance.now() - this.#progressAtMs > stallMs) {
          this.#end(
            new Refusal("connectionLost", `${this.device} has stopped answering`, {
              hint: "Check the device and the network; run the same command again, it continues where it stopped.",
            }),
            CloseReason.timeout,
          );
        }
      },
      Math.max(10, stallMs / 4),
    );
  }

  #end(why: Refusal, reason: number | undefined): void {
    if (this.#whyClosed) return;
    this.#whyClosed = why;
    clearInterval(this.#stallTimer);
    if (reason !== undefined) this.#channel?.close(reason);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    this.#uploads = [];
    this.#outgoing = [];
    this.#onFailed(why);
    for (const { reject } of pending) reject(why);
    this.onEnd(why);
  }
}
