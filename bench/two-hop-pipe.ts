// SPDX-License-Identifier: MIT
/**
 * The yardstick of the push benchmark: bytes from one process through a second to a third, mutual TLS on both hops,
 * nothing else. No framing, no hashing, and no disk, unless the source is given a file to send and the sink one to
 * store. Run as `two-hop-pipe.ts sink|middle|source ...` by `bench/push.ts`.
 */
import { randomBytes } from "node:crypto";
import { fsyncSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import tls from "node:tls";

interface Material {
  serverKey: string;
  serverChain: string;
  serverAuthority: string;
  clientKey: string;
  clientChain: string;
  clientAuthority: string;
}

const [role = "", materialFile = "", ...rest] = process.argv.slice(2);
const material = JSON.parse(readFileSync(materialFile, "utf8")) as Material;
const server = {
  key: material.serverKey,
  cert: material.serverChain,
  ca: material.clientAuthority,
  requestCert: true,
};
const client = {
  host: "127.0.0.1",
  key: material.clientKey,
  cert: material.clientChain,
  ca: material.serverAuthority,
  checkServerIdentity: () => undefined,
};

/** Says where it listens on standard output, for the parent. */
function listen(handler: (socket: tls.TLSSocket) => void): void {
  const listener = tls.createServer(server, handler);
  listener.listen(0, "127.0.0.1", () => {
    const address = listener.address();
    if (address && typeof address === "object") process.stdout.write(`${address.port}\n`);
  });
}

if (role === "sink") {
  // counts to the agreed number of bytes, then answers one byte
  const [expected, path] = [Number(rest[0]), rest[1]];
  listen((socket) => {
    let received = 0;
    const file = path === undefined ? undefined : openSync(path, "w");
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
      if (file !== undefined) writeSync(file, chunk);
      if (received < expected) return;
      if (file !== undefined) fsyncSync(file);
      socket.end("k");
    });
  });
} else if (role === "middle") {
  const sinkPort = Number(rest[0]);
  listen((socket) => {
    const next = tls.connect({ ...client, port: sinkPort });
    socket.pipe(next);
    next.pipe(socket);
  });
} else if (role === "source") {
  const [middlePort, totalBytes, path] = [Number(rest[0]), Number(rest[1]), rest[2]];
  const file = path === undefined ? undefined : openSync(path, "r");
  const blockBytes = 256 * 1024;
  const noise = randomBytes(blockBytes);
  const nextBlock = (): Buffer => {
    if (file === undefined) return noise;
    const block = Buffer.allocUnsafe(blockBytes);
    return block.subarray(0, readSync(file, block));
  };
  const started = performance.now();
  const socket = tls.connect({ ...client, port: middlePort }, () => {
    let sent = 0;
    const pump = (): void => {
      while (sent < totalBytes) {
        const piece = nextBlock().subarray(0, totalBytes - sent);
        sent += piece.length;
        if (!socket.write(piece)) {
          socket.once("drain", pump);
          return;
        }
      }
    };
    pump();
  });
  socket.on("data", () => {
    process.stdout.write(`${(performance.now() - started).toFixed(1)}\n`);
    process.exit(0);
  });
} else {
  throw new Error(`role: expected sink, middle or source, got "${role}"`);
}
