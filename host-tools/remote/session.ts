// SPDX-License-Identifier: MIT
/**
 * The client's side of one end-to-end session with a device. SPEC.md "Session" and "Verbs".
 *
 * Nothing of a request is believed before the device's proof has verified; every control frame is authenticated and
 * numbered; bulk is counted against what the authenticated answer says was sent, and proven by hashes above this.
 * Any DataError ends the session: a peer that breaks the protocol once is not spoken to on.
 */

import { randomBytes } from "node:crypto";
import { DataError } from "../../firmware/protocol/data-error";
import { FrameType, encodeFrame } from "../../firmware/protocol/frame";
import { MAX_REQUESTS, NONCE_BYTES, WIRE_VERSION } from "../../firmware/protocol/limits";
import { CloseReason } from "../../firmware/protocol/link-messages";
import { decode, encode } from "../../firmware/protocol/message";
import {
  BULK_HEADER_BYTES,
  ControlCipher,
  HandshakeStep,
  PayloadKind,
  deriveSessionKeys,
  init,
  isEqual,
  pairingId,
  proof,
  readBulkHeader,
  reply,
} from "../../firmware/protocol/session";
import type { Init } from "../../firmware/protocol/session";
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
import { DeviceFailure, closeRefusal } from "./device-failure";
import { nodeCrypto } from "./node-crypto";
import type { RelayConnection } from "./relay-connection";
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
  onReady(offsetBytes: number): void;
  onSent(bytes: number): void;
}

export interface SessionOptions {
  link: RelayConnection;
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
  resolve(answer: unknown): void;
  reject(why: Error): void;
  sink: BulkSink | undefined;
  source: BulkSource | undefined;
  upload: Upload | undefined;
}

const HEAD_BYTES = BULK_HEADER_BYTES;

export class Session implements ChannelUser {
  readonly device: string;
  /** Requests the device takes at once on this channel. */
  maxRequests = 0;
  /** Once, when the session has ended; every request has been rejected. */
  onEnd: (why: Refusal) => void = () => undefined;
  readonly #options: SessionOptions;
  readonly #stats: TrafficStats;
  readonly #pending = new Map<number, Pending>();
  readonly #initMessage: Init;
  #channel: Channel | undefined;
  #sealer: ControlCipher | undefined;
  #opener: ControlCipher | undefined;
  #onReady: () => void = () => undefined;
  #onFailed: (why: Refusal) => void = () => undefined;
  #nextRequest = 1;
  /** Sealed or handshake payloads waiting for credit: at most one for each request in flight, and two. */
  #outgoing: Uint8Array[] = [];
  #uploads: Upload[] = [];
  #isClosed = false;
  #progressAtMs = 0;
  #stallTimer: NodeJS.Timeout | undefined;
  /** The payload that is arriving: its first bytes, and where its bulk goes. */
  readonly #head = new Uint8Array(HEAD_BYTES);
  #control = new Uint8Array(0);
  #sink: BulkSink | undefined;

  private constructor(options: SessionOptions) {
    this.#options = options;
    this.device = options.device;
    this.#stats = options.link.stats;
    this.#initMessage = {
      minVersion: WIRE_VERSION,
      maxVersion: WIRE_VERSION,
      pairing: pairingId(nodeCrypto, options.pairingSecret),
      nonce: randomBytes(NONCE_BYTES),
    };
  }

  /** Opens a channel and proves both sides to each other. Rejects with a Refusal. */
  static async open(options: SessionOptions): Promise<Session> {
    const session = new Session(options);
    session.#channel = await options.link.openChannel(options.device, session);
    await session.#handshake();
    return session;
  }

  get inFlight(): number {
    return this.#pending.size;
  }

  get isOpen(): boolean {
    return !this.#isClosed;
  }

  /** Whether the link below takes new requests. */
  get isOnOpenLink(): boolean {
    return this.#options.link.isOpen;
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
      if (this.#isClosed || !this.#sealer) {
        reject(closeRefusal(CloseReason.peerLost, this.device, false));
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
    if (!channel || this.#isClosed) return false;
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
    if (payloadBytes === 0) throw new DataError("short", "empty payload");
    if (at === 0 && piece[0] !== PayloadKind.bulk) this.#control = new Uint8Array(payloadBytes);
    else if (at === 0) this.#head[0] = PayloadKind.bulk;
    if (this.#control.length > 0) {
      this.#control.set(piece, at);
      if (at + piece.length < payloadBytes) return;
      const payload = this.#control;
      this.#control = new Uint8Array(0);
      this.#takePayload(payload);
      return;
    }
    let data = piece;
    if (at < HEAD_BYTES) {
      const take = Math.min(HEAD_BYTES - at, piece.length);
      this.#head.set(piece.subarray(0, take), at);
      if (at + take < HEAD_BYTES) {
        if (at + take === payloadBytes) throw new DataError("short", "bulk frame without bytes");
        return;
      }
      this.#startBulk(payloadBytes);
      data = piece.subarray(take);
    }
    if (data.length > 0) this.#sink?.write(data);
    this.#progressAtMs = performance.now();
  }

  onClosed(why: Refusal): void {
    // The device has proven that it knows the secret: what it could not open now was changed on the way.
    const isTampered = this.#sealer !== undefined && why.kind === "pairingFailed";
    this.#end(isTampered ? closeRefusal(CloseReason.protocol, this.device, false) : why, undefined);
  }

  // ---------------------------------------------------------------- handshake

  #handshake(): Promise<void> {
    return new Promise((resolve, reject) => {
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
      this.#send(handshakePayload(HandshakeStep.init, encode(init, this.#initMessage)));
    });
  }

  #takeReply(payload: Uint8Array): void {
    if (this.#sealer || payload[1] !== HandshakeStep.reply)
      throw new DataError("type", "handshake step out of order");
    const proofBytes = 32;
    const body = payload.subarray(2);
    if (body.length < proofBytes) throw new DataError("short", "handshake reply");
    const answer = decode(reply, body.subarray(0, body.length - proofBytes));
    const { device, pairingSecret } = this.#options;
    if (answer.version !== WIRE_VERSION) {
      throw new DataError("version", `${device} speaks version ${String(answer.version)}`);
    }
    const keys = deriveSessionKeys(nodeCrypto, pairingSecret, device, this.#initMessage, answer);
    const { proof: theirs } = decode(proof, body.subarray(body.length - proofBytes));
    if (!isEqual(theirs, keys.deviceProof)) {
      this.#end(
        new Refusal(
          "pairingFailed",
          `what answers as ${device} does not know this computer's pairing secret`,
          {
            hint: "Somebody may be posing as the device, or it was given another secret: pair it again with `coffer device add`.",
          },
        ),
        CloseReason.authentication,
      );
      return;
    }
    if (answer.maxRequests < 1) throw new DataError("range", "a device that takes no requests");
    this.maxRequests = Math.min(answer.maxRequests, MAX_REQUESTS);
    this.#sealer = new ControlCipher({ crypto: nodeCrypto, key: keys.clientToDevice });
    this.#opener = new ControlCipher({ crypto: nodeCrypto, key: keys.deviceToClient });
    this.#send(handshakePayload(HandshakeStep.finish, encode(proof, { proof: keys.clientProof })));
    this.#onReady();
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
    if (
      source &&
      source.sizeBytes > 0 &&
      upload?.isDone !== true &&
      !(answer as { wasStored: boolean }).wasStored
    ) {
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

  #startBulk(payloadBytes: number): void {
    if (payloadBytes <= HEAD_BYTES) throw new DataError("short", "bulk frame without bytes");
    const padded = new Uint8Array(HEAD_BYTES + 1);
    padded.set(this.#head);
    const { request, offsetBytes } = readBulkHeader(padded);
    const sink = this.#pending.get(request)?.sink;
    if (!sink) throw new DataError("type", "bulk that was not asked for");
    if (offsetBytes !== sink.receivedBytes) throw new DataError("range", "bulk out of order");
    if (payloadBytes - HEAD_BYTES > sink.limitBytes - sink.receivedBytes)
      throw new DataError("long", "more bulk than asked for");
    this.#sink = sink;
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
    if (this.#isClosed) return;
    this.#isClosed = true;
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

function handshakePayload(step: number, body: Uint8Array): Uint8Array {
  const payload = new Uint8Array(2 + body.length);
  payload[0] = PayloadKind.handshake;
  payload[1] = step;
  payload.set(body, 2);
  return payload;
}
