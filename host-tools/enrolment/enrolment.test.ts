// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { join as joinPath } from "node:path";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { loadRevoked, makeAuthorities } from "../certs/authorities";
import { addDevice } from "../certs/device-provisioning";
import { Refusal } from "../refusal";
import { State, configVersion } from "../state";
import { temporaryFolder } from "../test/temporary-folder";
import { enrol } from "./enrol";
import { join } from "./join";
import { joinHint, joinTls } from "./join-channel";
import { Offer, type OfferOptions } from "./offer";

const never = new AbortController().signal;
const host = "127.0.0.1";

describe("enrolment of a computer", function () {
  this.timeout(30_000);
  this.slow(4000);
  const folder = temporaryFolder();
  let state: State;
  let homes = 0;
  const secret = Uint8Array.from(randomBytes(16));
  const servers: Server[] = [];
  /** Ends what a test left waiting. */
  let ended = new AbortController();

  before(async () => {
    state = new State(joinPath(folder.path, "home"));
    await makeAuthorities(state);
    const relay = { host: "relay.example.org", port: 4433 };
    await addDevice(state, "attic", { relay, certsFolder: joinPath(folder.path, "certs") });
    await state.saveConfig({
      version: configVersion,
      relay,
      client: "first",
      repositoryId: "",
      createdAt: "",
    });
  });
  beforeEach(() => {
    ended = new AbortController();
  });
  afterEach(() => {
    ended.abort(new Refusal("interrupted", "the test is over"));
    for (const server of servers.splice(0)) server.close();
  });

  const newHome = (): State => new State(joinPath(folder.path, `joined-${String(homes++)}`));

  async function offer(
    name: string,
    options: Partial<OfferOptions> = {},
  ): Promise<{ offer: Offer; enrolled: Promise<void>; given: string[]; wrong: number[] }> {
    const given: string[] = [];
    const wrong: number[] = [];
    const opened = await Offer.open({
      listen: { host, port: 0 },
      secret,
      expired: never,
      signal: ended.signal,
      enrol: async (publicKey) => {
        given.push(publicKey);
        return enrol(state, name, publicKey);
      },
      withdraw: () => {
        given.push("withdrawn");
        return Promise.resolve();
      },
      onWrong: (count) => wrong.push(count),
      ...options,
    });
    const enrolled = opened.enrolled();
    enrolled.catch(() => undefined);
    return { offer: opened, enrolled, given, wrong };
  }

  async function listening(server: Server): Promise<number> {
    servers.push(server);
    server.listen(0, host);
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  const joinAt = (port: number, home = newHome(), key = secret): ReturnType<typeof join> =>
    join(home, { address: { host, port }, secret: key }, never);

  async function kindOf(work: Promise<unknown>): Promise<string> {
    try {
      await work;
      return "ok";
    } catch (error) {
      assert.ok(error instanceof Refusal, String(error));
      return error.kind;
    }
  }

  /** Passes bytes on, as `change` makes them; records what the new computer sent. */
  async function between(
    port: number,
    change: (bytes: Buffer, at: number) => Buffer = (bytes) => bytes,
  ): Promise<{ port: number; sent: Buffer[] }> {
    const sent: Buffer[] = [];
    const server = createServer((socket) => {
      const other = connect(port, host);
      let at = 0;
      socket.on("data", (bytes: Buffer) => {
        sent.push(bytes);
        other.write(change(bytes, at));
        at += bytes.length;
      });
      other.on("data", (bytes: Buffer) => socket.write(bytes));
      for (const [one, two] of [
        [socket, other],
        [other, socket],
      ] as [Socket, Socket][]) {
        one.on("error", () => two.destroy());
        one.on("close", () => two.destroy());
      }
    });
    return { port: await listening(server), sent };
  }

  it("gives a new computer everything but a private key and a passphrase", async () => {
    const { offer: open, enrolled, given } = await offer("second");
    const wire = await between(open.port);
    const home = newHome();
    const config = await joinAt(wire.port, home);
    await enrolled;
    assert.deepEqual([config.client, config.relay.host], ["second", "relay.example.org"]);
    const identity = await home.loadIdentity("client", "second");
    assert.equal(identity.ca, (await state.loadIdentity("device", "attic")).ca);
    assert.deepEqual(
      (await home.loadDevice("attic")).pairingSecret,
      (await state.loadDevice("attic")).pairingSecret,
    );
    assert.equal(await home.canSign("client"), false);
    assert.match(given[0] ?? "", /BEGIN PUBLIC KEY/);
    const others = filesOf(state.home).map((path) => readFileSync(path, "latin1"));
    assert.ok(!others.some((text) => text.includes(identity.key.slice(100, 200))), "its key is nowhere else");
    const wireText = Buffer.concat(wire.sent).toString("latin1");
    for (const plain of ["publicKey", "PUBLIC KEY", Buffer.from(secret).toString("latin1")])
      assert.ok(!wireText.includes(plain), `${plain} went in the clear`);
    assert.equal(await kindOf(enrol(state, "second", given[0] ?? "")), "alreadyExists");
  });

  it("serves one computer only, also of two that come at once", async () => {
    const { offer: open, enrolled } = await offer("once");
    const kinds = await Promise.all([kindOf(joinAt(open.port)), kindOf(joinAt(open.port))]);
    await enrolled;
    assert.equal(kinds.filter((kind) => kind === "ok").length, 1, kinds.join());
    assert.equal(await kindOf(joinAt(open.port)), "enrolmentFailed");
  });

  it("ends after five wrong codes, and gives nothing to any of them", async () => {
    const { offer: open, enrolled, given, wrong } = await offer("guessed");
    for (let attempt = 0; attempt < 5; attempt++) {
      const home = newHome();
      assert.equal(
        await kindOf(joinAt(open.port, home, Uint8Array.from(randomBytes(16)))),
        "enrolmentFailed",
      );
      assert.equal(await home.isInitialised(), false);
    }
    assert.equal(await kindOf(enrolled), "enrolmentFailed");
    assert.deepEqual(wrong, [1, 2, 3, 4, 5]);
    assert.deepEqual(given, []);
    assert.equal(await kindOf(joinAt(open.port)), "enrolmentFailed", "also not to the right one, later");
  });

  it("is not ended by those who only knock or talk nonsense", async () => {
    const { offer: open, enrolled, wrong } = await offer("knocked");
    for (let attempt = 0; attempt < 7; attempt++) {
      const socket = connect(open.port, host);
      socket.on("error", () => undefined);
      socket.end(attempt % 2 === 0 ? "" : "GET / HTTP/1.1\r\n\r\n");
      socket.resume();
      await once(socket, "close");
    }
    await joinAt(open.port);
    await enrolled;
    assert.deepEqual(wrong, []);
  });

  it("has nobody in between: not one who ends TLS himself, nor one who changes a byte", async () => {
    const { offer: open, given } = await offer("middle");
    const impostor = createTlsServer({
      ...joinTls,
      pskIdentityHint: joinHint,
      pskCallback: () => Uint8Array.from(randomBytes(16)),
    });
    impostor.on("tlsClientError", () => undefined);
    assert.equal(await kindOf(joinAt(await listening(impostor))), "enrolmentFailed");
    for (const place of [20, 60, 100, 200, 300]) {
      let isChanged = false;
      const { port } = await between(open.port, (bytes, at) => {
        const index = place - at;
        if (index < 0 || index >= bytes.length) return bytes;
        const changed = Buffer.from(bytes);
        changed[index] = (changed[index] ?? 0) ^ 1;
        isChanged = true;
        return changed;
      });
      const home = newHome();
      assert.notEqual(await kindOf(joinAt(port, home)), "ok");
      assert.ok(isChanged, `the new computer sends byte ${String(place)}`);
      assert.ok(!existsSync(home.home) || readdirSync(home.home).length === 0, "nothing is left over");
      if (given.length > 0) break;
    }
    assert.deepEqual(given, []);
  });

  it("cannot be played again from a recording", async () => {
    const { offer: open, enrolled } = await offer("recorded");
    const wire = await between(open.port);
    await joinAt(wire.port);
    await enrolled;
    const { offer: again, given } = await offer("replayed");
    const socket = connect(again.port, host);
    socket.on("error", () => undefined);
    for (const bytes of wire.sent) socket.write(bytes);
    socket.resume();
    socket.end();
    await once(socket, "close");
    assert.deepEqual(given, []);
  });

  it("names a listener that is no Coffer, and one that is not there", async () => {
    const web = createServer((socket) => {
      socket.on("error", () => undefined).resume();
      socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    assert.equal(await kindOf(joinAt(await listening(web))), "protocolViolation");
    const otherPsk = createTlsServer({
      ...joinTls,
      pskIdentityHint: "something else",
      pskCallback: () => secret,
    });
    otherPsk.on("tlsClientError", () => undefined);
    assert.equal(await kindOf(joinAt(await listening(otherPsk))), "protocolViolation");
    const gone = createServer();
    const port = await listening(gone);
    gone.close();
    await once(gone, "close");
    assert.equal(await kindOf(joinAt(port)), "enrolmentFailed");
  });

  it("ends when its time is over or the person gives up", async () => {
    const [late, stop] = [new AbortController(), new AbortController()];
    const one = await offer("late", { expired: late.signal });
    late.abort();
    assert.equal(await kindOf(one.enrolled), "enrolmentFailed");
    assert.equal(await kindOf(joinAt(one.offer.port)), "enrolmentFailed");
    const two = await offer("stopped", { signal: stop.signal });
    stop.abort(new Refusal("interrupted", "interrupted"));
    assert.equal(await kindOf(two.enrolled), "interrupted");
  });

  it("takes back what a computer got that never said so", async () => {
    const { offer: open, enrolled, given } = await offer("vanished");
    const socket = connectTls({
      ...joinTls,
      host,
      port: open.port,
      checkServerIdentity: () => undefined,
      pskCallback: () => ({ psk: secret, identity: "join" }),
    });
    await once(socket, "secureConnect");
    const { publicKey } = await import("node:crypto").then((crypto) =>
      crypto.generateKeyPairSync("rsa", {
        modulusLength: 2048,
        publicKeyEncoding: { type: "spki", format: "pem" },
        privateKeyEncoding: { type: "pkcs8", format: "pem" },
      }),
    );
    socket.write(`${JSON.stringify({ version: 1, publicKey })}\n`);
    await once(socket, "data");
    socket.destroy();
    assert.equal(await kindOf(enrolled), "connectionLost");
    assert.deepEqual(given.slice(1), ["withdrawn"]);
  });

  it("refuses what a new computer sends that is no key, no message or another version", async () => {
    const messages: [string, string][] = [
      [JSON.stringify({ version: 1, publicKey: "nothing" }), "protocolViolation"],
      [JSON.stringify({ version: 1 }), "protocolViolation"],
      [JSON.stringify({ version: 2, publicKey: "" }), "protocolVersion"],
      ["[]", "protocolViolation"],
      ["x".repeat(2_000_000), "protocolViolation"],
    ];
    for (const [message, kind] of messages) {
      const { offer: open, enrolled } = await offer("nonsense");
      const socket = connectTls({
        ...joinTls,
        host,
        port: open.port,
        checkServerIdentity: () => undefined,
        pskCallback: () => ({ psk: secret, identity: "join" }),
      });
      socket.on("error", () => undefined);
      await once(socket, "secureConnect");
      socket.write(`${message}\n`);
      assert.equal(await kindOf(enrolled), kind, message.slice(0, 40));
      socket.destroy();
    }
    assert.equal((await loadRevoked(state, "device")).size, 0);
  });
});

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => joinPath(folder, name))
    .filter((path) => statSync(path).isFile());
}
