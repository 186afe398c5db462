// SPDX-License-Identifier: MIT
/**
 * Lines: a client's and a device's TCP connection, joined. What passes is TLS between those two, which the relay neither
 * ends nor could: it costs two system calls where a channel costs decrypting and encrypting again. SPEC.md "Lines".
 *
 * A line is as good as the links on which its tickets were given out: it ends with either.
 *
 * Memory: what one end has not taken is at most LINE_QUEUE_BYTES and what was read at once, in each direction; then the
 * other end is not read.
 */
import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { TICKET_BYTES } from "../firmware/protocol/limits";
import { GOODBYE_MS, JOIN_TIMEOUT_MS, MAX_LINES, MAX_LINES_PER_LINK } from "./limits";
import type { Link } from "./link";

interface End {
  line: Line;
  isClient: boolean;
}

export interface Line {
  client: Link;
  device: Link;
  /** Ends that have joined. */
  clientSocket?: Socket;
  deviceSocket?: Socket;
  openedAtMs: number;
  bytesToDevice: number;
  bytesToClient: number;
}

export interface LinesOptions {
  nowMs: () => number;
  /** Once, also for a line that nobody joined. */
  onClosed(line: Line): void;
}

export class Lines {
  bytesToDevices = 0;
  bytesToClients = 0;
  readonly #options: LinesOptions;
  readonly #lines = new Set<Line>();
  /** Those that were not shown yet, in hexadecimal. */
  readonly #tickets = new Map<string, End>();

  constructor(options: LinesOptions) {
    this.#options = options;
  }

  get count(): number {
    return this.#lines.size;
  }

  /** What waits here for ends that take it slowly. */
  get queuedBytes(): number {
    let bytes = 0;
    for (const { clientSocket, deviceSocket } of this.#lines)
      bytes += (clientSocket?.writableLength ?? 0) + (deviceSocket?.writableLength ?? 0);
    return bytes;
  }

  /** A ticket for each side; undefined when there are as many lines as the relay or one of the links may have. */
  open(client: Link, device: Link): { clientTicket: Buffer; deviceTicket: Buffer } | undefined {
    const isFull = [client, device].some(({ lines }) => lines.size >= MAX_LINES_PER_LINK);
    if (isFull || this.#lines.size >= MAX_LINES) return undefined;
    const openedAtMs = this.#options.nowMs();
    const line: Line = { client, device, openedAtMs, bytesToDevice: 0, bytesToClient: 0 };
    this.#lines.add(line);
    client.lines.add(line);
    device.lines.add(line);
    return { clientTicket: this.#issue(line, true), deviceTicket: this.#issue(line, false) };
  }

  /** A connection that shows a ticket; false when it is none, or was shown before. */
  join(socket: Socket, ticket: Uint8Array): boolean {
    const key = Buffer.from(ticket).toString("hex");
    const end = this.#tickets.get(key);
    if (!end) return false;
    this.#tickets.delete(key);
    const { line, isClient } = end;
    line[isClient ? "clientSocket" : "deviceSocket"] = socket;
    socket.on("error", () => undefined); // "close" follows
    socket.once("close", () => {
      this.close(line);
    });
    const { clientSocket, deviceSocket } = line;
    if (clientSocket && deviceSocket) this.#connect(line, clientSocket, deviceSocket);
    return true;
  }

  /** Ends a line; what was taken for one end and is still on its way there may arrive. */
  close(line: Line): void {
    if (!this.#lines.delete(line)) return;
    line.client.lines.delete(line);
    line.device.lines.delete(line);
    for (const [key, end] of this.#tickets) if (end.line === line) this.#tickets.delete(key);
    for (const socket of [line.clientSocket, line.deviceSocket]) if (socket) end(socket);
    this.#options.onClosed(line);
  }

  /** Called about every second. */
  tick(nowMs: number): void {
    for (const line of this.#lines) {
      const isWaiting = !line.clientSocket || !line.deviceSocket;
      if (isWaiting && nowMs - line.openedAtMs > JOIN_TIMEOUT_MS) this.close(line);
    }
  }

  #issue(line: Line, isClient: boolean): Buffer {
    const ticket = randomBytes(TICKET_BYTES);
    this.#tickets.set(ticket.toString("hex"), { line, isClient });
    return ticket;
  }

  #connect(line: Line, client: Socket, device: Socket): void {
    pass(client, device, (bytes) => {
      line.bytesToDevice += bytes;
      this.bytesToDevices += bytes;
    });
    pass(device, client, (bytes) => {
      line.bytesToClient += bytes;
      this.bytesToClients += bytes;
    });
  }
}

/** After what is queued for it, if it takes that. */
function end(socket: Socket): void {
  const timer = setTimeout(() => {
    socket.destroy();
  }, GOODBYE_MS);
  socket.once("close", () => {
    clearTimeout(timer);
  });
  socket.destroySoon();
}

function pass(from: Socket, to: Socket, count: (bytes: number) => void): void {
  from.on("data", (bytes: Buffer) => {
    count(bytes.length);
    if (!to.write(bytes)) from.pause();
  });
  to.on("drain", () => {
    from.resume();
  });
}
