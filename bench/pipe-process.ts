// SPDX-License-Identifier: MIT
/** The ends of `two-hop-pipe.ts` as processes. */
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Cluster } from "./cluster";

const pipeProgram = join(dirname(fileURLToPath(import.meta.url)), "two-hop-pipe.ts");

/** Keys and chains for the pipe: those of the cluster, so that both sides pay for the same ciphers. */
export async function writePipeMaterial(cluster: Cluster): Promise<string> {
  const [relayName = ""] = await cluster.state.listIdentities("relay");
  const [clientName = ""] = await cluster.state.listIdentities("client");
  const server = await cluster.state.loadIdentity("relay", relayName);
  const client = await cluster.state.loadIdentity("client", clientName);
  const path = join(cluster.folder, "pipe.json");
  writeFileSync(
    path,
    JSON.stringify({
      serverKey: server.key,
      serverChain: server.chain,
      serverAuthority: client.ca,
      clientKey: client.key,
      clientChain: client.chain,
      clientAuthority: server.ca,
    }),
    { mode: 0o600 },
  );
  return path;
}

/** Starts one end; `line` is the first line that it prints: its port, or the source's milliseconds. */
export async function startPipeEnd(words: readonly string[]): Promise<{ child: ChildProcess; line: string }> {
  const child = spawn(process.execPath, ["--import", "tsx", pipeProgram, ...words], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (chunk: Buffer) => {
      resolve(chunk.toString().trim());
    });
    child.once("exit", (status) => {
      if (status !== 0) reject(new Error(`pipe: status ${String(status)}`));
    });
  });
  return { child, line };
}
