// SPDX-License-Identifier: MIT
/**
 * The real relay, in this process and in the hands of an attacker: every byte that it decrypts goes through `tap`, which
 * may record it or change it. The tap sits on the class of all sockets of TLS in this process, and lets those pass that are not
 * the relay's: a client's or a simulated board's.
 */
import { TLSSocket } from "node:tls";
import { FRAME_HEADER_BYTES, readFrameHeader, type FrameHeader } from "../../firmware/protocol/frame";
import { MAX_FRAME_BYTES } from "../../firmware/protocol/limits";
import { State } from "../../host-tools/state";
import { runRelay } from "../../relay/main";

/** One frame as the relay got it, header and payload, from one connection. */
export interface SeenFrame {
  /** Counts connections, from 0. */
  connection: number;
  header: FrameHeader;
  bytes: Buffer;
}

/** What the relay goes on with instead: usually the frame itself. */
export type FrameTap = (frame: SeenFrame) => readonly Buffer[];

export class TappedRelay {
  /** Every decrypted byte is shown here, too, as it came; connections count from 0. */
  onBytes: (bytes: Buffer, connection: number) => void = () => undefined;
  onFrame: FrameTap = ({ bytes }) => [bytes];
  readonly #controller = new AbortController();
  readonly #running: Promise<void>;
  readonly #streams = new WeakMap<TLSSocket, FrameCutter>();
  readonly #sockets = new Set<TLSSocket>();
  #connections = 0;

  private constructor(running: (relay: TappedRelay) => Promise<void>) {
    this.#running = running(this);
  }

  static async start(home: string, port: number): Promise<TappedRelay> {
    const paths = new State(home).identityPaths("relay", "relay");
    return new Promise((resolve, reject) => {
      const relay = new TappedRelay((self) =>
        runRelay({
          listen: { host: "127.0.0.1", port },
          name: "relay",
          files: {
            certificate: paths.certificate,
            key: paths.key,
            relayAuthority: paths.authority,
            deviceAuthority: paths.ca,
            deviceCrl: paths.crl,
          },
          log: () => undefined,
          signal: self.#controller.signal,
          onListening: () => {
            setImmediate(() => {
              resolve(relay);
            });
          },
        }),
      );
      relay.#running.catch(reject);
      relay.#install(port);
    });
  }

  /** Sends what no honest relay would to whoever is connected as `role` and `name`; resolves when that one has hung up. */
  async provoke(role: "client" | "device", name: string, bytes: Uint8Array): Promise<void> {
    const identity = `URI:coffer:${role}:${name}`;
    const found = [...this.#sockets].find(
      (socket) => socket.getPeerCertificate().subjectaltname === identity,
    );
    if (found === undefined) throw new Error(`nobody is connected as ${identity}`);
    const closed = new Promise((resolve) => found.once("close", resolve));
    found.write(bytes);
    await closed;
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.#running;
    TLSSocket.prototype.push = originalPush;
  }

  #install(port: number): void {
    const streams = this.#streams;
    const sockets = this.#sockets;
    const cutterOf = (socket: TLSSocket): FrameCutter => {
      const known = streams.get(socket);
      if (known !== undefined) return known;
      const connection = this.#connections++;
      const cutter = new FrameCutter({
        onBytes: (bytes) => {
          this.onBytes(bytes, connection);
        },
        onFrame: (header, bytes) => this.onFrame({ connection, header, bytes }),
      });
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      streams.set(socket, cutter);
      return cutter;
    };
    TLSSocket.prototype.push = function push(
      this: TLSSocket,
      chunk: unknown,
      encoding?: BufferEncoding,
    ): boolean {
      const isRelays = streams.has(this) || this.localPort === port; // a socket that has been closed has no port
      if (!Buffer.isBuffer(chunk) || !isRelays) return originalPush.call(this, chunk, encoding);
      const changed = cutterOf(this).next(chunk);
      return changed.length === 0 || originalPush.call(this, changed, encoding);
    };
  }
}

// eslint-disable-next-line @typescript-eslint/unbound-method -- called with the socket as `this` above
const originalPush = TLSSocket.prototype.push;

interface CutterTap {
  onBytes(bytes: Buffer): void;
  onFrame(header: FrameHeader, bytes: Buffer): readonly Buffer[];
}

/** Cuts one direction of one connection into frames and puts it together again. */
class FrameCutter {
  readonly #tap: CutterTap;
  #rest: Buffer = Buffer.alloc(0);

  constructor(tap: CutterTap) {
    this.#tap = tap;
  }

  next(chunk: Buffer): Buffer {
    this.#tap.onBytes(chunk);
    const bytes = Buffer.concat([this.#rest, chunk]);
    const out: Buffer[] = [];
    let at = 0;
    for (;;) {
      const header = readFrameHeader(bytes, at, MAX_FRAME_BYTES);
      if (header === undefined || bytes.length - at < FRAME_HEADER_BYTES + header.payloadBytes) break;
      const end = at + FRAME_HEADER_BYTES + header.payloadBytes;
      out.push(...this.#tap.onFrame(header, Buffer.from(bytes.subarray(at, end))));
      at = end;
    }
    this.#rest = Buffer.from(bytes.subarray(at));
    return Buffer.concat(out);
  }
}
