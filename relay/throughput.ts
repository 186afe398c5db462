// SPDX-License-Identifier: MIT
/**
 * What the relay costs: a device sends to a client through the relay, and the same bytes go through two mutual-TLS
 * connections that a bare Node process pipes together. Each part is a process of its own.
 *
 *   node --import tsx relay/throughput.ts [MiB [WORD]]
 *
 * WORD picks the cases whose name holds it; PROFILE=relay in the environment writes a CPU profile of that part.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:tls";
import { fileURLToPath } from "node:url";
import { FRAME_HEADER_BYTES, FrameType, writeFrameHeader } from "../firmware/protocol/frame";
import { MAX_WINDOW_BYTES } from "../firmware/protocol/limits";
import { credit } from "../firmware/protocol/link-messages";
import { decode } from "../firmware/protocol/message";
import type { TestIdentity } from "./test-authority";
import { TestEndpoint } from "./test-endpoint";
import { TestRelay, identityOf } from "./test-relay";

interface Job {
  part: "relay" | "pipe" | "source" | "sink" | "pipeSource" | "pipeSink";
  port: number;
  authority: string;
  identity: TestIdentity;
  bytes: number;
  payloadBytes: number;
  framesPerWrite: number;
}

/** What a part tells the process that started it. */
interface Told {
  error?: string;
  port?: number;
  authority?: string;
  device?: TestIdentity;
  client?: TestIdentity;
  cpuSeconds?: number;
  rss?: number;
  seconds?: number;
}

function tell(message: Told): void {
  process.send?.(message);
}

const parts: Record<Job["part"], (job: Job) => Promise<void>> = {
  async relay() {
    serve((await TestRelay.start()).port);
  },
  async pipe() {
    const { certificate: cert, key } = TestRelay.relayAuthority.issue({
      uris: ["coffer:relay:relay1"],
      usage: "server",
      hosts: ["127.0.0.1"],
    });
    const waiting: NodeJS.ReadWriteStream[] = [];
    const server = createServer(
      { cert, key, ca: TestRelay.deviceAuthority.certificate, requestCert: true, noDelay: true },
      (socket) => {
        socket.on("error", () => undefined);
        waiting.push(socket);
        const [first, second] = waiting;
        if (first && second) second.pipe(first);
      },
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    serve((server.address() as { port: number }).port);
  },
  async source(job) {
    const device = await TestEndpoint.connect(job.port, job.authority, job.identity);
    await device.hello();
    tell({});
    const { channel } = await device.next(FrameType.open);
    device.accept(channel);
    let window = MAX_WINDOW_BYTES;
    const size = job.payloadBytes + FRAME_HEADER_BYTES;
    const batch = Buffer.alloc(size * job.framesPerWrite, 7);
    for (let i = 0; i < job.framesPerWrite; i++)
      writeFrameHeader(batch, i * size, { type: FrameType.data, channel, payloadBytes: job.payloadBytes });
    for (let sent = 0; sent < job.bytes; sent += batch.length) {
      while (window < batch.length)
        window += decode(credit, (await device.next(FrameType.credit)).payload).bytes;
      window -= batch.length;
      if (!device.socket.write(batch)) await once(device.socket, "drain");
    }
  },
  async sink(job) {
    const client = await TestEndpoint.connect(job.port, job.authority, job.identity);
    await client.hello();
    client.countsData = true;
    let ungranted = 0;
    client.onData = ({ payload }) => {
      ungranted += payload.length + FRAME_HEADER_BYTES;
      if (ungranted < MAX_WINDOW_BYTES / 8) return;
      client.grant(1, ungranted);
      ungranted = 0;
    };
    client.open(1, { creditBytes: MAX_WINDOW_BYTES });
    await receive(client, job);
  },
  async pipeSource(job) {
    const device = await TestEndpoint.connect(job.port, job.authority, job.identity);
    const bytes = Buffer.alloc(65536, 7);
    for (let sent = 0; sent < job.bytes; sent += bytes.length)
      if (!device.socket.write(bytes)) await once(device.socket, "drain");
  },
  async pipeSink(job) {
    const client = await TestEndpoint.connect(job.port, job.authority, job.identity);
    tell({});
    client.socket.removeAllListeners("data");
    client.socket.on("data", (chunk: Buffer) => {
      client.dataBytes += chunk.length;
    });
    await receive(client, job);
  },
};

/** Reports the port, and on each message how much processor time has gone since the last. */
function serve(port: number): void {
  let before = process.cpuUsage();
  process.on("message", () => {
    const { user, system } = process.cpuUsage(before);
    before = process.cpuUsage();
    tell({ cpuSeconds: (user + system) / 1e6, rss: process.memoryUsage().rss });
  });
  process.once("SIGTERM", () => {
    process.exit();
  });
  const authority = TestRelay.relayAuthority.certificate;
  tell({ port, authority, device: identityOf("device", "cam1"), client: identityOf("client", "laptop") });
}

/** Tells how long the bytes took, from the first to the last. */
async function receive(client: TestEndpoint, job: Job): Promise<void> {
  let startedMs = 0;
  await new Promise<void>((resolve) => {
    client.socket.on("data", () => {
      if (startedMs === 0) startedMs = performance.now();
      if (client.dataBytes >= job.bytes) resolve();
    });
  });
  tell({ seconds: (performance.now() - startedMs) / 1000 });
}

class Part {
  readonly #child: ChildProcess;
  readonly #told: Told[] = [];

  constructor(job: Partial<Job>) {
    const profiling =
      process.env["PROFILE"] === job.part ? ["--cpu-prof", "--cpu-prof-dir=/tmp/coffer-prof"] : [];
    this.#child = fork(fileURLToPath(import.meta.url), { execArgv: ["--import", "tsx", ...profiling] });
    this.#child.on("message", (message: Told) => {
      this.#told.push(message);
    });
    this.#child.send(job);
  }

  async next(): Promise<Told> {
    while (this.#told.length === 0) await once(this.#child, "message");
    const message = this.#told.shift() ?? {};
    if (message.error !== undefined) throw new Error(message.error);
    return message;
  }

  async ask(): Promise<Told> {
    this.#child.send({});
    return this.next();
  }

  stop(): void {
    this.#child.kill();
  }
}

async function measure(
  kind: "relay" | "pipe",
  shape: { bytes: number; payloadBytes: number; framesPerWrite: number },
): Promise<string> {
  const server = new Part({ part: kind });
  const { port = 0, authority = "", device, client } = await server.next();
  if (!device || !client) throw new Error("no identities");
  const job = { ...shape, port, authority };
  const devicePart: Job = { ...job, part: kind === "relay" ? "source" : "pipeSource", identity: device };
  const clientPart: Job = { ...job, part: kind === "relay" ? "sink" : "pipeSink", identity: client };
  // What the other waits for comes first: the relay's device, the pipe's receiver.
  const first = new Part(kind === "relay" ? devicePart : clientPart);
  await first.next();
  await server.ask();
  const second = new Part(kind === "relay" ? clientPart : devicePart);
  const { seconds = 0 } = await (kind === "relay" ? second : first).next();
  const { cpuSeconds = 0, rss = 0 } = await server.ask();
  for (const part of [first, second, server]) part.stop();
  const gigabytes = shape.bytes / 1e9;
  return [
    `${(shape.bytes / 1e6 / seconds).toFixed(0)} MB/s`,
    `${(cpuSeconds / gigabytes).toFixed(2)} s CPU/GB`,
    `${(rss / 1e6).toFixed(0)} MB resident`,
  ].join(", ");
}

if (process.send) {
  process.once("message", (job: Job) => {
    parts[job.part](job).catch((error: unknown) => {
      tell({ error: String(error) });
    });
  });
} else {
  const bytes = Number(process.argv[2] ?? 1024) * 1024 * 1024;
  for (const [name, kind, payloadBytes, framesPerWrite] of [
    ["bare pipe", "pipe", 0, 0],
    ["relay, 16378-byte payloads, one frame a write", "relay", 16378, 1],
    ["relay, 16378-byte payloads, four frames a write", "relay", 16378, 4],
    ["relay, 4096-byte payloads, eight frames a write", "relay", 4096, 8],
    ["bare pipe", "pipe", 0, 0],
  ] as const)
    if (name.includes(process.argv[3] ?? ""))
      process.stdout.write(`${name}: ${await measure(kind, { bytes, payloadBytes, framesPerWrite })}
`);
}
