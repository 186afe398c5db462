// SPDX-License-Identifier: MIT
/** A client of the device under test, byte by byte: what it sends can be held back, changed, repeated or swapped. */
import assert from "node:assert/strict";
import { nodeCrypto } from "../../firmware/platform/node/node-crypto";
import { FRAME_HEADER_BYTES, FrameType, encodeFrame } from "../../firmware/protocol/frame";
import * as link from "../../firmware/protocol/link-messages";
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
  writeBulkHeader,
} from "../../firmware/protocol/session";
import {
  ANSWER_BIT,
  FAILURE,
  PUT_READY,
  decodeControl,
  encodeControl,
  failure,
  putReady,
} from "../../firmware/protocol/verbs";
import type { Control, Failure, Verb } from "../../firmware/protocol/verbs";
import { DEVICE, SECRET } from "./device-bench";
import type { DeviceBench } from "./device-bench";

export class ClientBench {
  readonly channel: number;
  readonly bench: DeviceBench;
  /** What the device may still be sent. */
  creditBytes = 0;
  /** Whether credit is granted for what arrives. */
  isReading = true;
  maxRequests = 0;
  readonly controls: Control[] = [];
  readonly bulk = new Map<number, Uint8Array[]>();
  /** Frames of the device on this channel, in the order of their arrival. */
  receivedFrames = 0;
  closedReason: number | undefined;
  #out: ControlCipher | undefined;
  #in: ControlCipher | undefined;

  constructor(bench: DeviceBench, channel: number, options: Partial<link.Open> = {}) {
    this.bench = bench;
    this.channel = channel;
    const opened = bench.open(channel, options);
    assert.ok(opened.accept, `the device refused: ${String(opened.closed)}`);
    this.creditBytes = opened.accept.creditBytes;
  }

  /** A client whose session is open. */
  static paired(bench: DeviceBench, channel: number, options: Partial<link.Open> = {}): ClientBench {
    const client = new ClientBench(bench, channel, options);
    client.handshake();
    assert.equal(client.closedReason, undefined, "closed");
    return client;
  }

  /** Returns whether the device's proof was right. */
  handshake(
    options: { secret?: Uint8Array; pairing?: Uint8Array; name?: string; finish?: Uint8Array } = {},
  ): boolean {
    const { secret = SECRET, name = DEVICE } = options;
    const nonce = new Uint8Array(32).fill(this.channel);
    const asked = {
      minVersion: 1,
      maxVersion: 1,
      pairing: options.pairing ?? pairingId(nodeCrypto, secret),
      nonce,
    };
    this.#sendHandshake(HandshakeStep.init, encode(init, asked));
    const frame = this.bench.relay.take(FrameType.data, this.channel);
    this.collect();
    if (!frame) return false;
    this.#grant(frame.payload.length);
    const fields = frame.payload.subarray(2, frame.payload.length - 32);
    const answer = decode(reply, fields);
    const keys = deriveSessionKeys(nodeCrypto, secret, name, asked, answer);
    const isGenuine = isEqual(frame.payload.subarray(frame.payload.length - 32), keys.deviceProof);
    this.maxRequests = answer.maxRequests;
    this.#out = new ControlCipher({ crypto: nodeCrypto, key: keys.clientToDevice });
    this.#in = new ControlCipher({ crypto: nodeCrypto, key: keys.deviceToClient });
    this.#sendHandshake(HandshakeStep.finish, options.finish ?? encode(proof, { proof: keys.clientProof }));
    this.collect();
    return isGenuine;
  }

  #sendHandshake(step: number, fields: Uint8Array): void {
    const payload = new Uint8Array(2 + fields.length);
    payload[0] = PayloadKind.handshake;
    payload[1] = step;
    payload.set(fields, 2);
    this.sendPayload(payload);
  }

  sendPayload(payload: Uint8Array): void {
    this.creditBytes -= FRAME_HEADER_BYTES + payload.length;
    this.bench.relay.deliver(encodeFrame(FrameType.data, this.channel, payload));
    this.collect();
  }

  /** A sealed request that was not sent yet. */
  seal<Request, Answer>(verb: Verb<Request, Answer>, number: number, request: Request): Uint8Array {
    assert.ok(this.#out, "no session");
    return this.#out.seal(encodeControl(verb.type, number, verb.request, request));
  }

  ask<Request, Answer>(verb: Verb<Request, Answer>, number: number, request: Request): void {
    this.sendPayload(this.seal(verb, number, request));
  }

  /** Asks and lets the device work until it has answered or rests. */
  request<Request, Answer>(verb: Verb<Request, Answer>, number: number, request: Request): Answer | Failure {
    this.ask(verb, number, request);
    return this.answer(verb, number);
  }

  answer<Request, Answer>(verb: Verb<Request, Answer>, number: number): Answer | Failure {
    const found = this.control(number);
    assert.ok(found, `no answer; closed: ${String(this.closedReason)}`);
    if (found.type === FAILURE) return decode(failure, found.body);
    assert.equal(found.type, verb.type | ANSWER_BIT);
    return decode(verb.answer, found.body);
  }

  /** Where an upload goes on. */
  ready(number: number): number {
    const found = this.control(number);
    assert.equal(found?.type, PUT_READY, `not ready: ${String(found?.type)}`);
    return decode(putReady, found.body).offsetBytes;
  }

  control(number: number): Control | undefined {
    this.collect();
    const at = this.controls.findIndex((control) => control.request === number);
    return at < 0 ? undefined : this.controls.splice(at, 1)[0];
  }

  sendBulk(number: number, offsetBytes: number, bytes: Uint8Array): void {
    const payload = new Uint8Array(BULK_HEADER_BYTES + bytes.length);
    writeBulkHeader(payload, 0, { request: number, offsetBytes });
    payload.set(bytes, BULK_HEADER_BYTES);
    this.sendPayload(payload);
  }

  /** Sends a blob from `from`, keeping to the credit. */
  upload(number: number, bytes: Uint8Array, from: number, to = bytes.length): void {
    for (let at = from; at < to && this.closedReason === undefined;) {
      const end = Math.min(to, at + 4000);
      if (this.creditBytes < end - at + FRAME_HEADER_BYTES + BULK_HEADER_BYTES) {
        this.bench.turns.run();
        this.collect();
        assert.ok(
          this.creditBytes >= end - at + FRAME_HEADER_BYTES + BULK_HEADER_BYTES,
          "no credit came back",
        );
      }
      this.sendBulk(number, at, bytes.subarray(at, end));
      at = end;
    }
  }

  grant(bytes: number): void {
    this.bench.relay.send(FrameType.credit, this.channel, link.credit, { bytes });
    this.collect();
  }

  #grant(payloadBytes: number): void {
    if (this.isReading)
      this.bench.relay.send(FrameType.credit, this.channel, link.credit, {
        bytes: FRAME_HEADER_BYTES + payloadBytes,
      });
  }

  /** Takes what the device has sent on this channel. */
  collect(): void {
    const { relay } = this.bench;
    for (
      let frame = relay.take(FrameType.credit, this.channel);
      frame;
      frame = relay.take(FrameType.credit, this.channel)
    ) {
      this.creditBytes += decode(link.credit, frame.payload).bytes;
    }
    if (this.#in) {
      for (
        let frame = relay.take(FrameType.data, this.channel);
        frame;
        frame = relay.take(FrameType.data, this.channel)
      ) {
        this.#take(frame.payload);
      }
    }
    this.closedReason = this.bench.closed(this.channel) ?? this.closedReason;
  }

  #take(payload: Uint8Array): void {
    this.receivedFrames++;
    if (payload[0] === PayloadKind.bulk) {
      const { request, offsetBytes } = readBulkHeader(payload);
      const pieces = this.bulk.get(request) ?? [];
      assert.equal(
        offsetBytes,
        pieces.reduce((sum, piece) => sum + piece.length, 0),
        "bulk out of order",
      );
      pieces.push(payload.slice(BULK_HEADER_BYTES));
      this.bulk.set(request, pieces);
    } else {
      assert.equal(payload[0], PayloadKind.control);
      assert.ok(this.#in);
      const control = decodeControl(this.#in.open(payload));
      this.controls.push({ ...control, body: control.body.slice() });
    }
    this.#grant(payload.length);
  }

  bytesOf(number: number): Uint8Array {
    return new Uint8Array(Buffer.concat(this.bulk.get(number) ?? []));
  }
}
