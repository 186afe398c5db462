// SPDX-License-Identifier: MIT
/** A process of its own: many devices that connect, say hello, and from then on only answer pings. */
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import { FRAME_HEADER_BYTES, FrameType, encodeFrame, readFrameHeader } from "../firmware/protocol/frame";
import { MAX_FRAME_BYTES, MIN_MAX_FRAME_BYTES, WIRE_VERSION } from "../firmware/protocol/limits";
import { hello } from "../firmware/protocol/link-messages";
import { encode } from "../firmware/protocol/message";

interface IdleMaterial {
  port: number;
  authority: string;
  key: string;
  chains: string[];
}

const material = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as IdleMaterial;
/** Handshakes at once: enough to keep the relay busy, few enough that none waits for its time limit. */
const AT_ONCE = 20;

async function connectOne(chain: string): Promise<void> {
  const { port, authority, key } = material;
  const socket = connect({ host: "127.0.0.1", port, ca: authority, key, cert: chain });
  socket.on("error", (error: Error) => {
    process.stderr.write(`idle device: ${error.message}\n`);
    process.exitCode = 1;
  });
  let rest = Buffer.alloc(0);
  await new Promise<void>((resolve) => {
    socket.once("secureConnect", () => {
      const greeting = {
        minVersion: WIRE_VERSION,
        maxVersion: WIRE_VERSION,
        maxFrameBytes: MIN_MAX_FRAME_BYTES,
        maxChannels: 4,
        software: "idle",
      };
      socket.write(encodeFrame(FrameType.hello, 0, encode(hello, greeting)));
    });
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const header = readFrameHeader(rest, 0, MAX_FRAME_BYTES);
        const end = FRAME_HEADER_BYTES + (header?.payloadBytes ?? 0);
        if (header === undefined || rest.length < end) return;
        if (header.type === FrameType.welcome) resolve();
        if (header.type === FrameType.ping) {
          socket.write(encodeFrame(FrameType.pong, 0, rest.subarray(FRAME_HEADER_BYTES, end)));
        }
        rest = rest.subarray(end);
      }
    });
  });
}

const waiting = [...material.chains];
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let chain = waiting.pop(); chain !== undefined; chain = waiting.pop()) await connectOne(chain);
  }),
);
process.stdout.write("connected\n");
