// SPDX-License-Identifier: MIT
/** Discovery on the real Moddable SDK: its sockets, its mDNS and our filter before it; a device that finds the real relay. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type RemoteInfo, type Socket, createSocket } from "node:dgram";

import { BOARD_LIMITS } from "../../firmware/core/device-config";
import { decodeDiscoveryRequest, encodeDiscoveryAnswer } from "../../firmware/protocol/discovery";
import { DeviceClient } from "../../host-tools/remote/device-client";
import { RealRelay } from "../../host-tools/remote/testing/real-devices";
import { testCertificates, testLeaf } from "../../host-tools/remote/testing/test-identities";
import { freeUdpPort } from "../../relay/test-udp-port";
import type { BoardIdentity } from "../sim-network";
import { HOSTILE, announcement } from "./mdns-packets";
import { type ModdableBuild, buildModdable, moddableSdk } from "./moddable-build";
import { ModdableProgram } from "./moddable-program";

const BUILD_MS = 600_000; // cold, beside other work
const RUN_MS = 60_000;
/** As in moddable.test.ts: an ESP32's heap, so that to get there is the proof that it is enough. */
const BOARD_MEMORY = { chunkBytes: 48 * 1024, slots: 3328, stackSlots: 512 };
const FINGERPRINT = new Uint8Array(32).fill(7);

const sdk = moddableSdk();
const title = "discovery on the Moddable SDK";

if (sdk === undefined) describe(title, () => it("not run: no Moddable SDK"));
else
  describe(title, function () {
    this.timeout(RUN_MS);
    let build: ModdableBuild;
    const sockets: Socket[] = [];

    before(async function () {
      this.timeout(BUILD_MS);
      build = await buildModdable(sdk);
    });
    afterEach(() => {
      for (const socket of sockets.splice(0)) socket.close();
    });

    /** A port of this computer, and who answers what comes there. */
    async function listen(
      onDatagram: (datagram: Buffer, from: RemoteInfo, socket: Socket) => void,
    ): Promise<number> {
      const socket = createSocket("udp4");
      sockets.push(socket);
      socket.on("message", (datagram, from) => {
        onDatagram(datagram, from, socket);
      });
      await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
      return socket.address().port;
    }

    async function identity(): Promise<BoardIdentity> {
      const { relayAuthority, deviceAuthority } = await testCertificates();
      const leaf = await testLeaf("device", "cam1");
      return {
        key: leaf.key,
        cert: leaf.certificate + deviceAuthority.certificate,
        ca: relayAuthority.certificate,
      };
    }

    it("finds by both ways, and no packet that is sent to harm it stops or ends it", async () => {
      const port = await listen((datagram, from, socket) => {
        const nonce = decodeDiscoveryRequest(datagram);
        for (const other of [nonce, new Uint8Array(8)])
          socket.send(
            encodeDiscoveryAnswer({ nonce: other, port: 4433, name: "home", fingerprint: FINGERPRINT }),
            from.port,
            from.address,
          );
      });
      const asked: string[] = [];
      const mdnsPort = await listen((datagram, from, socket) => {
        asked.push(datagram.toString("latin1"));
        const options = { instance: "r-1", address: [192, 0, 2, 7], port: 4434 } as const;
        const packets = [
          ...HOSTILE.map(([, packet]) => packet),
          announcement({ ...options, txt: ["v=1", "name=attic", "fp=00", "sas=aa"] }),
        ];
        for (const packet of packets) socket.send(packet, from.port, from.address);
      });
      const program = await ModdableProgram.start(
        build,
        {
          name: "discovery",
          suite: "discovery",
          identity: await identity(),
          discovery: { port, mdnsPort, timeoutMs: 2000 },
        },
        BOARD_MEMORY,
      );
      assert.equal(await program.ended, 0, program.lines.join("\n"));
      assert.deepEqual(program.lines.sort(), [
        "found 127.0.0.1:4433 home",
        "found 127.0.0.1:4434 attic",
        "found 192.0.2.7:4434 attic",
      ]);
      assert.ok(asked.every((question) => question.includes("\x07_coffer\x04_tcp\x05local")));
    });

    it("a device without a relay's address finds the real one among impostors, and a client reaches it", async () => {
      const discoveryPort = await freeUdpPort();
      // Not for the address that the device finds: what counts is the name.
      const leaf = await testLeaf("relay", "relay1", { hosts: ["localhost"] });
      const relay = await RealRelay.start({ discoveryPort, leaf });
      const other = await RealRelay.start();
      // Passes the question on to the relay and its answer back, as a broadcast would reach both; its own answers come first.
      let asker: RemoteInfo | undefined;
      const port = await listen((datagram, from, socket) => {
        if (from.port === discoveryPort) {
          if (asker) socket.send(datagram, asker.port, asker.address);
          return;
        }
        asker = from;
        const nonce = decodeDiscoveryRequest(datagram);
        // A relay of ours under another name, and a place where nobody is.
        for (const [lie, name] of [
          [other.address.port, "relay2"],
          [1, "relay1"],
        ] as const)
          socket.send(
            encodeDiscoveryAnswer({ nonce, port: lie, name, fingerprint: FINGERPRINT }),
            from.port,
            from.address,
          );
        socket.send(datagram, discoveryPort, "127.0.0.1");
      });
      const mdnsPort = await listen(() => undefined);
      const pairingSecret = randomBytes(32);
      const program = await ModdableProgram.start(
        build,
        {
          name: "found",
          suite: "device",
          identity: await identity(),
          discovery: { port, mdnsPort, timeoutMs: 0 },
          device: {
            name: "cam1",
            pairingSecret: pairingSecret.toString("hex"),
            limits: BOARD_LIMITS,
            maxFragmentBytes: 4096,
          },
        },
        BOARD_MEMORY,
      );
      try {
        await program.line("state online");
        const said = program.lines.join("\n");
        assert.match(said, /certificate is refused: it is not the relay relay2's/);
        assert.match(said, /127\.0\.0\.1:1 does not answer/);
        const lines = (await openAndRead(pairingSecret)).join("\n");
        assert.match(lines, /uplink: online at 127\.0\.0\.1:\d+ \(relay relay1\)/);
      } finally {
        await program.stop();
        await Promise.all([relay.stop(), other.stop()]);
        relay.remove();
        other.remove();
      }

      async function openAndRead(secret: Uint8Array): Promise<string[]> {
        const { client: own } = await testCertificates();
        const client = await DeviceClient.open({
          relay: { ...relay.address, host: "localhost" },
          identity: own,
          device: "cam1",
          pairingSecret: secret,
        });
        try {
          return (await client.deviceLog(0)).lines.map(({ text }) => text);
        } finally {
          await client.close();
        }
      }
    });
  });
