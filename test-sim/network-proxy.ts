// SPDX-License-Identifier: MIT
/**
 * A TCP proxy between a board and its relay that can behave as bad networks do: stall, drop, leave connections half
 * open, delay, throttle, and let one connection overtake another. It sees only TLS.
 */
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";

import { SeededRandom } from "./seeded-random";

export interface ProxyTarget {
  host: string;
  port: number;
}

export interface ProxyConditions {
  /** Every piece arrives this much later. */
  delayMs: number;
  /** And up to this much more, chosen for each connection and piece by the seed: connections overtake each other. */
  jitterMs: number;
  /** Each way, each connection; 0: unlimited. */
  bytesPerSecond: number;
}

const CLEAR: ProxyConditions = { delayMs: 0, jitterMs: 0, bytesPerSecond: 0 };
/** Waiting in the proxy, each way and connection; above it the sender is made to wait, as a full window would. */
const MAX_WAITING_BYTES = 256 * 1024;

export class NetworkProxy {
  /** May be changed at any time; concerns what arrives from then on. */
  conditions: ProxyConditions = CLEAR;
  /** Counted since the start, both ways. */
  bytesPassed = 0;
  connectionCount = 0;
  readonly #target: ProxyTarget;
  readonly #random: SeededRandom;
  readonly #links = new Set<Link>();
  #server: Server | undefined;
  #isRefusing = false;
  #isStalled = false;

  constructor(target: ProxyTarget, seed = 1) {
    this.#target = target;
    this.#random = new SeededRandom(seed);
  }

  /** Listens on 127.0.0.1, on any port unless told; returns the port to give the board. */
  async start(port = 0): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#accept(socket);
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.on("error", reject);
      server.listen(port, "127.0.0.1", resolve);
    });
    return (server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.drop();
    await new Promise<void>((resolve) => {
      if (this.#server)
        this.#server.close(() => {
          resolve();
        });
      else resolve();
    });
  }

  /** Nothing passes, nothing is lost: until `resume`. */
  stall(): void {
    this.#isStalled = true;
    for (const link of this.#links) link.setStalled(true);
  }

  resume(): void {
    this.#isStalled = false;
    for (const link of this.#links) link.setStalled(false);
  }

  /** Breaks every connection now (RST); new ones are taken. */
  drop(): void {
    for (const link of this.#links) link.destroy();
  }

  /** Every connection of now looks open to both ends and carries nothing any more. */
  halfOpen(): void {
    for (const link of this.#links) link.goSilent();
  }

  /** New connections are refused (true) or taken again. */
  refuse(isRefusing: boolean): void {
    this.#isRefusing = isRefusing;
  }

  get openConnections(): number {
    return this.#links.size;
  }

  #accept(board: Socket): void {
    if (this.#isRefusing) {
      board.resetAndDestroy();
      return;
    }
    this.connectionCount++;
    const link = new Link(board, connect({ ...this.#target, noDelay: true, allowHalfOpen: true }), {
      later: (bytes, lastMs) => this.#arrival(bytes, lastMs),
      onPassed: (bytes) => {
        this.bytesPassed += bytes;
      },
      onEnd: () => this.#links.delete(link),
    });
    link.setStalled(this.#isStalled);
    this.#links.add(link);
  }

  /** When a piece that is here now arrives, given when the one before it does: order within a connection is kept. */
  #arrival(bytes: number, lastMs: number): number {
    const { delayMs, jitterMs, bytesPerSecond } = this.conditions;
    const transferMs = bytesPerSecond === 0 ? 0 : (bytes * 1000) / bytesPerSecond;
    const start = Math.max(
      lastMs,
      performance.now() + delayMs + (jitterMs === 0 ? 0 : this.#random.below(jitterMs + 1)),
    );
    return start + transferMs;
  }
}

interface LinkOptions {
  later: (bytes: number, lastMs: number) => number;
  onPassed: (bytes: number) => void;
  onEnd: () => void;
}

/** One connection: two sockets and a queue each way. */
class Link {
  readonly #sockets: [Socket, Socket];
  readonly #pumps: [Pump, Pump];
  readonly #onEnd: () => void;
  #hasEnded = false;

  constructor(board: Socket, relay: Socket, options: LinkOptions) {
    this.#sockets = [board, relay];
    this.#onEnd = options.onEnd;
    this.#pumps = [new Pump(board, relay, options), new Pump(relay, board, options)];
    board.setNoDelay(true);
    for (const socket of this.#sockets) {
      socket.on("error", () => {
        this.destroy();
      });
      socket.on("close", () => {
        if (this.#sockets.every((each) => each.destroyed)) this.#end();
      });
    }
  }

  setStalled(isStalled: boolean): void {
    for (const pump of this.#pumps) pump.setStalled(isStalled);
  }

  goSilent(): void {
    for (const pump of this.#pumps) pump.goSilent();
  }

  destroy(): void {
    for (const pump of this.#pumps) pump.goSilent();
    for (const socket of this.#sockets) if (!socket.destroyed) socket.resetAndDestroy();
    this.#end();
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#onEnd();
  }
}

class Pump {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #options: LinkOptions;
  /** An empty piece is the end of the stream. */
  #queue: { bytes: Buffer; dueMs: number }[] = [];
  #waitingBytes = 0;
  #lastMs = 0;
  #isStalled = false;
  #isSilent = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, options: LinkOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    from.on("data", (bytes: Buffer) => {
      this.#take(bytes);
    });
    from.on("end", () => {
      this.#take(Buffer.alloc(0));
    });
  }

  setStalled(isStalled: boolean): void {
    this.#isStalled = isStalled;
    this.#pump();
  }

  goSilent(): void {
    this.#isSilent = true;
    this.#queue = [];
    clearTimeout(this.#timer);
    this.#from.resume(); // what comes is thrown away
  }

  #take(bytes: Buffer): void {
    if (this.#isSilent) return;
    this.#lastMs = this.#options.later(bytes.length, this.#lastMs);
    this.#queue.push({ bytes, dueMs: this.#lastMs });
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#from.pause();
    this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    while (!this.#isStalled && !this.#isSilent) {
      const first = this.#queue[0];
      if (first === undefined) break;
      const waitMs = first.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.#pump();
        }, waitMs);
        return;
      }
      this.#queue.shift();
      this.#waitingBytes -= first.bytes.length;
      this.#options.onPassed(first.bytes.length);
      if (first.bytes.length === 0) this.#to.end();
      else if (!this.#to.write(first.bytes)) {
        this.#from.pause();
        this.#to.once("drain", () => this.#from.resume());
      }
    }
    if (this.#waitingBytes <= MAX_WAITING_BYTES && !this.#isStalled) this.#from.resume();
  }
}
