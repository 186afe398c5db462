// SPDX-License-Identifier: MIT
/** The SDK's datagram socket and mDNS on loopback, where there is neither broadcast nor multicast for them. */
import UDP from "embedded:io/socket/udp";
import Dnssd from "embedded:network/dnssd";
import type { Datagram, UdpClass, UdpSocket } from "../../../firmware/platform/moddable/filtered-udp";
import type { DnssdClass } from "../../../firmware/platform/moddable/moddable-discovery";

const MULTICAST_START = "224.";

export const DNSSD = Dnssd as unknown as DnssdClass;

export class LoopbackUdp implements UdpSocket {
  readonly #socket: UdpSocket;
  readonly #mdnsPort: number;

  /** What is meant for a multicast group goes to `mdnsPort` of this computer. */
  static to(mdnsPort: number): UdpClass {
    return class extends LoopbackUdp {
      constructor(options: { onReadable(count: number): void }) {
        super(mdnsPort, options);
      }
    };
  }

  /** Any port: somebody else may have that of mDNS. */
  constructor(mdnsPort: number, { onReadable }: { onReadable(count: number): void }) {
    this.#mdnsPort = mdnsPort;
    this.#socket = new (UDP as unknown as UdpClass)({ onReadable });
  }

  read(): Datagram | undefined {
    return this.#socket.read();
  }

  write(bytes: Uint8Array, address: string, port: number): void {
    if (address.startsWith(MULTICAST_START)) this.#socket.write(bytes, "127.0.0.1", this.#mdnsPort);
    else this.#socket.write(bytes, address, port);
  }

  add(): void {}

  close(): void {
    this.#socket.close();
  }
}
