// SPDX-License-Identifier: MIT
/** Somebody who has the relay's key and sends what no honest relay sends: one sentence, a status, nothing lost. */
import { randomBytes } from "node:crypto";
import { type Server, type TLSSocket, createServer } from "node:tls";
import { FrameType, encodeFrame } from "../../firmware/protocol/frame";
import { CloseReason, close, devices, welcome } from "../../firmware/protocol/link-messages";
import { MAX_FRAME_BYTES } from "../../firmware/protocol/limits";
import { encode } from "../../firmware/protocol/message";
import type { ExitStatusName } from "../../host-tools/exit-status";
import { State } from "../../host-tools/state";
import { requireRefused } from "./refused";
import { World } from "./world";

const goodWelcome = encode(welcome, {
  version: 1,
  maxFrameBytes: MAX_FRAME_BYTES,
  heartbeatSeconds: 20,
  unixMs: 1_700_000_000_000,
  relay: "relay",
});

const frame = encodeFrame.bind(undefined);

const attacks: Readonly<Record<string, readonly [ExitStatusName, (socket: TLSSocket) => void]>> = {
  "random bytes": [
    "protocolViolation",
    (socket) => socket.write(Buffer.concat([Buffer.alloc(2, 0xff), randomBytes(5000)])),
  ],
  "a frame longer than any": [
    "protocolViolation",
    (socket) => socket.write(Buffer.from([FrameType.welcome, 0, 0, 0, 0xff, 0xff])),
  ],
  "a welcome that is cut short": [
    "protocolViolation",
    (socket) => socket.write(frame(FrameType.welcome, 0, goodWelcome.subarray(0, 5))),
  ],
  "a version that nobody asked for": [
    "protocolVersion",
    (socket) => socket.write(frame(FrameType.welcome, 0, Uint8Array.from(goodWelcome).fill(99, 0, 1))),
  ],
  "data on a channel that is not open": [
    "protocolViolation",
    (socket) => {
      socket.write(frame(FrameType.welcome, 0, goodWelcome));
      socket.write(frame(FrameType.data, 77, randomBytes(100)));
    },
  ],
  "a second welcome": [
    "protocolViolation",
    (socket) => {
      for (let i = 0; i < 2; i += 1) socket.write(frame(FrameType.welcome, 0, goodWelcome));
    },
  ],
  "an unknown frame": [
    "protocolViolation",
    (socket) => {
      socket.write(frame(FrameType.welcome, 0, goodWelcome));
      socket.write(frame(0x7e, 0, randomBytes(10)));
    },
  ],
  "a device whose name clears the terminal": [
    "protocolViolation",
    (socket) => {
      socket.write(frame(FrameType.welcome, 0, goodWelcome));
      const name = "aaaa";
      const listed = encode(devices, { more: 0, devices: [{ name, since: 1, software: "x" }] });
      const at = Buffer.from(listed).indexOf(name);
      socket.write(frame(FrameType.devices, 0, Uint8Array.from(listed).fill(0x1b, at, at + 1)));
    },
  ],
  "a hang-up at once": ["certificateForeign", (socket) => socket.destroy()],
  "a refusal of the very device": [
    "deviceOffline",
    (socket) => {
      socket.write(frame(FrameType.welcome, 0, goodWelcome));
      const listed = encode(devices, { more: 0, devices: [{ name: "cam1", since: 1, software: "x" }] });
      socket.on("data", (bytes: Buffer) => {
        if (bytes[0] === FrameType.listDevices) socket.write(frame(FrameType.devices, 0, listed));
        const reason = CloseReason.deviceOffline;
        if (bytes[0] === FrameType.open)
          socket.write(frame(FrameType.close, bytes.readUInt16BE(2), encode(close, { reason })));
      });
    },
  ],
};

describe("a hostile relay", function () {
  this.timeout(60_000);
  let world: World;
  let server: Server;
  let attack: (socket: TLSSocket) => void = () => undefined;

  before(async () => {
    world = await World.create();
    const { key, chain, ca } = await new State(world.home).loadIdentity("relay", "relay");
    server = createServer(
      { key, cert: chain, ca, requestCert: true, rejectUnauthorized: false },
      (socket) => {
        socket.on("error", () => undefined);
        // After the client's hello, as an honest relay would.
        socket.once("data", () => {
          attack(socket);
        });
      },
    );
    await new Promise<void>((done) => server.listen(world.port, "127.0.0.1", done));
  });
  after(async () => {
    await new Promise((done) => server.close(done));
    await world.close();
  });

  for (const [what, [kind, run]] of Object.entries(attacks))
    it(`that sends ${what}`, async () => {
      attack = run;
      const finished = await world.coffer(["ls", "--device", "cam1"], {
        environment: { COFFER_PATIENCE: "1" },
      });
      requireRefused(finished, kind, /relay|cam1/);
    });
});
