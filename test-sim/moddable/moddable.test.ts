// SPDX-License-Identifier: MIT
/**
 * The firmware on the real Moddable SDK (x-cli-lin: the engine, TLS, timers and our C, without a window), when $MODDABLE
 * names one.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";

import { BOARD_LIMITS } from "../../firmware/core/device-config";
import { Trouble } from "../../firmware/protocol/trouble";
import { certificateFixtures, playedRelay } from "../../host-tools/test/certificates";
import { type RunningPeer, startNetworkPeer } from "../conformance/network-peer";
import { SessionCache } from "../../relay/session-cache";
import { TcpProxy } from "../e2e/tcp-proxy";
import { projectRoot } from "../project-root";
import type { ProtocolVectors } from "../protocol/protocol-vectors";
import type { BoardIdentity } from "../sim-network";
import { BoardBehindRelay, boardMemory } from "./board-behind-relay";
import { impostors } from "./impostors";
import { type ModdableImage, linkImage } from "./moddable-image";
import { RecordProxy } from "./record-proxy";
import { type ModdableBuild, buildModdable, checkModdableTypes, moddableSdk } from "./moddable-build";
import { WINDOWS_COMPILER, checkModdableC, installed } from "./moddable-c";
import { ModdableProgram, type RunOptions } from "./moddable-program";

const BUILD_MS = 600_000; // cold, beside other work
const RUN_MS = 120_000;
const BLOB_BYTES = 8 * 1024 * 1024;
const STREAM_BYTES = 64 * 1024 * 1024;
/** With 16 bytes a slot, as on ESP32, these are 110 KiB: less than a board has. */
const SMALL_MEMORY = { chunkBytes: 48 * 1024, slots: 3328, stackSlots: 512 };

const sdk = moddableSdk();
const title = "on the Moddable SDK";

if (sdk === undefined) describe(title, () => it("not run: no Moddable SDK"));
else
  describe(title, function () {
    this.timeout(RUN_MS);
    let build: ModdableBuild;
    let peer: RunningPeer;

    before(async function () {
      this.timeout(BUILD_MS);
      build = await buildModdable(sdk);
      peer = await startNetworkPeer();
    });

    after(async () => {
      await peer.close();
    });

    it("everything that runs there type-checks against the SDK's typings", async () => {
      assert.equal(await checkModdableTypes(sdk), "");
    });

    it("our C compiles with every warning an error", async () => {
      assert.equal(await checkModdableC(sdk, build.generated, "linux"), "");
    });

    for (const platform of ["lin", "mac"] as const)
      it(`the simulator's image for ${platform} links`, async function () {
        this.timeout(BUILD_MS);
        assert.equal((await linkImage(sdk, platform)).said, "");
      });

    it("the simulator's image for win links, and our C compiles for it with every warning an error", async function () {
      this.timeout(BUILD_MS);
      const { said, generated } = await linkImage(sdk, "win");
      assert.equal(said, "");
      if ((await installed(WINDOWS_COMPILER)).length === 0) this.skip();
      assert.equal(await checkModdableC(sdk, generated, "windows"), "");
    });

    describe("the image for ESP32, without ESP-IDF", function () {
      this.timeout(BUILD_MS);
      let image: ModdableImage;
      const made = (name: string): string => readFileSync(join(image.generated, name), "utf8");

      before(async () => {
        image = await linkImage(sdk, "esp32");
      });

      it("links, with the device's identity in it", () => {
        assert.equal(image.said, "");
        const resources = made("mc.resources.c");
        for (const name of ["relay-authority.der", "device.der", "device-key.der", "device.json"])
          assert.ok(resources.includes(name), name);
      });

      it("our C compiles for it with every warning an error", async () => {
        assert.equal(await checkModdableC(sdk, image.generated, "esp32"), "");
      });

      it("gives ESP-IDF our settings, the last word on each, and our partitions", () => {
        const settings = made("xsProj-esp32/sdkconfig.mc").split("\n");
        for (const line of ownSettings()) {
          const [name = "", value] = line.split("=");
          const last = settings.filter((one) => one.startsWith(`${name}=`)).at(-1);
          // mcconfig leaves nothing after the sign when it turns off what the SDK turned on.
          assert.ok(
            last === line || (value === "n" && last === `${name}=`),
            `${line}, found ${String(last)}`,
          );
        }
        assert.equal(
          made("xsProj-esp32/partitions.csv"),
          readFileSync(join(projectRoot(), SETTINGS, "partitions.csv"), "utf8"),
        );
      });

      it("asks for the parts of ESP-IDF that our C includes", () => {
        const parts = made("xs_idf_deps.txt").split(/[\s()]+/);
        for (const part of ["fatfs", "sdmmc", "esp_driver_sdmmc", "vfs", "mbedtls"])
          assert.ok(parts.includes(part), part);
        const flags = made("makefile")
          .split("\n")
          .find((line) => line.startsWith("C_FLAGS_SUBPLATFORM = "));
        for (const folder of ["esp_driver_sdspi", "mbedtls/port", "esp_hal_security"])
          assert.ok(flags?.includes(`\t-I\${IDF_PATH}/components/${folder}/include\t`), folder);
      });
    });

    for (const suite of ["storage", "crypto", "system", "network", "store", "medium"] as const)
      it(`the ${suite} checks pass`, async () => {
        const lines = await runSuite({ name: suite, suite, identity: peer.identity, peer: peer.peer });
        assert.ok(lines.length >= 5, "too few checks ran");
      });

    it("the protocol passes its vectors and a fuzz", async () => {
      const { identity } = peer;
      await runSuite({
        name: "protocol",
        suite: "protocol",
        identity,
        vectors: loadVectors(),
        fuzzRounds: 100,
      });
    });

    it("no impostor gets a connection, a plain byte, or the machine down", async () => {
      const { leafs, authorities } = await certificateFixtures();
      const chain = { leaf: leafs.relay.certificate, authority: authorities.relay.certificate };
      const running = await Promise.all(impostors.map((impostor) => impostor.start(chain)));
      const program = await ModdableProgram.start(build, {
        name: "impostors",
        suite: "connections",
        identity: peer.identity,
        ports: running.map(({ port }) => port),
      });
      assert.equal(await program.ended, 0, program.lines.join("\n"));
      const outcomes = program.lines.filter((line) => line.startsWith("outcome "));
      assert.equal(outcomes.length, impostors.length);
      impostors.forEach(({ name }, index) => {
        assert.match(outcomes[index] ?? "", /^outcome (certificate|rejected): /, name);
        assert.deepEqual(running[index]?.heard, [], name);
      });
      await Promise.all(running.map((one) => one.close()));
    });

    it("a second connection resumes the session of the first", async () => {
      const isReused: boolean[] = [];
      const server = createServer(await playedRelay(), (socket) => {
        socket.on("error", () => undefined).resume();
        isReused.push(socket.isSessionReused());
      });
      new SessionCache().attach(server);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as AddressInfo;
      const program = await ModdableProgram.start(build, {
        name: "resumption",
        suite: "connections",
        identity: peer.identity,
        ports: [port, port, port],
      });
      assert.equal(await program.ended, 0, program.lines.join("\n"));
      assert.deepEqual(program.lines, ["outcome connected", "outcome connected", "outcome connected"]);
      assert.deepEqual(isReused, [false, true, true]);
      await new Promise((resolve) => server.close(resolve));
    });

    it("a relay is found by its name, and its certificate has to be for it", async () => {
      const outcomeOf = async (host: string): Promise<string[]> => {
        const server = createServer(await playedRelay(), (socket) =>
          socket.on("error", () => undefined).resume(),
        );
        server.on("tlsClientError", () => undefined);
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        const program = await ModdableProgram.start(build, {
          name: "names",
          suite: "connections",
          identity: peer.identity,
          ports: [(server.address() as AddressInfo).port],
          host,
        });
        assert.equal(await program.ended, 0, program.lines.join("\n"));
        await new Promise((resolve) => server.close(resolve));
        return program.lines;
      };
      assert.deepEqual(await outcomeOf("relay.example.org"), ["outcome connected"]);
      assert.match((await outcomeOf("other.example.org")).join("\n"), /^outcome certificate: /);
    });

    it("a device keeps a blob that a client pushes through the real relay, and comes back when the relay does", async () => {
      const board = await BoardBehindRelay.start(build, { name: "device", memory: SMALL_MEMORY });
      const { relay, program, client } = board;
      try {
        const blob = randomBytes(BLOB_BYTES);
        const id = await board.push(blob);
        assert.ok(Buffer.from(await client.get(id, 0, blob.length)).equals(blob));
        // With memory that cannot grow, to be still there is the proof that it was enough.
        assert.ok((await client.status()).heapPeakBytes > 0);
        await relay.stop();
        await relay.listen();
        await program.line("state offline");
        assert.ok(Buffer.from(await client.get(id, 1000, 1000)).equals(blob.subarray(1000, 2000)));
      } finally {
        await board.close();
      }
    });

    it("a device whose connection was cut comes back by resuming its TLS session, as the relay tells", async () => {
      let proxy: TcpProxy | undefined;
      const board = await BoardBehindRelay.start(build, {
        name: "reconnection",
        memory: boardMemory(),
        through: async (port) => (proxy = await TcpProxy.start(port)).port,
      });
      const { relay, program, client } = board;
      try {
        const blob = randomBytes(100_000);
        const id = await board.push(blob);
        const before = await relay.handshakes();
        assert.equal(before.resumed, 0);
        for (let cuts = 1; cuts <= 2; cuts++) {
          const from = program.lines.length;
          proxy?.cut();
          await program.line("state online", from);
          assert.deepEqual(await relay.handshakes(), { full: before.full, resumed: cuts });
          assert.ok(Buffer.from(await client.get(id, 0, blob.length)).equals(blob));
        }
        // A relay that has forgotten the session is no trouble: it takes a whole handshake.
        await relay.stop();
        const from = program.lines.length;
        await relay.listen();
        await program.line("state online", from);
        assert.ok(Buffer.from(await client.get(id, 0, blob.length)).equals(blob));
        assert.equal((await relay.handshakes()).resumed, 0);
      } finally {
        await board.close();
        await proxy?.close();
      }
    });

    it("a record that the relay did not send ends the connection", async () => {
      const server = createServer(await playedRelay(), (socket) => {
        socket.on("error", () => undefined);
        socket.once("data", () => {
          socket.write(Buffer.alloc(100));
          socket.write(Buffer.alloc(100), () => socket.end());
        });
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const proxy = await RecordProxy.start((server.address() as AddressInfo).port);
      const flip = (at: number, bits: number) => (record: Buffer) => {
        record.writeUInt8(record.readUInt8(at) ^ bits, at);
        return record;
      };
      const forged = "outcome lost: TLS: a record that the relay did not send";
      const none = "outcome rejected: TLS: a record that is none, or longer than agreed";
      const tampered: [string, string, (record: Buffer) => Buffer][] = [
        ["nothing", "outcome closed: the relay closed the connection", (record) => record],
        ["a bit of the ciphertext", forged, flip(20, 1)],
        ["a bit of the nonce", forged, flip(12, 1)],
        ["a bit of the tag", forged, flip(5 + 8 + 100, 1)],
        ["data as an alert", forged, flip(0, 23 ^ 21)],
        ["a record twice", forged, (record) => Buffer.concat([record, record])],
        ["a record left out", forged, () => Buffer.alloc(0)],
        ["a handshake anew", "outcome rejected: TLS: unexpected record of type 22", flip(0, 23 ^ 22)],
        ["another version", none, flip(2, 1)],
        ["longer than agreed", none, flip(3, 0x40)],
        ["shorter than a tag", none, (record) => Buffer.from([...record.subarray(0, 3), 0, 9])],
      ];
      proxy.tampers.push(...tampered.map(([, , tamper]) => tamper));
      const program = await ModdableProgram.start(build, {
        name: "records",
        suite: "connections",
        identity: peer.identity,
        ports: tampered.map(() => proxy.port),
        listens: true,
      });
      assert.equal(await program.ended, 0, program.lines.join("\n"));
      tampered.forEach(([what, outcome], index) => {
        assert.equal(program.lines[index], outcome, what);
      });
      await proxy.close();
      await new Promise((resolve) => server.close(resolve));
    });

    it("pushes and pulls of any size fit the memory that the root manifest gives a board, TLS included", async () => {
      const board = await BoardBehindRelay.start(build, { name: "memory", memory: boardMemory() });
      try {
        const blobs = Array.from({ length: STREAM_BYTES / BLOB_BYTES }, () => randomBytes(BLOB_BYTES));
        const ids: Buffer[] = [];
        for (const blob of blobs) ids.push(await board.push(blob));
        for (const [index, id] of ids.entries()) {
          const blob = blobs[index] ?? Buffer.alloc(0);
          assert.ok(Buffer.from(await board.client.get(id, 0, blob.length)).equals(blob));
        }
      } finally {
        await board.close();
      }
    });

    it("an image without an identity says so, and keeps it for the next one to tell", async () => {
      const program = await ModdableProgram.start(build, {
        name: "identity",
        suite: "identity",
        identity: peer.identity,
      });
      assert.equal(await program.ended, 0, program.lines.join("\n"));
      assert.match(
        program.lines[0] ?? "",
        /^warn this image was built without relay-authority\.der, .*"coffer device add NAME"/,
      );
      const kept = readFileSync(join(program.folder, "identity", "flash", "troubles"));
      assert.deepEqual([...kept], [(1 << Trouble.image) >> 8, (1 << Trouble.image) & 255]);
    });

    it("an exception that nobody catches is said, kept in flash, and ends the machine", async () => {
      const program = await ModdableProgram.start(build, {
        name: "exception",
        suite: "device",
        identity: peer.identity,
        device: {
          name: "cam1",
          relay: { host: "127.0.0.1", port: 1 },
          pairingSecret: "07".repeat(32),
          limits: BOARD_LIMITS,
          failAfterMs: 200,
        },
      });
      assert.equal(await program.ended, 105, program.lines.join("\n"));
      assert.ok(program.lines.some((line) => line.startsWith("warn uncaught: TypeError: a fault for tests")));
      const kept = readFileSync(join(program.folder, "device", "flash", "exception"));
      assert.deepEqual([...kept.subarray(0, 4)], [0, 0, 0, 1]);
      assert.match(kept.subarray(4).toString(), /^TypeError: a fault for tests/);
    });

    async function runSuite(options: RunOptions & { identity: BoardIdentity }): Promise<string[]> {
      const program = await ModdableProgram.start(build, options);
      const status = await program.ended;
      const failed = program.lines.filter((line) => line.startsWith("not ok"));
      assert.deepEqual({ failed, status }, { failed: [], status: 0 }, program.lines.slice(-20).join("\n"));
      return program.lines.filter((line) => line.startsWith("ok "));
    }
  });

const SETTINGS = "firmware/platform/moddable/esp32/sdkconfig";

function ownSettings(): string[] {
  return readFileSync(join(projectRoot(), SETTINGS, "sdkconfig.defaults"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
}

function loadVectors(): ProtocolVectors {
  const read = (name: string): unknown =>
    JSON.parse(readFileSync(join(projectRoot(), "test-sim", "protocol", "vectors", `${name}.json`), "utf8"));
  const names = ["messages", "frames", "session", "card", "log", "text"] as const;
  return Object.fromEntries(names.map((name) => [name, read(name)])) as unknown as ProtocolVectors;
}
