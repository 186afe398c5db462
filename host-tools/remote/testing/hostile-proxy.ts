// SPDX-License-Identifier: MIT
/**
 * A relay gone bad: it has the real relay's key, takes a client's connection apart frame by frame, does to each frame
 * what a test wants, and passes it on to the real relay in the client's name.
 */

import type { AddressInfo } from "node:net";
import { type Server, type TLSSocket, connect, createServer } from "node:tls";
import { FRAME_HEADER_BYTES, encodeFrame, readFrameHeader } from "../../../firmware/protocol/frame";
import { MAX_FRAME_BYTES } from "../../../firmware/protocol/limits";
import type { RelayAddress } from "../relay-tls";
import { testCertificates } from "./test-identities";
import type { TestFrame } from "./test-peer";

export type ProxyTamper = (frame: TestFrame, direction: "toClient" | "toDevice") => TestFrame[];

export class HostileProxy {
  readonly #server: Server;
  readonly #sockets: Set<TLSSocket>;
  readonly address: RelayAddress;

  private constructor(server: Server, sockets: Set<TLSSocket>) {
    this.#server = server;
    this.#sockets = sockets;
    this.address = { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
  }

  static async start(relay: RelayAddress, tamper: ProxyTamper): Promise<HostileProxy> {
    const { relay: identity, relayAuthority, deviceAuthority, client } = await testCertificates();
    const sockets = new Set<TLSSocket>();
    const server = createServer({
      key: identity.key,
      cert: identity.certificate + relayAuthority.certificate,
      ca: deviceAuthority.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    });
    server.on("secureConnection", (near) => {
      const far = connect({ ...relay, key: client.key, cert: client.chain, ca: client.ca });
      for (const [from, to, direction] of [
        [near, far, "toDevice"],
        [far, near, "toClient"],
      ] as const) {
        sockets.add(from);
        let rest: Buffer = Buffer.alloc(0);
        from.on("error", () => undefined);
        from.on("close", () => {
          sockets.delete(from);
          to.destroy();
        });
        from.on("data", (bytes: Buffer) => {
          rest = Buffer.concat([rest, bytes]);
          for (;;) {
            const header = readFrameHeader(rest, 0, MAX_FRAME_BYTES);
            const end = FRAME_HEADER_BYTES + (header?.payloadBytes ?? 0);
            if (!header || rest.length < end) return;
            const payload = rest.subarray(FRAME_HEADER_BYTES, end);
            rest = rest.subarray(end);
            for (const frame of tamper({ type: header.type, channel: header.channel, payload }, direction)) {
              to.write(encodeFrame(frame.type, frame.channel, frame.payload));
            }
          }
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new HostileProxy(server, sockets);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
  }
}
