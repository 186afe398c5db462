// SPDX-License-Identifier: MIT
/** Lines between the client and a host node through the real relay, with a router between that does what it likes. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { promisify } from "node:util";
import { writeFileSync } from "node:fs";
import { projectRoot } from "../../test-sim/project-root";
import { dialLine } from "../../firmware/platform/node/line-socket";
import { LINE_KEY_BYTES } from "../../firmware/protocol/limits";
import { openingOf } from "../../relay/door";
import { DeviceClient, type DeviceClientOptions } from "./device-client";
import { RelayConnection, type RelayConnectionOptions } from "./relay-connection";
import { RealDevice, RealRelay } from "./testing/real-devices";
import { testCertificates } from "./testing/test-identities";

const MIB = 1024 * 1024;
const BLOBS = 8;

/** What both the client and the device dial instead of the relay. Everybody on the way can do as much. */
class Router {
  readonly address: { host: string; port: number };
  /** All bytes of lines, and how many went over links. */
  lineBytes: Buffer[] = [];
  linkByteCount = 0;
  lines = 0;
  /** What becomes of the bytes on a line; undefined: both ends are cut off. */
  onLine: (bytes: Buffer, line: number) => Buffer | undefined = (bytes) => bytes;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, target: { host: string; port: number }) {
    this.#server = server;
    this.address = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
    server.on("connection", (near) => {
      this.#join(near, connect(target));
    });
  }

  static async start(target: { host: string; port: number }): Promise<Router> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Router(server, target);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(near: Socket, far: Socket): void {
    let line: number | undefined;
    let isFirst = true;
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on("error", () => undefined);
      from.on("close", () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.on("data", (bytes: Buffer) => {
        if (isFirst && openingOf(bytes)?.ticket) line = this.lines++;
        isFirst = false;
        if (line === undefined) {
          this.linkByteCount += bytes.length;
          to.write(bytes);
          return;
        }
        this.lineBytes.push(bytes);
        const changed = this.onLine(Buffer.from(bytes), line);
        if (changed) to.write(changed);
        else near.destroy();
      });
    }
  }
}

function idOf(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

describe("lines to a host node", function () {
  this.timeout(60_000);
  let relay: RealRelay;
  let router: Router;
  let device: RealDevice;
  const clients: DeviceClient[] = [];
  const blobs = Array.from({ length: BLOBS }, () => randomBytes(2 * MIB));

  async function open(changes: Partial<DeviceClientOptions> = {}): Promise<DeviceClient> {
    const { client: identity } = await testCertificates();
    const client = await DeviceClient.open({
      relay: router.address,
      identity,
      device: device.name,
      pairingSecret: device.secret,
      patienceMs: 20_000,
      ...changes,
    });
    clients.push(client);
    return client;
  }

  async function putAll(client: DeviceClient): Promise<void> {
    const next = blobs.values();
    const worker = async (): Promise<void> => {
      for (const blob of next) await client.put(idOf(blob), [blob]);
    };
    await Promise.all([worker(), worker(), worker()]);
  }

  async function requireAll(client: DeviceClient): Promise<void> {
    for (const blob of blobs) assert.ok(blob.equals(await client.get(idOf(blob), 0, blob.length + 1)));
  }

  beforeEach(async () => {
    relay = await RealRelay.start();
    router = await Router.start(relay.address);
    device = await new RealDevice("cam1", router.address).start();
  });

  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.close()));
    await device.stop();
    await router.stop();
    await relay.stop();
    device.remove();
    relay.remove();
  });

  it("take over when bulk goes on for a while, and nobody on the way reads a byte of it", async () => {
    const client = await open();
    await putAll(client);
    const onLinks = router.linkByteCount;
    const onLine = Buffer.concat(router.lineBytes);
    // Counted on both sides of the relay.
    assert.equal(router.lines, 2);
    assert.ok(onLine.length > 2 * 4 * 2 * MIB, `${String(onLine.length)} bytes on the line`);
    for (const blob of blobs) assert.equal(onLine.indexOf(blob.subarray(1000, 1032)), -1);
    await client.close();
    await requireAll(await open());
    assert.equal(router.lines, 4);
    assert.ok(router.linkByteCount - onLinks < 2 * 4 * 2 * MIB + MIB);
    const closed = relay.log.filter((line) => line.includes('"lineClosed"'));
    assert.equal(closed.length >= 1, true);
  });

  it("are not made for little", async () => {
    const client = await open();
    for (const blob of blobs.slice(0, 2)) await client.put(idOf(blob), [blob]);
    await client.status();
    assert.equal(router.lines, 0);
  });

  it("may be cut at any time: what was under way is done all the same", async () => {
    let passed = 0;
    router.onLine = (bytes) => {
      passed += bytes.length;
      if (passed < 3 * MIB) return bytes;
      passed = 0;
      return undefined;
    };
    await putAll(await open());
    assert.ok(router.lines > 2);
    router.onLine = (bytes) => bytes;
    await requireAll(await open());
  });

  it("that change what passes are left, and nothing that was changed is believed", async () => {
    router.onLine = (bytes, line) => {
      if (bytes.length > 1000) bytes[500 + line] = (bytes[500 + line] ?? 0) ^ 1;
      return bytes;
    };
    await putAll(await open());
    // Both ends of three lines.
    assert.equal(router.lines, 6);
    await requireAll(await open());
  });

  it("that stall are left", async () => {
    let passed = 0;
    router.onLine = (bytes) => {
      passed += bytes.length;
      return passed < 3 * MIB ? bytes : Buffer.alloc(0);
    };
    await putAll(await open({ stallMs: 400 }));
    router.onLine = (bytes) => bytes;
    await requireAll(await open());
  });

  it("do not hold up a client that ends, nor a relay or device that stops", async () => {
    const client = await open();
    await putAll(client);
    await device.stop();
    await relay.stop();
    await client.close();
    await relay.listen();
    await device.start();
  });

  it("are with nobody who shows a certificate instead, be it one that this computer trusts", async () => {
    const { relay: leaf, relayAuthority } = await testCertificates();
    const impostor = createTlsServer({ key: leaf.key, cert: leaf.certificate + relayAuthority.certificate });
    impostor.on("tlsClientError", () => undefined);
    await new Promise<void>((resolve) => impostor.listen(0, "127.0.0.1", resolve));
    const { port } = impostor.address() as AddressInfo;
    const trusted = join(relay.folder, "trusted.pem");
    writeFileSync(trusted, relayAuthority.certificate);
    const program = `
      import { connect } from "node:tls";
      import { dialLine } from "./firmware/platform/node/line-socket";
      const end = { host: "127.0.0.1", port: ${String(port)}, ticket: new Uint8Array(32), key: new Uint8Array(32) };
      const outcome = (socket, event) => new Promise((resolve) => {
        socket.on("error", (error) => resolve(error.message)).on(event, () => resolve("ready"));
      });
      // The certificate is good, for whoever looks at certificates.
      const other = connect({ host: end.host, port: end.port, checkServerIdentity: () => undefined });
      console.log(await outcome(other, "secureConnect"));
      other.destroy();
      const { socket, readyEvent } = dialLine({ ...end, isServer: false, onData: () => true });
      console.log(await outcome(socket, readyEvent));
      socket.destroy();`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--import=tsx", "--input-type=module", "-e", program],
      { env: { ...process.env, NODE_EXTRA_CA_CERTS: trusted }, cwd: projectRoot() },
    );
    const [plain, onLine] = stdout.trim().split("\n");
    assert.equal(plain, "ready");
    assert.match(onLine ?? "", /certificate/);
    await new Promise((resolve) => impostor.close(resolve));
  });

  it("are with the one who has the key: a relay that keeps the device's ticket gets nowhere", async () => {
    const { client: identity } = await testCertificates();
    const options: RelayConnectionOptions = { relay: relay.address, identity };
    const link = await RelayConnection.connect(options);
    for (const isServer of [true, false]) {
      const { clientTicket, deviceTicket } = await link.askLine("cam1");
      const [key, guess] = [randomBytes(LINE_KEY_BYTES), randomBytes(LINE_KEY_BYTES)];
      const ends = [
        { ...relay.address, ticket: clientTicket, key, isServer },
        { ...relay.address, ticket: deviceTicket, key: guess, isServer: !isServer },
      ].map((end) => {
        const { socket, readyEvent } = dialLine({ ...end, onData: () => true });
        let isReady = false;
        socket.on("error", () => undefined);
        socket.on(readyEvent, () => (isReady = true));
        return new Promise<boolean>((resolve) => {
          socket.on("close", () => {
            resolve(isReady);
          });
        });
      });
      assert.deepEqual(await Promise.all(ends), [false, false]);
    }
    await link.close();
  });
});
