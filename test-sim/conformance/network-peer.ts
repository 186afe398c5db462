// SPDX-License-Identifier: MIT
/** TLS servers for the network cases: one good relay, and one of each kind that a device must refuse or survive. */
import {
  type AddressInfo,
  type Server as TcpServer,
  type Socket,
  createServer as createTcpServer,
} from "node:net";
import { type TLSSocket, type TlsOptions, createServer } from "node:tls";

import { makeAuthority, makeLeaf } from "../../host-tools/certs/certificate";
import { freePort } from "../../host-tools/demo/free-port";
import { certificateFixtures, playedRelay } from "../../host-tools/test/certificates";
import type { BoardIdentity } from "../sim-network";
import type { NetworkPeer } from "./network-cases";

export interface RunningPeer {
  peer: NetworkPeer;
  identity: BoardIdentity;
  close(): Promise<void>;
}

export async function startNetworkPeer(): Promise<RunningPeer> {
  const { authorities, leafs } = await certificateFixtures();
  const relay = await playedRelay();
  const now = new Date();
  const leaf = { role: "relay", name: "a-relay", hosts: ["127.0.0.1"], days: 10 } as const;
  const stranger = await makeAuthority("relay", now);
  const [strange, otherHost] = await Promise.all([
    makeLeaf(stranger, leaf, now),
    makeLeaf(authorities.relay, { ...leaf, hosts: ["192.0.2.1"] }, now),
  ]);
  const servers: TcpServer[] = [];
  const listen = async (
    keys: TlsOptions,
    onConnection: (socket: TLSSocket, raw: Socket) => void,
  ): Promise<number> => {
    const secure = createServer({ ...relay, ...keys });
    secure.on("tlsClientError", () => undefined);
    // The TCP connection by itself, for a peer that breaks it.
    const server = createTcpServer((raw) => {
      raw.on("error", () => undefined);
      secure.once("secureConnection", (socket: TLSSocket) => {
        socket.on("error", () => undefined); // the device may break it, that is what is tested
        onConnection(socket, raw);
      });
      secure.emit("connection", raw);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return (server.address() as AddressInfo).port;
  };
  const certified = (made: { key: string; certificate: string }, authority: string): TlsOptions => ({
    key: made.key,
    cert: made.certificate + authority,
  });
  const echo = (socket: TLSSocket) => socket.pipe(socket);
  const peer: NetworkPeer = {
    host: "127.0.0.1",
    echo: await listen(relay, echo),
    closing: await listen(relay, (socket) => socket.end("bye")),
    strangerAuthority: await listen(certified(strange, stranger.certificate), echo),
    otherRole: await listen(certified(leafs.keyholder, authorities.relay.certificate), echo),
    otherHost: await listen(certified(otherHost, authorities.relay.certificate), echo),
    refusing: await listen({ ...relay, ca: stranger.certificate }, echo),
    breaking: await listen(relay, (socket, raw) => socket.once("data", () => raw.resetAndDestroy())),
    nobody: await freePort(),
  };
  const identity = {
    key: leafs.device.key,
    cert: leafs.device.certificate + authorities.device.certificate,
    ca: authorities.relay.certificate,
  };
  const close = async () => {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  };
  return { peer, identity, close };
}
