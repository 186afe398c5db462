// SPDX-License-Identifier: MIT
/** Composes a relay from its parts and runs it until it is told to stop. `coffer relay` is its command line. */
import { type Announcement, announce } from "./announce";
import { isName } from "./authenticate";
import { EventLog } from "./events";
import { type IdentityFiles, type RelayIdentity, readIdentity, watchFiles } from "./identity-files";
import { MetricsServer } from "./metrics";
import { RelayServer } from "./server";

const DEFAULT_HEARTBEAT_SECONDS = 20;

export interface RelayOptions {
  /** Port 0 takes a free one. */
  listen: { host: string; port: number };
  /** As in the relay's certificate. */
  name: string;
  /** PEM. Read again when they change, and on SIGHUP. */
  files: IdentityFiles;
  /** Plain HTTP: a loopback address. */
  metrics?: { host: string; port: number };
  /** Answer broadcasts and announce by mDNS; off unless asked for. */
  discovery?: boolean;
  /** UDP port of discovery when not the usual one. */
  discoveryPort?: number;
  heartbeatSeconds?: number;
  /** Takes one JSON object a call. */
  log(line: string): void;
  /** Stops the relay, gracefully. */
  signal: AbortSignal;
  onListening?(address: { host: string; port: number; metricsPort?: number }): void;
}

/** Resolves when the relay has stopped; rejects when it could not start, with a message that names the cause. */
export async function runRelay(options: RelayOptions): Promise<void> {
  const events = new EventLog((line) => {
    options.log(line);
  });
  const { heartbeatSeconds = DEFAULT_HEARTBEAT_SECONDS, files } = options;
  if (!isName(options.name)) throw new TypeError(`name: expected 1..32 of [a-z0-9-], got ${options.name}`);
  if (!(Number.isInteger(heartbeatSeconds) && heartbeatSeconds >= 1 && heartbeatSeconds <= 3600))
    throw new RangeError(`heartbeatSeconds: expected 1..3600, got ${String(heartbeatSeconds)}`);
  const identity = await readIdentity(files);
  const server = new RelayServer({ name: options.name, identity, heartbeatSeconds, events });
  const closers: (() => Promise<void> | void)[] = [];
  try {
    closers.push(() => server.stop());
    const address = await server.listen(options.listen);
    let metricsPort: number | undefined;
    if (options.metrics) {
      const metrics = new MetricsServer(server);
      closers.unshift(() => metrics.close());
      metricsPort = (await metrics.listen(options.metrics)).port;
    }
    const announced =
      options.discovery === true ? announceRelay(server, options, address.port, events) : undefined;
    if (announced) closers.unshift(() => announced.close());
    closers.unshift(
      followFiles(server, files, identity, events, () => {
        announced?.update();
      }),
    );
    events.add({
      event: "listening",
      name: options.name,
      remote: `${address.address}:${String(address.port)}`,
    });
    options.onListening?.({
      host: address.address,
      port: address.port,
      ...(metricsPort === undefined ? {} : { metricsPort }),
    });
    await aborted(options.signal);
    events.add({ event: "stopping" });
  } finally {
    for (const close of closers) await close();
  }
  events.add({ event: "stopped" });
}

function announceRelay(
  server: RelayServer,
  { name, listen, discoveryPort }: RelayOptions,
  port: number,
  events: EventLog,
): Announcement {
  return announce({
    name,
    port,
    isLocal: listen.host === "localhost" || listen.host === "::1" || listen.host.startsWith("127."),
    fingerprint: () => server.fingerprint,
    onError: (error) => {
      events.add({ event: "discoveryFailed", reason: error.message });
    },
    ...(discoveryPort === undefined ? {} : { discoveryPort }),
  });
}

/** Keeps the server's identity equal to the files. Returns what ends that. */
function followFiles(
  server: RelayServer,
  files: IdentityFiles,
  first: RelayIdentity,
  events: EventLog,
  onReplaced: () => void,
): () => void {
  let seen = textOf(first);
  let reading: Promise<void> = Promise.resolve();
  const reread = async (): Promise<void> => {
    try {
      const identity = await readIdentity(files);
      const text = textOf(identity);
      if (text === seen) return;
      seen = text;
      server.replaceIdentity(identity);
      onReplaced();
      events.add({ event: "reloaded" });
    } catch (error) {
      events.add({ event: "reloadFailed", reason: error instanceof Error ? error.message : String(error) });
    }
  };
  const onChange = (): void => {
    reading = reading.then(reread);
  };
  const watching = watchFiles(Object.values(files), onChange);
  process.on("SIGHUP", onChange);
  return () => {
    watching.close();
    process.off("SIGHUP", onChange);
  };
}

/** Equal when nothing has changed. */
function textOf({ tls, trust }: RelayIdentity): string {
  return JSON.stringify([tls.cert, tls.key, tls.ca, [...trust.revoked]]);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else
      signal.addEventListener(
        "abort",
        () => {
          resolve();
        },
        { once: true },
      );
  });
}
