// SPDX-License-Identifier: MIT
/**
 * What devices cost that are connected and silent: resident memory of a relay process with many of them.
 *
 *   node --expose-gc --import tsx relay/idle-memory.ts [DEVICES]
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { IdentityFiles } from "./identity-files";

/** The relay, and nothing else, in a process of its own. */
async function serve(files: IdentityFiles): Promise<void> {
  const { runRelay } = await import("./main");
  process.on("message", () => {
    globalThis.gc?.();
    const { rss, heapUsed, external } = process.memoryUsage();
    process.send?.({ rss, heapUsed, external });
  });
  await runRelay({
    listen: { host: "127.0.0.1", port: 0 },
    name: "relay1",
    files,
    heartbeatSeconds: 5,
    log: () => undefined,
    signal: new AbortController().signal,
    onListening: ({ port }) => process.send?.({ port }),
  });
}

async function main(count: number): Promise<void> {
  const { TestRelay, identityOf } = await import("./test-relay");
  const { TestEndpoint } = await import("./test-endpoint");
  const authority = TestRelay.relayAuthority.certificate;
  const relay = await TestRelay.start();
  const identities = Array.from({ length: count }, (_, i) => identityOf("device", `cam${String(i)}`));
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    const execArgv = ["--expose-gc", "--import", "tsx"];
    const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(relay.files)], { execArgv });
    const next = async <T>(): Promise<T> => ((await once(child, "message")) as [T])[0];
    const { port } = await next<{ port: number }>();
    const measure = async (what: string): Promise<number> => {
      child.send("measure");
      const { rss, heapUsed, external } = await next<{ rss: number; heapUsed: number; external: number }>();
      const text = [rss, heapUsed, external].map((bytes) => (bytes / 1e6).toFixed(1)).join(" / ");
      process.stdout.write(`${maxVersion}, ${what}: ${text} MB resident / heap / external\n`);
      return rss;
    };
    const before = await measure("no devices");
    const endpoints: InstanceType<typeof TestEndpoint>[] = [];
    for (const identity of identities) {
      const endpoint = await TestEndpoint.connect(port, authority, identity, { maxVersion });
      await endpoint.hello();
      endpoints.push(endpoint);
    }
    const after = await measure("connected");
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    const later = await measure("after two heartbeats");
    const perDevice = [after, later].map((rss) => ((rss - before) / count / 1000).toFixed(1));
    process.stdout.write(`${maxVersion}: ${perDevice.join(", then ")} kB a device\n`);
    for (const endpoint of endpoints) endpoint.destroy();
    child.kill();
  }
  await relay.stop();
}

const argument = process.argv[2] ?? "1000";
if (process.send) await serve(JSON.parse(argument) as IdentityFiles);
else await main(Number(argument));
