// SPDX-License-Identifier: MIT
/**
 * Relays that are none, each using one of the holes of the SDK's TLS. They have the real relay's public chain and keys of
 * their own; a device that gets as far as `onPlaintext` or `onSecure` has been deceived.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { type AddressInfo, type Server, type Socket, createServer as createTcpServer } from "node:net";
import { createServer as createTlsServer } from "node:tls";

import { derFromPem, makeAuthority, makeLeaf } from "../../host-tools/certs/certificate";

export interface Impostor {
  port: number;
  /** What the device gave away: nothing, if all is well. */
  heard: string[];
  close(): Promise<void>;
}

export interface PublicChain {
  /** PEM. */
  leaf: string;
  authority: string;
}

export const impostors: { name: string; start(chain: PublicChain): Promise<Impostor> }[] = [
  {
    name: "a stranger's certificate in front of the true authority",
    start: (chain) => strangerInFront([chain.authority]),
  },
  {
    name: "a stranger's certificate in front of the true relay's chain",
    start: (chain) => strangerInFront([chain.leaf, chain.authority]),
  },
  {
    name: "the true chain and an unsigned key exchange",
    start: (chain) => plainHandshake(chain, unsignedExchange),
  },
  {
    name: "the true chain and a key exchange signed by a stranger",
    start: (chain) => plainHandshake(chain, strangersExchange),
  },
  { name: "no certificate at all", start: (chain) => plainHandshake(chain, () => Buffer.alloc(0), true) },
  {
    name: "an alert that says the connection closes",
    start: () => answering(() => record(ALERT, Buffer.of(1, 0))),
  },
  { name: "an alert of a wrong version", start: () => answering(() => record(ALERT, Buffer.of(2, 70))) },
  { name: "data in the clear", start: () => answering(() => record(DATA, Buffer.from("hello, device"))) },
  {
    name: "a record of 60000 bytes",
    start: () =>
      answering(() => Buffer.concat([Buffer.of(HANDSHAKE, 3, 3, 0xea, 0x60), Buffer.alloc(60_000)])),
  },
  { name: "bytes that are no TLS", start: () => answering(() => randomBytes(4000)) },
];

const ALERT = 21;
const HANDSHAKE = 22;
const DATA = 23;

/** It signs the key exchange as it should, with its own key. */
async function strangerInFront(rest: string[]): Promise<Impostor> {
  const now = new Date();
  const stranger = await makeAuthority("relay", now);
  const leaf = await makeLeaf(
    stranger,
    { role: "relay", name: "a-relay", hosts: ["127.0.0.1"], days: 10 },
    now,
  );
  const heard: string[] = [];
  const server = createTlsServer(
    { key: leaf.key, cert: leaf.certificate + rest.join(""), maxVersion: "TLSv1.2" },
    (socket) => {
      socket.on("error", () => undefined);
      heard.push("a connection");
    },
  );
  server.on("tlsClientError", () => undefined);
  return listening(server, heard);
}

/** Answers a hello with a handshake whose key exchange is `exchange`'s. */
function plainHandshake(
  chain: PublicChain,
  exchange: (clientRandom: Buffer, serverRandom: Buffer) => Buffer,
  isBare = false,
): Promise<Impostor> {
  return answering((hello) => {
    const clientRandom = hello.subarray(11, 43);
    const serverRandom = randomBytes(32);
    const certificates = [chain.leaf, chain.authority].map((pem) =>
      withLength(Buffer.from(derFromPem(pem)), 3),
    );
    const certificate = message(11, withLength(Buffer.concat(certificates), 3));
    const serverHello = message(
      2,
      Buffer.concat([Buffer.of(3, 3), serverRandom, Buffer.of(0, 0xc0, 0x2f, 0)]),
    );
    const flight = [
      serverHello,
      ...(isBare ? [] : [certificate, message(12, exchange(clientRandom, serverRandom))]),
      message(14, Buffer.alloc(0)),
    ];
    return Buffer.concat(flight.map((one) => record(HANDSHAKE, one)));
  });
}

function curvePoint(): Buffer {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const point = publicKey.export({ type: "spki", format: "der" }).subarray(-65);
  return Buffer.concat([Buffer.of(3, 0, 23), withLength(point, 1)]);
}

function unsignedExchange(): Buffer {
  return Buffer.concat([curvePoint(), Buffer.of(0, 0, 0, 0)]);
}

function strangersExchange(clientRandom: Buffer, serverRandom: Buffer): Buffer {
  const point = curvePoint();
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const signature = sign("sha256", Buffer.concat([clientRandom, serverRandom, point]), privateKey);
  return Buffer.concat([point, Buffer.of(4, 1), withLength(signature, 2)]);
}

/** A bare TCP server that answers the first bytes, and keeps what comes in the clear after them. */
async function answering(answer: (hello: Buffer) => Buffer): Promise<Impostor> {
  const heard: string[] = [];
  const server = createTcpServer((socket: Socket) => {
    socket.on("error", () => undefined);
    let isFirst = true;
    socket.on("data", (bytes: Buffer) => {
      if (isFirst) socket.write(answer(bytes));
      // A client that goes on sends its key exchange, or worse.
      else if (bytes[0] !== ALERT)
        heard.push(
          `${createHash("sha256").update(bytes).digest("hex").slice(0, 8)}, a record of type ${String(bytes[0])}`,
        );
      isFirst = false;
    });
  });
  return listening(server, heard);
}

async function listening(server: Server, heard: string[]): Promise<Impostor> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    heard,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function withLength(bytes: Buffer, size: number): Buffer {
  const length = Buffer.alloc(size);
  length.writeUIntBE(bytes.length, 0, size);
  return Buffer.concat([length, bytes]);
}

function message(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type), withLength(body, 3)]);
}

function record(type: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type, 3, 3), withLength(body, 2)]);
}
