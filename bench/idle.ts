// SPDX-License-Identifier: MIT
/** What idle devices cost a relay, and whether a push notices them. */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeKey, makeLeaf } from "../host-tools/certs/certificate";
import { Cluster, median, memoryFolder, warm, writeRandom } from "./cluster";
import { readFigures } from "./process-figures";

const program = join(dirname(fileURLToPath(import.meta.url)), "idle-devices.ts");
const PUSH_MIB = 256;

export async function benchIdle(options: {
  devices: number;
  runs: number;
  print: (line: string) => void;
}): Promise<void> {
  const { devices, runs, print } = options;
  const cluster = new Cluster(memoryFolder());
  try {
    const relay = await cluster.start();
    await cluster.startNode("bench");
    const residentMiB = (): number => readFigures(relay.pid ?? 0)?.residentMiB ?? 0;
    const chains = await makeChains(cluster, devices);
    const alone = await pushes(cluster, runs, "alone");
    const before = residentMiB();
    const idle = spawn(process.execPath, ["--import", "tsx", program, chains], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await new Promise<void>((resolve, reject) => {
        idle.stdout.once("data", () => {
          resolve();
        });
        idle.once("exit", () => {
          reject(new Error("the idle devices ended"));
        });
      });
      const after = residentMiB();
      const beside = await pushes(cluster, runs, "beside");
      print(`${devices} idle devices on one relay`);
      print(
        `  relay: ${before.toFixed(0)} -> ${after.toFixed(0)} MiB, ${(((after - before) * 1024) / devices).toFixed(1)} KiB a device`,
      );
      print(
        `  push of ${PUSH_MIB} MiB, medians of ${runs}: alone ${alone.toFixed(2)} s, beside them ${beside.toFixed(2)} s`,
      );
    } finally {
      idle.kill("SIGKILL");
    }
  } finally {
    cluster.close();
  }
}

async function pushes(cluster: Cluster, runs: number, label: string): Promise<number> {
  const seconds: number[] = [];
  for (let run = 0; run < runs; run++) {
    const source = join(cluster.folder, "idle.bin");
    writeRandom(source, PUSH_MIB);
    warm(source, PUSH_MIB);
    seconds.push((await cluster.run(["push", source, "--to", `/${label}${run}`, "--quiet"])).seconds);
  }
  return median(seconds);
}

/** One key for all, a certificate each: 1,000 RSA keys would take minutes. */
async function makeChains(cluster: Cluster, count: number): Promise<string> {
  const authorities = join(cluster.state.home, "authorities");
  const authority = {
    certificate: readFileSync(join(authorities, "device", "certificate.pem"), "utf8"),
    key: readFileSync(join(authorities, "device", "key.pem"), "utf8"),
  };
  const [client = ""] = await cluster.state.listIdentities("client");
  const key = await makeKey();
  const chains: string[] = [];
  for (let i = 0; i < count; i++) {
    const leaf = await makeLeaf(
      authority,
      { role: "device", name: `idle-${i}`, hosts: [], days: 1, key },
      new Date(),
    );
    chains.push(leaf.certificate + authority.certificate);
  }
  const path = join(cluster.folder, "idle.json");
  const relayAuthority = (await cluster.state.loadIdentity("client", client)).ca;
  writeFileSync(path, JSON.stringify({ port: cluster.port, authority: relayAuthority, key, chains }), {
    mode: 0o600,
  });
  return path;
}
