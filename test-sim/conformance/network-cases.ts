// SPDX-License-Identifier: MIT
/** The secure-socket port's contract, against the peers of `network-peer.ts`. */
import { ConnectionError, type Network, type SecureSocket, type Timers } from "../../firmware/core/io";
import { type PortCase, check, equal, equalBytes, pattern } from "./case";

/** Ports of one host's servers, each of another kind. */
export interface NetworkPeer {
  host: string;
  /** A relay that sends back what it gets. */
  echo: number;
  /** Greets, then closes. */
  closing: number;
  /** The right names from the wrong authority. */
  strangerAuthority: number;
  /** From the relay authority, but not a relay's. */
  otherRole: number;
  /** From the relay authority, for another host: the relay "a-relay". */
  otherHost: number;
  /** Refuses the device's certificate. */
  refusing: number;
  /** Breaks the connection when it hears anything. */
  breaking: number;
  /** Nobody listens. */
  nobody: number;
}

export type NetworkPorts = { network: Network; timers: Timers; peer: NetworkPeer };

interface Attempt {
  socket: SecureSocket;
  connected: Promise<void>;
  failed: Promise<string>;
  /** Reads until `count` bytes are there. */
  receive(count: number): Promise<Uint8Array>;
  /** Writes all, as room comes. */
  send(bytes: Uint8Array): Promise<void>;
  errors(): number;
}

/**
 * `drops`: what comes is read at once and forgotten. `takes`: it is given what came, at once. `relayName`: of a relay that was
 * found.
 */
function connect(
  { network, peer }: NetworkPorts,
  port: number,
  {
    drops = false,
    takes,
    relayName,
  }: {
    drops?: boolean;
    takes?: (socket: SecureSocket, count: number) => void;
    relayName?: string | undefined;
  } = {},
): Attempt {
  let wake = () => {};
  let errorCount = 0;
  let hasRoom = () => {};
  let onConnected = () => {};
  let onFailed: (code: string) => void = () => {};
  const connected = new Promise<void>((resolve) => (onConnected = resolve));
  const failed = new Promise<string>((resolve) => (onFailed = resolve));
  let isInside = true;
  const socket = network.connect({
    host: peer.host,
    port,
    ...(relayName === undefined ? {} : { relayName }),
    onReadable(count) {
      check(!isInside && count > 0, "onReadable inside connect, or of nothing");
      if (drops) socket.read(new Uint8Array(count));
      takes?.(socket, count);
      wake();
    },
    onWritable(count) {
      check(!isInside && count > 0, "onWritable inside connect, or of nothing");
      onConnected();
      hasRoom();
    },
    onError(error) {
      check(!isInside, "onError inside connect");
      errorCount++;
      onFailed(error instanceof ConnectionError ? error.code : "not a ConnectionError");
    },
  });
  isInside = false;
  return {
    socket,
    connected,
    failed,
    async receive(count) {
      const bytes = new Uint8Array(count);
      for (let at = 0; at < count;) {
        const got = socket.read(bytes.subarray(at));
        at += got;
        if (got === 0) await new Promise<void>((resolve) => (wake = resolve));
      }
      return bytes;
    },
    async send(bytes) {
      for (let at = 0; at < bytes.length;) {
        const room = socket.writableBytes;
        if (room === 0) {
          await new Promise<void>((resolve) => (hasRoom = resolve));
          continue;
        }
        const part = bytes.subarray(at, at + room);
        socket.write(part);
        at += part.length;
      }
    },
    errors: () => errorCount,
  };
}

const after = ({ timers }: NetworkPorts, ms: number) =>
  new Promise<void>((resolve) => timers.set(ms, resolve));

function failsWith(codes: string, port: (peer: NetworkPeer) => number, relayName?: string) {
  return async (ports: NetworkPorts) => {
    const attempt = connect(ports, port(ports.peer), { drops: true, relayName });
    const code = await attempt.failed;
    check(codes.split(" or ").includes(code), `expected ${codes}, got ${code}`);
    await after(ports, 30);
    equal(attempt.errors(), 1, "calls of onError");
    equal(attempt.socket.writableBytes, 0, "room after the error");
    attempt.socket.close();
  };
}

export const networkCases: PortCase<NetworkPorts>[] = [
  {
    name: "bytes go both ways, in order",
    async run(ports) {
      const attempt = connect(ports, ports.peer.echo);
      await attempt.connected;
      await attempt.send(pattern(1000));
      equalBytes(await attempt.receive(1000), pattern(1000), "echo");
      equal(attempt.socket.read(new Uint8Array(10)), 0, "read of nothing");
      attempt.socket.close();
    },
  },
  {
    name: "more than any buffer passes, as room comes",
    async run(ports) {
      const attempt = connect(ports, ports.peer.echo);
      await attempt.connected;
      const total = 200_000;
      const block = 4000;
      const sending = (async () => {
        for (let at = 0; at < total; at += block) await attempt.send(pattern(block, at));
      })();
      for (let at = 0; at < total; at += block)
        equalBytes(await attempt.receive(block), pattern(block, at), "echo");
      await sending;
      attempt.socket.close();
    },
  },
  {
    name: "what is viewed in one piece is what reading would have given, and is read",
    async run(ports) {
      const [total, block] = [40_000, 4000];
      let at = 0;
      let wrong = "";
      let wake = () => {};
      const attempt = connect(ports, ports.peer.echo, {
        takes(socket, count) {
          for (let rest = count, turn = 0; rest > 0; turn++) {
            const wanted = Math.min(rest, 1 + ((turn * 977) % block));
            let bytes = turn % 3 === 2 ? undefined : socket.view?.(wanted);
            if (!bytes) bytes = (bytes = new Uint8Array(wanted)).subarray(0, socket.read(bytes));
            const expected = pattern(bytes.length, at);
            if (!bytes.every((byte, i) => byte === expected[i])) wrong ||= `other bytes at ${String(at)}`;
            at += bytes.length;
            rest -= bytes.length;
          }
          if (socket.view?.(1)) wrong ||= "a view of nothing";
          wake();
        },
      });
      await attempt.connected;
      for (let sent = 0; sent < total; sent += block) {
        await attempt.send(pattern(block, sent));
        while (at < sent + block && wrong === "") await new Promise<void>((resolve) => (wake = resolve));
      }
      equal(wrong, "", "viewed");
      attempt.socket.close();
    },
  },
  {
    name: "writing more than there is room for is a RangeError",
    async run(ports) {
      const attempt = connect(ports, ports.peer.echo);
      await attempt.connected;
      let thrown = "";
      try {
        attempt.socket.write(new Uint8Array(attempt.socket.writableBytes + 1));
      } catch (error) {
        thrown = (error as Error).constructor.name;
      }
      equal(thrown, "RangeError", "thrown");
      await attempt.send(pattern(10));
      equalBytes(await attempt.receive(10), pattern(10), "echo");
      attempt.socket.close();
    },
  },
  {
    name: "no callback after close, and close twice is harmless",
    async run(ports) {
      const attempt = connect(ports, ports.peer.echo);
      await attempt.connected;
      await attempt.send(pattern(100));
      attempt.socket.close();
      attempt.socket.close();
      await after(ports, 50);
      equal(attempt.errors(), 0, "calls of onError");
      equal(attempt.socket.read(new Uint8Array(10)), 0, "read after close");
    },
  },
  {
    name: "close during the handshake is harmless",
    async run(ports) {
      const attempt = connect(ports, ports.peer.echo);
      attempt.socket.close();
      await after(ports, 50);
      equal(attempt.errors(), 0, "calls of onError");
    },
  },
  { name: "nobody listens: unreachable", run: failsWith("unreachable", (peer) => peer.nobody) },
  {
    name: "another authority's relay: certificate",
    run: failsWith("certificate", (peer) => peer.strangerAuthority),
  },
  {
    name: "a certificate that names no relay: certificate",
    run: failsWith("certificate", (peer) => peer.otherRole),
  },
  {
    name: "a relay's certificate for another host: certificate",
    run: failsWith("certificate", (peer) => peer.otherHost),
  },
  {
    name: "a relay that was found: its name counts, and not for which host its certificate is",
    async run(ports) {
      const attempt = connect(ports, ports.peer.otherHost, { relayName: "a-relay" });
      await attempt.connected;
      await attempt.send(pattern(100));
      equalBytes(await attempt.receive(100), pattern(100), "echo");
      attempt.socket.close();
      await failsWith("certificate", (peer) => peer.otherHost, "b-relay")(ports);
      await failsWith("certificate", (peer) => peer.otherHost)(ports);
    },
  },
  {
    name: "a relay that was found, of another authority: certificate",
    run: failsWith("certificate", (peer) => peer.strangerAuthority, "a-relay"),
  },
  {
    name: "a relay that was found, and is none: certificate",
    run: failsWith("certificate", (peer) => peer.otherRole, "a-relay"),
  },
  {
    // In TLS 1.3 our handshake is over before the peer has judged us: then its refusal looks like any other end.
    name: "the relay refuses the device: rejected, or closed",
    run: failsWith("rejected or closed", (peer) => peer.refusing),
  },
  { name: "the relay closes: closed", run: failsWith("closed", (peer) => peer.closing) },
  {
    name: "the connection breaks: lost",
    async run(ports) {
      const attempt = connect(ports, ports.peer.breaking);
      await attempt.connected;
      await attempt.send(pattern(100));
      equal(await attempt.failed, "lost", "code");
    },
  },
];
