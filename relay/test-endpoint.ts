// SPDX-License-Identifier: MIT
/** A device or client for the relay's tests: real TLS, frames in and out, and no manners of its own. */
import { type ConnectionOptions, type TLSSocket, connect } from "node:tls";
import { FRAME_HEADER_BYTES, FrameType, encodeFrame, readFrameHeader } from "../firmware/protocol/frame";
import { MAX_FRAME_BYTES } from "../firmware/protocol/limits";
import {
  type Accept,
  type Hello,
  type Open,
  type Welcome,
  accept,
  close,
  credit,
  goAway,
  hello,
  open,
  welcome,
} from "../firmware/protocol/link-messages";
import { type Field, decode, encode } from "../firmware/protocol/message";
import type { TestIdentity } from "./test-authority";

export interface Frame {
  type: number;
  channel: number;
  payload: Buffer;
}

const WAIT_MS = 8000;

export class TestEndpoint {
  readonly socket: TLSSocket;
  /** Frames that nobody has waited for yet, in order. */
  readonly frames: Frame[] = [];
  /** Data received since the start, with headers. */
  dataBytes = 0;
  isClosed = false;
  closeError: Error | undefined;
  /** Answers pings and counts data away instead of keeping it. */
  isPolite = true;
  countsData = false;
  onData: ((frame: Frame) => void) | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #wake: (() => void)[] = [];

  constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#receive(chunk);
    });
    socket.on("error", (error: Error) => {
      this.closeError = error;
    });
    socket.on("close", () => {
      this.isClosed = true;
      this.#notify();
    });
  }

  static async connect(
    port: number,
    authority: string,
    identity: TestIdentity | undefined,
    options: ConnectionOptions = {},
  ): Promise<TestEndpoint> {
    const own = identity ? { cert: identity.certificate, key: identity.key } : {};
    const socket = connect({ host: "127.0.0.1", port, ca: authority, ...own, ...options });
    socket.setNoDelay();
    const endpoint = new TestEndpoint(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
      socket.once("close", () => {
        reject(new Error("closed during the handshake"));
      });
    });
    return endpoint;
  }

  sendRaw(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  send<T>(type: number, channel: number, field: Field<T>, message: T): void {
    this.sendRaw(encodeFrame(type, channel, encode(field, message)));
  }

  sendData(channel: number, payload: Uint8Array): void {
    this.sendRaw(encodeFrame(FrameType.data, channel, payload));
  }

  /** Sends hello and waits for welcome. */
  async hello(changes: Partial<Hello> = {}): Promise<Welcome> {
    const message = {
      minVersion: 1,
      maxVersion: 1,
      maxFrameBytes: MAX_FRAME_BYTES,
      maxChannels: 256,
      software: "test",
    };
    this.send(FrameType.hello, 0, hello, { ...message, ...changes });
    return decode(welcome, (await this.next(FrameType.welcome)).payload);
  }

  open(channel: number, changes: Partial<Open> = {}): void {
    this.send(FrameType.open, channel, open, {
      peer: "cam1",
      creditBytes: 1 << 20,
      maxFrameBytes: MAX_FRAME_BYTES,
      ...changes,
    });
  }

  accept(channel: number, changes: Partial<Accept> = {}): void {
    this.send(FrameType.accept, channel, accept, {
      creditBytes: 1 << 20,
      maxFrameBytes: MAX_FRAME_BYTES,
      ...changes,
    });
  }

  grant(channel: number, bytes: number): void {
    this.send(FrameType.credit, channel, credit, { bytes });
  }

  close(channel: number, reason = 0): void {
    this.send(FrameType.close, channel, close, { reason });
  }

  /** The next frame of one of these types; others before it stay where they are. */
  async next(...types: number[]): Promise<Frame> {
    return this.until(
      () => {
        const at = this.frames.findIndex(({ type }) => types.includes(type));
        return at < 0 ? undefined : this.frames.splice(at, 1)[0];
      },
      `a frame of type ${types.join(" or ")}`,
    );
  }

  async nextReason(type: number): Promise<number> {
    const { payload } = await this.next(type);
    return type === FrameType.goAway ? decode(goAway, payload).reason : decode(close, payload).reason;
  }

  async closed(): Promise<void> {
    await this.until(() => (this.isClosed ? true : undefined), "the end of the connection", true);
  }

  /** Looks again whenever something has arrived. */
  async until<T>(look: () => T | undefined, what: string, isClosedFine = false): Promise<T> {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.isClosed && !isClosedFine) throw new Error(`closed while waiting for ${what}`);
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new Error(`timed out waiting for ${what}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  destroy(): void {
    this.socket.destroy();
  }

  #receive(chunk: Buffer): void {
    let bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    for (;;) {
      const header = readFrameHeader(bytes, 0, MAX_FRAME_BYTES);
      const size = FRAME_HEADER_BYTES + (header?.payloadBytes ?? 0);
      if (!header || bytes.length < size) break;
      this.#frame({
        type: header.type,
        channel: header.channel,
        payload: bytes.subarray(FRAME_HEADER_BYTES, size),
      });
      bytes = bytes.subarray(size);
    }
    this.#rest = bytes;
    this.#notify();
  }

  #frame(frame: Frame): void {
    if (frame.type === FrameType.data) this.dataBytes += FRAME_HEADER_BYTES + frame.payload.length;
    if (frame.type === FrameType.ping && this.isPolite) {
      this.sendRaw(encodeFrame(FrameType.pong, 0, frame.payload));
      return;
    }
    if (frame.type === FrameType.data && this.onData) this.onData(frame);
    if (frame.type !== FrameType.data || !this.countsData) this.frames.push(frame);
  }

  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
