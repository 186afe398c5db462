// SPDX-License-Identifier: MIT
/** Every port's contract against every adapter that is present. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Storage } from "../../firmware/core/io";
import { LimitedStorage } from "../../firmware/core/limited-storage";
import { FilePreferences } from "../../firmware/platform/node/file-preferences";
import { FolderStorage } from "../../firmware/platform/node/folder-storage";
import { nodeCrypto, nodeEntropy } from "../../firmware/platform/node/node-crypto";
import { nodeClock, nodeTimers } from "../../firmware/platform/node/node-ports";
import { TlsNetwork } from "../../firmware/platform/node/tls-network";
import { SimCard } from "../card";
import { MemoryPreferences } from "../memory-preferences";
import { SimNetwork } from "../sim-network";
import { RealTime } from "../sim-time";
import { xsBoardProgram } from "../xs-build";
import { cryptoCases } from "./crypto-cases";
import { networkCases } from "./network-cases";
import { type RunningPeer, startNetworkPeer } from "./network-peer";
import { describeCases } from "./run-cases";
import { storageCases } from "./storage-cases";
import { systemCases } from "./system-cases";
import { runOnXs } from "./xs-run";

const BUILD_MS = 180_000; // the first run compiles the engine

const folders: string[] = [];
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "coffer-card-"));
  folders.push(folder);
  return folder;
}
let running: RunningPeer | undefined;
async function peer(): Promise<RunningPeer> {
  return (running ??= await startNetworkPeer());
}
before(async function () {
  this.timeout(BUILD_MS);
  await xsBoardProgram();
  await peer();
});
after(async () => {
  for (const folder of folders) rmSync(folder, { recursive: true });
  await running?.close();
});

describeCases<Storage>("storage port: simulated card in memory", storageCases, () => new SimCard());
describeCases<Storage>(
  "storage port: simulated card in a folder",
  storageCases,
  () => new SimCard({ folder: newFolder() }),
);
describeCases<Storage>(
  "storage port: folder of the host node",
  storageCases,
  () => new FolderStorage({ root: newFolder() }),
);
describeCases<Storage>(
  "storage port: a part of a host node's disk",
  storageCases,
  () => new LimitedStorage({ storage: new FolderStorage({ root: newFolder() }), capacityBytes: 4 * 2 ** 20 }),
);
describeCases("cryptography port: host node", cryptoCases, () => nodeCrypto);
describeCases("system ports: simulator", systemCases, () => {
  const time = new RealTime();
  return { clock: time, timers: time, entropy: nodeEntropy, preferences: new MemoryPreferences() };
});
describeCases("system ports: host node", systemCases, () => {
  const preferences = new FilePreferences({ path: join(newFolder(), "settings.json") });
  return { clock: nodeClock, timers: nodeTimers, entropy: nodeEntropy, preferences };
});
describeCases("network port: simulator", networkCases, async () => {
  const { identity, peer: at } = await peer();
  return { network: new SimNetwork(identity), timers: nodeTimers, peer: at };
});
describeCases("network port: host node", networkCases, async () => {
  const { identity, peer: at } = await peer();
  const { key: keyPem, cert: certificatePem, ca: relayAuthorityPem } = identity;
  const network = new TlsNetwork({ identity: { keyPem, certificatePem, relayAuthorityPem } });
  return { network, timers: nodeTimers, peer: at };
});

describe("on the XS engine", () => {
  const suites = { storage: storageCases, crypto: cryptoCases, system: systemCases, network: networkCases };
  for (const [suite, cases] of Object.entries(suites))
    describe(`${suite} port`, () => {
      cases.forEach(({ name }, index) => {
        it(name, async () => {
          const { identity, peer: at } = await peer();
          await runOnXs({ suite, index, peer: at }, identity);
        });
      });
    });
});
