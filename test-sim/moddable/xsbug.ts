// SPDX-License-Identifier: MIT
/**
 * The debugger's end of XS's debug protocol, as far as tests need it: what the machine traces, and breakpoints. The machine dials,
 * says who it is and waits for `<go/>`; then each side sends small XML elements, the machine's as `<xsbug>...</xsbug>`. Exceptions
 * do not stop it: the firmware throws and catches for ordinary things.
 */
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";

/** Where the machine stands still. */
export interface Stop {
  path: string;
  line: number;
  /** Names of the functions under way, the innermost first. */
  frames: string[];
}

const MAX_LINES = 1000; // the oldest go
/** A stop comes with all variables in sight. More is no message of the engine's. */
const MAX_MESSAGE_CHARACTERS = 4 * 1024 * 1024;
const END = "</xsbug>";

export class Xsbug {
  readonly port: number;
  /** What was traced, the newest last. */
  readonly lines: string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #breakpoints: { path: string; line: number }[] = [];
  #waiting: ((stop: Stop) => void) | undefined;
  #unfinished = "";

  private constructor(server: Server) {
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    server.on("connection", (socket) => {
      this.#join(socket);
    });
  }

  static async start(): Promise<Xsbug> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    return new Xsbug(server);
  }

  /** Resolves when a machine has come to the line, and stands there until `go`. */
  stopAt(path: string, line: number): Promise<Stop> {
    this.#breakpoints.push({ path, line });
    this.#send(`<set-breakpoint path="${path}" line="${String(line)}"/>`);
    return new Promise((resolve) => (this.#waiting = resolve));
  }

  /** Takes all breakpoints away and lets the machine run on. */
  go(): void {
    this.#breakpoints = [];
    this.#send("<clear-all-breakpoints/>");
    this.#send("<go/>");
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((done) => this.#server.close(done));
  }

  #send(element: string, sockets: Iterable<Socket> = this.#sockets): void {
    for (const socket of sockets) socket.write(`\r\n${element}\r\n`);
  }

  #join(socket: Socket): void {
    this.#sockets.add(socket);
    let received = "";
    socket.setEncoding("utf8");
    socket.on("error", () => undefined); // a killed machine resets its connection
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (text: string) => {
      received += text;
      for (;;) {
        const end = received.indexOf(END);
        if (end < 0) break;
        this.#take(received.slice(0, end), socket);
        received = received.slice(end + END.length);
      }
      if (received.length > MAX_MESSAGE_CHARACTERS) socket.destroy();
    });
  }

  #take(message: string, socket: Socket): void {
    if (message.includes("<login ")) {
      const points = this.#breakpoints.map(({ path, line }) => breakpoint(path, line)).join("");
      this.#send(`<set-all-breakpoints>${points}</set-all-breakpoints>`, [socket]);
      this.#send("<go/>", [socket]);
    }
    for (const [, text = ""] of message.matchAll(/<log(?: [^>]*)?>([^<]*)<\/log>/g)) this.#log(plain(text));
    const stopped = /<break(?: path="([^"]*)" line="(\d+)")?[^>]*>/.exec(message);
    if (!stopped) return;
    const [, path = "", line = "0"] = stopped;
    const frames = [...message.matchAll(/<frame name="([^"]*)"/g)].map(([, name = ""]) => plain(name));
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) waiting({ path: plain(path), line: Number(line), frames });
    else this.#send("<go/>", [socket]);
  }

  #log(text: string): void {
    const [first = "", ...more] = text.split("\n");
    let line = this.#unfinished + first;
    for (const next of more) {
      this.lines.push(line);
      line = next;
    }
    this.#unfinished = line.slice(-MAX_MESSAGE_CHARACTERS);
    if (this.lines.length > MAX_LINES) this.lines.splice(0, this.lines.length - MAX_LINES);
  }
}

function breakpoint(path: string, line: number): string {
  return `<breakpoint path="${path}" line="${String(line)}"/>`;
}

const NAMED: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

function plain(text: string): string {
  return text.replace(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16));
      if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
      return NAMED[name ?? ""] ?? whole;
    },
  );
}
