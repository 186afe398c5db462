// SPDX-License-Identifier: MIT
/** How a board looks for a relay, with the SDK's sockets and mDNS played. Needs no SDK. */
import assert from "node:assert/strict";

import type { FoundRelay } from "../../firmware/core/io";
import {
  type Datagram,
  FilteredUdp,
  type UdpClass,
  type UdpSocket,
} from "../../firmware/platform/moddable/filtered-udp";
import { isCofferAnswer } from "../../firmware/platform/moddable/mdns-filter";
import {
  type DnssdClass,
  ModdableDiscovery,
  type MdnsService,
} from "../../firmware/platform/moddable/moddable-discovery";
import {
  DISCOVERY_PORT,
  decodeDiscoveryRequest,
  encodeDiscoveryAnswer,
} from "../../firmware/protocol/discovery";
import { Turns } from "../core/turns";
import { SeededEntropy } from "../seeded-entropy";
import { SeededRandom } from "../seeded-random";
import { CAPTURED, HOSTILE, announcement } from "./mdns-packets";

const FINGERPRINT = new Uint8Array(32).fill(7);
const TIMEOUT_MS = 3000;

/** The SDK's sockets of one board, and what was sent with them. */
class PlayedNetwork {
  readonly sent: { bytes: Uint8Array; to: string }[] = [];
  readonly sockets: PlayedUdp[] = [];
  /** None can be made. */
  isOff = false;
  /** Nothing can be sent. */
  isUnreachable = false;

  get udp(): UdpClass {
    const network = this as PlayedNetwork;
    return class extends PlayedUdp {
      constructor(options: { port?: number; onReadable(count: number): void }) {
        super(network, options);
      }
    };
  }

  /** The socket of mDNS, or the one that broadcasts. */
  socket(kind: "mdns" | "broadcast"): PlayedUdp {
    const found = this.sockets.find(({ port }) => (kind === "mdns") === (port === 5353));
    assert.ok(found, `no socket for ${kind}`);
    return found;
  }

  get open(): number {
    return this.sockets.filter(({ isClosed }) => !isClosed).length;
  }
}

class PlayedUdp implements UdpSocket {
  readonly port: number | undefined;
  readonly groups: string[] = [];
  isClosed = false;
  readonly #network: PlayedNetwork;
  readonly #onReadable: (count: number) => void;
  #waiting: Datagram[] = [];

  constructor(network: PlayedNetwork, options: { port?: number; onReadable(count: number): void }) {
    if (network.isOff) throw new Error("no socket");
    this.#network = network;
    this.port = options.port;
    this.#onReadable = (count) => {
      options.onReadable(count);
    };
    network.sockets.push(this);
  }

  read(): Datagram | undefined {
    assert.equal(this.isClosed, false, "read after close");
    return this.#waiting.shift();
  }

  write(bytes: Uint8Array, address: string, port: number): void {
    if (this.#network.isUnreachable) throw new Error("UDP send failed");
    this.#network.sent.push({ bytes: bytes.slice(), to: `${address}:${port}` });
  }

  add(group: string): void {
    this.groups.push(group);
  }

  close(): void {
    assert.equal(this.isClosed, false, "closed twice");
    this.isClosed = true;
  }

  /** All at once, as the SDK tells of them. */
  receive(from: string, ...datagrams: Uint8Array[]): void {
    for (const bytes of datagrams)
      this.#waiting.push(Object.assign(Uint8Array.from(bytes).buffer, { address: from, port: 17433 }));
    this.#onReadable(datagrams.length);
  }
}

/** As the SDK's: makes its socket, joins, reads each packet, and tells of whole services. Here each packet is one. */
class PlayedDnssd {
  static heard: Uint8Array[] = [];
  static service: MdnsService | undefined;
  static open = 0;
  readonly #udp: FilteredUdp;
  #onFound: ((service: MdnsService) => void) | undefined;

  constructor({ socket }: ConstructorParameters<DnssdClass>[0]) {
    const hear = (packet: Datagram): void => {
      PlayedDnssd.heard.push(new Uint8Array(packet));
      assert.equal(packet.port, 17433);
      if (PlayedDnssd.service) this.#onFound?.(PlayedDnssd.service);
      else throw new TypeError("the parser cannot read this");
    };
    this.#udp = new socket.io({
      ...socket,
      target: this,
      port: 5353,
      onReadable(count) {
        assert.equal(count, 1);
        const packet = this.read();
        assert.ok(packet);
        hear(packet);
      },
    });
    this.#udp.add("224.0.0.251");
    PlayedDnssd.open++;
  }

  discover(options: { serviceType: string; onFound(service: MdnsService): void }): { close(): void } {
    assert.equal(options.serviceType, "_coffer._tcp");
    this.#onFound = (service) => {
      options.onFound(service);
    };
    return {
      close: () => {
        this.#onFound = undefined;
      },
    };
  }

  close(): void {
    assert.equal(this.#onFound, undefined, "closed before its browser");
    PlayedDnssd.open--;
    this.#udp.close();
  }
}

function search(changes: { hasMdns?: boolean; network?: PlayedNetwork; onFound?(): void } = {}) {
  const { hasMdns = true, network = new PlayedNetwork() } = changes;
  PlayedDnssd.heard = [];
  PlayedDnssd.open = 0;
  PlayedDnssd.service = undefined;
  const turns = new Turns();
  const found: FoundRelay[] = [];
  let done = 0;
  const discovery = new ModdableDiscovery({
    udp: network.udp,
    ...(hasMdns ? { dnssd: PlayedDnssd } : {}),
    targets: ["255.255.255.255"],
    entropy: new SeededEntropy(1),
    timers: turns,
  });
  const running = discovery.find({
    timeoutMs: TIMEOUT_MS,
    onFound: (relay) => {
      found.push(relay);
      changes.onFound?.();
    },
    onDone: () => done++,
  });
  const nonce = (): Uint8Array => decodeDiscoveryRequest(network.sent[0]?.bytes ?? new Uint8Array());
  const answer = (port: number, name: string): Uint8Array =>
    encodeDiscoveryAnswer({ nonce: nonce(), port, name, fingerprint: FINGERPRINT });
  return { network, turns, found, running, done: () => done, nonce, answer };
}

describe("a board's search for a relay", () => {
  it("asks three times by broadcast, with one nonce, and ends when its time is over", () => {
    const { network, turns, done, nonce } = search();
    assert.deepEqual(done(), 0);
    turns.advance(TIMEOUT_MS - 1);
    assert.deepEqual(
      network.sent.map(({ to }) => to),
      Array(3).fill(`255.255.255.255:${DISCOVERY_PORT}`),
    );
    for (const { bytes } of network.sent) assert.deepEqual(decodeDiscoveryRequest(bytes), nonce());
    assert.equal(done(), 0);
    turns.advance(1);
    assert.deepEqual([done(), network.open, PlayedDnssd.open], [1, 0, 0]);
    turns.advance(60_000);
    assert.deepEqual([done(), network.sent.length], [1, 3]);
  });

  it("takes answers to its own question, each place once, and nothing else", () => {
    const { network, found, answer } = search();
    const socket = network.socket("broadcast");
    const others = encodeDiscoveryAnswer({
      nonce: new Uint8Array(8).fill(9),
      port: 1,
      name: "others",
      fingerprint: FINGERPRINT,
    });
    socket.receive("192.168.1.9", new Uint8Array(40), others, answer(4433, "home"));
    socket.receive("192.168.1.9", answer(4433, "home"), answer(4434, "home"));
    socket.receive("192.168.1.10", answer(4433, "home"));
    socket.receive("fe80::1", answer(4433, "home"));
    socket.receive("192.168.1.11", answer(4433, "Home"), answer(4433, "a b"), answer(4433, ""));
    assert.deepEqual(found, [
      { host: "192.168.1.9", port: 4433, name: "home" },
      { host: "192.168.1.9", port: 4434, name: "home" },
      { host: "192.168.1.10", port: 4433, name: "home" },
    ]);
  });

  it("tells of 16 places at most, and looks at 32 datagrams", () => {
    const one = search();
    for (let i = 1; i <= 20; i++) one.network.socket("broadcast").receive("10.0.0.1", one.answer(i, "home"));
    assert.equal(one.found.length, 16);
    const other = search();
    const garbage = Array.from({ length: 32 }, () => new Uint8Array(40));
    other.network.socket("broadcast").receive("10.0.0.1", ...garbage, other.answer(1, "home"));
    assert.deepEqual(other.found, []);
  });

  it("finds by mDNS: the address that it was heard from first, then the one that is announced", () => {
    const { network, found } = search();
    const socket = network.socket("mdns");
    assert.deepEqual(socket.groups, ["224.0.0.251"]);
    const txt = new Map([
      ["v", "1"],
      ["name", "relay1"],
    ]);
    PlayedDnssd.service = { address: "172.17.0.1", port: 4433, txt };
    socket.receive("192.168.1.9", CAPTURED);
    PlayedDnssd.service = { address: "192.168.1.9", port: 4433, txt: new Map([["v", "2"]]) };
    socket.receive("192.168.1.9", CAPTURED);
    PlayedDnssd.service = { address: "192.168.1.9", port: 0, txt };
    socket.receive("192.168.1.9", CAPTURED);
    assert.deepEqual(found, [
      { host: "192.168.1.9", port: 4433, name: "relay1" },
      { host: "172.17.0.1", port: 4433, name: "relay1" },
    ]);
  });

  it("survives what the SDK's parser throws, and gives it only whole answers about Coffer", () => {
    const { network } = search();
    network.socket("mdns").receive("192.168.1.66", ...HOSTILE.map(([, packet]) => packet), CAPTURED);
    assert.deepEqual(PlayedDnssd.heard, [new Uint8Array(CAPTURED)]);
  });

  it("can be closed at any time, also while it tells, and then says nothing more", () => {
    const parts: ReturnType<typeof search> = search({
      onFound: () => {
        parts.running.close();
        parts.running.close();
      },
    });
    const { network, turns, found, done, answer } = parts;
    network.socket("broadcast").receive("10.0.0.1", answer(1, "home"), answer(2, "home"));
    turns.advance(TIMEOUT_MS);
    assert.deepEqual([found.length, done(), network.open, PlayedDnssd.open], [1, 0, 0, 0]);
    assert.equal(turns.nextInMs, undefined);
  });

  it("goes on with one way when the other cannot be opened, and says so when there is none", () => {
    const network = new PlayedNetwork();
    const { found, answer } = search({ network, hasMdns: false });
    network.socket("broadcast").receive("10.0.0.1", answer(1, "home"));
    assert.equal(found.length, 1);
    network.isOff = true;
    assert.throws(() => search({ network }), /no datagram socket can be opened \(Error: no socket\)/);
  });

  it("asks on when the network comes up in between", () => {
    const network = new PlayedNetwork();
    network.isUnreachable = true;
    const { turns } = search({ network });
    network.isUnreachable = false;
    turns.advance(1000);
    assert.equal(network.sent.length, 1);
  });
});

describe("the filter before the SDK's mDNS", () => {
  it("lets the relay's announcements through, also with pointers back", () => {
    assert.ok(isCofferAnswer(CAPTURED));
    const options = { instance: "r-1", address: [10, 0, 0, 1], port: 1, txt: ["v=1"] } as const;
    const packet = announcement(options);
    assert.ok(isCofferAnswer(packet));
    // "_tcp.local" of the first record, told by a pointer in one more.
    const more = Buffer.concat([
      packet,
      Buffer.from("\x07_coffer"),
      Buffer.of(0xc0, 20, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0),
    ]);
    more[11] = 4;
    assert.ok(isCofferAnswer(more));
  });

  for (const [what, packet] of HOSTILE)
    it(`stops ${what}`, () => {
      assert.equal(isCofferAnswer(packet), false);
    });

  it("stops a packet that is cut anywhere", () => {
    for (let length = 0; length < CAPTURED.length; length++)
      assert.equal(isCofferAnswer(CAPTURED.subarray(0, length)), false, String(length));
  });

  it("comes to an end whatever the bytes", () => {
    const seed = 1;
    const random = new SeededRandom(seed);
    let passed = 0;
    for (let step = 0; step < 50_000; step++) {
      const bytes = Uint8Array.from(CAPTURED);
      for (let i = 0; i < 3; i++) bytes[random.below(bytes.length)] = random.below(256);
      try {
        if (isCofferAnswer(bytes)) passed++;
      } catch (cause) {
        throw new Error(`seed ${seed} step ${step}`, { cause });
      }
    }
    assert.ok(passed > 0 && passed < 50_000);
  });
});
