// SPDX-License-Identifier: MIT
/**
 * A relay with devices behind it in one: real TLS on loopback, the link spoken by hand, so that a test can change, drop,
 * repeat and reorder any frame on its way, in both directions, and cut the link anywhere.
 */

import type { AddressInfo, Socket } from "node:net";
import { type Server, type TLSSocket, createServer } from "node:tls";
import {
  FRAME_HEADER_BYTES,
  FrameType,
  encodeFrame,
  readFrameHeader,
} from "../../../firmware/protocol/frame";
import * as messages from "../../../firmware/protocol/link-messages";
import { type Field, decode, encode } from "../../../firmware/protocol/message";
import type { CertifiedKey } from "../../certs/certificate";
import type { RelayAddress } from "../relay-tls";
import { MemoryDevice, type MemoryStore } from "./memory-device";
import { testCertificates } from "./test-identities";

export interface TestFrame {
  type: number;
  channel: number;
  payload: Buffer;
}

/** What becomes of a frame: the frames that go on in its place. */
export type Tamper = (frame: TestFrame, direction: "toClient" | "toDevice", link: TestLink) => TestFrame[];

export interface TestPeerOptions {
  stores?: MemoryStore[];
  relay?: CertifiedKey;
  /** Credit that each channel's device grants. */
  windowBytes?: number;
  maxFrameBytes?: number;
  maxChannels?: number;
  heartbeatSeconds?: number;
}

export class TestPeer {
  /** Open at once on one connection. */
  peakChannels = 0;
  readonly stores: Map<string, MemoryStore>;
  readonly links = new Set<TestLink>();
  readonly options: TestPeerOptions;
  /** Every frame that passed, for tests that look. */
  tamper: Tamper = (frame) => [frame];
  /** Overrides the answer to an open: a close with this reason. */
  refuseOpen: (device: string, link: TestLink) => number | undefined = () => undefined;
  isMute = false;
  resumedHandshakes = 0;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  address: RelayAddress = { host: "127.0.0.1", port: 0 };

  private constructor(options: TestPeerOptions) {
    this.options = options;
    this.stores = new Map((options.stores ?? []).map((store) => [store.name, store]));
  }

  static async start(options: TestPeerOptions = {}): Promise<TestPeer> {
    const peer = new TestPeer(options);
    await peer.listen(0);
    return peer;
  }

  async listen(port: number): Promise<void> {
    const { relay, relayAuthority, deviceAuthority } = await testCertificates();
    const identity = this.options.relay ?? relay;
    const server = createServer({
      key: identity.key,
      cert: identity.certificate + relayAuthority.certificate,
      ca: deviceAuthority.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    });
    // Connections whose handshake is under way, too: a stopped peer is gone for everybody.
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.on("secureConnection", (socket) => {
      if (socket.isSessionReused()) this.resumedHandshakes++;
      this.links.add(new TestLink(this, socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
    this.#server = server;
    this.address = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  }

  /** Cuts every link, as a crash would. */
  cut(): void {
    for (const link of this.links) link.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => {
      if (this.#server)
        this.#server.close(() => {
          resolve();
        });
      else resolve();
    });
    this.#server = undefined;
  }
}

interface TestChannel {
  device: MemoryDevice;
  /** What the device may still send, and what it has to. */
  creditBytes: number;
  queue: Buffer[];
  takenBytes: number;
}

export class TestLink {
  readonly socket: TLSSocket;
  readonly #peer: TestPeer;
  readonly #channels = new Map<number, TestChannel>();
  #rest: Buffer = Buffer.alloc(0);
  frames = 0;

  constructor(peer: TestPeer, socket: TLSSocket) {
    this.#peer = peer;
    this.socket = socket;
    socket.on("error", () => undefined);
    socket.on("close", () => peer.links.delete(this));
    socket.on("data", (bytes: Buffer) => {
      try {
        this.#receive(bytes);
      } catch {
        // What a test's own tampering did to the way here: a relay would hang up, too.
        this.destroy();
      }
    });
  }

  destroy(): void {
    this.socket.destroy();
  }

  send<T>(type: number, channel: number, field: Field<T>, value: T): void {
    this.sendFrame({ type, channel, payload: Buffer.from(encode(field, value)) });
  }

  sendFrame(frame: TestFrame): void {
    if (this.#peer.isMute) return;
    for (const { type, channel, payload } of this.#peer.tamper(frame, "toClient", this)) {
      if (!this.socket.destroyed) this.socket.write(encodeFrame(type, channel, payload));
    }
  }

  closeChannel(id: number, reason: number): void {
    if (this.#channels.delete(id)) this.send(FrameType.close, id, messages.close, { reason });
  }

  /** Ends every channel, as when the device has lost its link. */
  loseDevice(): void {
    for (const id of [...this.#channels.keys()]) this.closeChannel(id, messages.CloseReason.peerLost);
  }

  #receive(bytes: Buffer): void {
    this.#rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes;
    for (;;) {
      const header = readFrameHeader(this.#rest, 0, 16378);
      const end = FRAME_HEADER_BYTES + (header?.payloadBytes ?? 0);
      if (!header || this.#rest.length < end) return;
      const frame = {
        type: header.type,
        channel: header.channel,
        payload: this.#rest.subarray(FRAME_HEADER_BYTES, end),
      };
      this.#rest = this.#rest.subarray(end);
      for (const taken of this.#peer.tamper(frame, "toDevice", this)) this.#take(taken);
    }
  }

  #take({ type, channel: id, payload }: TestFrame): void {
    const { options, stores } = this.#peer;
    if (this.#peer.isMute) return;
    const channel = this.#channels.get(id);
    switch (type) {
      case FrameType.hello:
        decode(messages.hello, payload);
        this.send(FrameType.welcome, 0, messages.welcome, {
          version: 1,
          maxFrameBytes: 16378,
          heartbeatSeconds: options.heartbeatSeconds ?? 20,
          unixMs: Date.now(),
          relay: "relay1",
        });
        return;
      case FrameType.ping:
        this.sendFrame({ type: FrameType.pong, channel: 0, payload });
        return;
      case FrameType.listDevices: {
        const { after } = decode(messages.listDevices, payload);
        const names = [...stores.keys()].filter((name) => name > after).sort();
        const page = names.slice(0, 2).map((name) => ({ name, since: 1, software: "test" }));
        this.send(FrameType.devices, 0, messages.devices, { more: names.length > 2 ? 1 : 0, devices: page });
        return;
      }
      case FrameType.open:
        this.#open(id, decode(messages.open, payload));
        return;
      case FrameType.credit:
        if (!channel) return;
        channel.creditBytes += decode(messages.credit, payload).bytes;
        this.#flush(id, channel);
        return;
      case FrameType.close:
        if (this.#channels.delete(id)) this.send(FrameType.close, id, messages.close, { reason: 0 });
        return;
      case FrameType.data:
        if (channel) this.#data(id, channel, payload);
        return;
    }
  }

  #open(id: number, { peer, creditBytes, maxFrameBytes }: messages.Open): void {
    const { options, stores } = this.#peer;
    const store = stores.get(peer);
    const isFull = this.#channels.size >= (options.maxChannels ?? 64);
    const refused = this.#peer.refuseOpen(peer, this) ?? (isFull ? messages.CloseReason.busy : undefined);
    if (!store || refused !== undefined) {
      this.send(FrameType.close, id, messages.close, {
        reason: refused ?? messages.CloseReason.unknownDevice,
      });
      return;
    }
    const channel: TestChannel = {
      device: new MemoryDevice(store, (payload) => {
        channel.queue.push(Buffer.from(payload));
      }),
      creditBytes,
      queue: [],
      takenBytes: 0,
    };
    channel.device.maxPayloadBytes = maxFrameBytes;
    this.#channels.set(id, channel);
    this.#peer.peakChannels = Math.max(this.#peer.peakChannels, this.#channels.size);
    const { windowBytes = 65536, maxFrameBytes: takes = 4096 } = options;
    this.send(FrameType.accept, id, messages.accept, { creditBytes: windowBytes, maxFrameBytes: takes });
  }

  #data(id: number, channel: TestChannel, payload: Buffer): void {
    try {
      channel.device.take(payload);
    } catch {
      this.closeChannel(id, messages.CloseReason.protocol);
      return;
    }
    this.#flush(id, channel);
    channel.takenBytes += FRAME_HEADER_BYTES + payload.length;
    if (channel.takenBytes * 2 >= (this.#peer.options.windowBytes ?? 65536)) {
      this.send(FrameType.credit, id, messages.credit, { bytes: channel.takenBytes });
      channel.takenBytes = 0;
    }
  }

  #flush(id: number, channel: TestChannel): void {
    for (let next = channel.queue[0]; next; next = channel.queue[0]) {
      const cost = FRAME_HEADER_BYTES + next.length;
      if (cost > channel.creditBytes) return;
      channel.queue.shift();
      channel.creditBytes -= cost;
      this.sendFrame({ type: FrameType.data, channel: id, payload: next });
    }
  }
}
