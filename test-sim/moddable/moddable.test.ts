// SPDX-License-Identifier: MIT
/**
 * The firmware on the real Moddable SDK (x-cli-lin: the engine, TLS, timers and our C, without a window), when $MODDABLE
 * names one.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer } from "node:tls";

import { BOARD_LIMITS } from "../../firmware/core/device-config";
import { Trouble } from "../../firmware/protocol/trouble";
import { DeviceClient } from "../../host-tools/remote/device-client";
import { RealRelay } from "../../host-tools/remote/testing/real-devices";
import { testCertificates, testLeaf } from "../../host-tools/remote/testing/test-identities";
import { certificateFixtures } from "../../host-tools/test/certificates";
import { type RunningPeer, startNetworkPeer } from "../conformance/network-peer";
import { SessionCache } from "../../relay/session-cache";
import { projectRoot } from "../project-root";
import type { ProtocolVectors } from "../protocol/protocol-vectors";
import type { BoardIdentity } from "../sim-network";
import { impostors } from "./impostors";
import { type ModdableImage, linkImage } from "./moddable-image";
import { type ModdableBuild, buildModdable, checkModdableTypes, moddableSdk } from "./moddable-build";
import { WINDOWS_COMPILER, checkModdableC, installed } from "./moddable-c";
import { ModdableProgram, type RunOptions } from "./moddable-program";

const BUILD_MS = 600_000; // cold, beside other work
const RUN_MS = 120_000;
const BLOB_BYTES = 8 * 1024 * 1024;
/** With 16 bytes a slot, as on ESP32, these are 110 KiB. */
const BOARD_MEMORY = { chunkBytes: 48 * 1024, slots: 3328, stackSlots: 512 };

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
        for (const part of ["fatfs", "sdmmc", "esp_driver_sdmmc", "vfs"])
          assert.ok(parts.includes(part), part);
        const flags = made("makefile")
          .split("\n")
          .find((line) => line.startsWith("C_FLAGS_SUBPLATFORM = "));
        assert.match(flags ?? "", /\t-I\$\{IDF_PATH\}\/components\/esp_driver_sdspi\/include\t/);
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
      const { leafs, authorities } = await certificateFixtures();
      const isReused: boolean[] = [];
      const server = createServer(
        {
          key: leafs.relay.key,
          cert: leafs.relay.certificate + authorities.relay.certificate,
          ca: authorities.device.certificate,
          requestCert: true,
        },
        (socket) => {
          socket.on("error", () => undefined).resume();
          isReused.push(socket.isSessionReused());
        },
      );
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
        const { leafs, authorities } = await certificateFixtures();
        const server = createServer(
          {
            key: leafs.relay.key,
            cert: leafs.relay.certificate + authorities.relay.certificate,
            ca: authorities.device.certificate,
            requestCert: true,
          },
          (socket) => socket.on("error", () => undefined).resume(),
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
      const relay = await RealRelay.start();
      const { relayAuthority, deviceAuthority, client: identity } = await testCertificates();
      const leaf = await testLeaf("device", "cam1");
      const pairingSecret = randomBytes(32);
      const program = await ModdableProgram.start(
        build,
        {
          name: "device",
          suite: "device",
          identity: {
            key: leaf.key,
            cert: leaf.certificate + deviceAuthority.certificate,
            ca: relayAuthority.certificate,
          },
          device: {
            name: "cam1",
            relay: relay.address,
            pairingSecret: pairingSecret.toString("hex"),
            limits: BOARD_LIMITS,
            maxFragmentBytes: 4096,
          },
        },
        BOARD_MEMORY,
      );
      const client = await program
        .line("state online")
        .then(() => DeviceClient.open({ relay: relay.address, identity, device: "cam1", pairingSecret }));
      try {
        const blob = randomBytes(BLOB_BYTES);
        const id = createHash("sha256").update(blob).digest();
        assert.equal((await client.put(id, [blob])).wasStored, false);
        assert.ok(Buffer.from(await client.get(id, 0, blob.length)).equals(blob));
        // With memory that cannot grow, to be still there is the proof that it was enough.
        assert.ok((await client.status()).heapPeakBytes > 0);
        await relay.stop();
        await relay.listen();
        await program.line("state offline");
        assert.ok(Buffer.from(await client.get(id, 1000, 1000)).equals(blob.subarray(1000, 2000)));
      } finally {
        await client.close();
        await program.stop();
        await relay.stop();
        relay.remove();
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
