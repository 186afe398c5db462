// SPDX-License-Identifier: MIT
/** A relay's inside with sockets and a clock that the test holds: timeouts are instant and exact. */
import { FrameType, encodeFrame, readFrameHeader } from "../firmware/protocol/frame";
import { MAX_FRAME_BYTES } from "../firmware/protocol/limits";
import { heartbeat, hello } from "../firmware/protocol/link-messages";
import { encode } from "../firmware/protocol/message";
import { BufferPool } from "./buffer-pool";
import { Link } from "./link";
import { OutboxPool } from "./outbox";
import { Pairing } from "./pair";
import { TestSocket } from "./test-socket";

export const HELLO = encodeFrame(
  FrameType.hello,
  0,
  encode(hello, { minVersion: 1, maxVersion: 1, maxFrameBytes: 4096, maxChannels: 256, software: "test" }),
);
export const PING = encodeFrame(FrameType.ping, 0, encode(heartbeat, { token: new Uint8Array(8) }));

export class Bench {
  nowMs = 0;
  readonly pool = new OutboxPool();
  readonly ends: string[] = [];
  readonly reasons: number[] = [];
  readonly pairing = new Pairing({
    name: "relay1",
    heartbeatSeconds: 20,
    pool: this.pool,
    nowMs: () => this.nowMs,
    onJoined: () => undefined,
    onChannelClosed: (_channel, reason) => this.reasons.push(reason),
    onLineClosed: () => undefined,
  });
  readonly #frames = new BufferPool({ sizeBytes: 6 + MAX_FRAME_BYTES, maxSpare: 4 });

  connect(role: "device" | "client", name: string): TestSocket {
    const socket = new TestSocket();
    const link = new Link({
      socket: socket.asTls,
      peer: { role, name, serial: "01", expiresAtMs: Infinity, authority: "", revocationKey: "" },
      pool: this.pool,
      frames: this.#frames,
      heartbeatMs: 20_000,
      nowMs: () => this.nowMs,
      onFrame: (...frame) => {
        this.pairing.receive(...frame);
      },
      onEnd: (ended, reason) => {
        this.ends.push(reason);
        this.pairing.remove(ended);
      },
    });
    this.pairing.links.add(link);
    return socket;
  }

  tick(seconds: number): void {
    this.nowMs += seconds * 1000;
    this.pairing.tick(this.nowMs);
  }
}

/** After what is scheduled for this turn of the event loop. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

export function typesIn(socket: TestSocket): number[] {
  const bytes = Buffer.concat(socket.sent);
  const types: number[] = [];
  for (let at = 0; ;) {
    const header = readFrameHeader(bytes, at, MAX_FRAME_BYTES);
    if (!header) return types;
    types.push(header.type);
    at += 6 + header.payloadBytes;
  }
}
