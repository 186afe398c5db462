// SPDX-License-Identifier: MIT
/** Runs one suite on the real SDK and prints a line a case; moddable.test.ts reads them. */
import { Device } from "../../../firmware/core/device";
import type { Ports } from "../../../firmware/core/io";
import { installAbortHook } from "../../../firmware/platform/moddable/abort-hook";
import { type BasePorts, createBasePorts } from "../../../firmware/platform/moddable/base-ports";
import { FileMode, NativeFile, createDirectory } from "../../../firmware/platform/moddable/coffer-files";
import {
  MEMORY_COUNTERS,
  MemoryCounter,
  monotonicMs,
  readMemory,
} from "../../../firmware/platform/moddable/coffer-system";
import { ModdableEntropy } from "../../../firmware/platform/moddable/moddable-system";
import { FolderPreferences } from "../../../firmware/platform/moddable/folder-preferences";
import CofferTcp from "../../../firmware/platform/moddable/lin/coffer-tcp";
import { ModdableDiscovery } from "../../../firmware/platform/moddable/moddable-discovery";
import { createModdablePorts } from "../../../firmware/platform/moddable/moddable-ports";
import { cryptoCases } from "../../conformance/crypto-cases";
import { networkCases } from "../../conformance/network-cases";
import { storageCases } from "../../conformance/storage-cases";
import { systemCases } from "../../conformance/system-cases";
import { runProtocolChecks } from "../../protocol/protocol-checks";
import { lacksIdentity } from "../../../firmware/platform/moddable/start-device";
import { argument, exit, print } from "./coffer-cli-host";
import { DNSSD, LoopbackUdp } from "./loopback-udp";
import { mediumCases } from "./medium-checks";
import type { ProgramConfig } from "./program-config";
import { openCard, startUpload, storeCases } from "./store-checks";

function readFile(path: string): ArrayBuffer {
  const file = new NativeFile();
  if (file.open(path, FileMode.read) < 0) throw new Error(`${path} cannot be read`);
  const bytes = new Uint8Array(file.size());
  file.read(bytes, 0);
  file.close();
  return bytes.buffer;
}

const config = JSON.parse(String.fromArrayBuffer(readFile(argument(0) ?? ""))) as ProgramConfig;

function portsIn(name: string): Ports & BasePorts {
  const { identity, folder, device, host, discovery } = config;
  createDirectory(`${folder}/${name}`);
  const base = createBasePorts(print, new FolderPreferences(`${folder}/${name}/flash`));
  return createModdablePorts({
    base,
    root: `${folder}/${name}/card`,
    identity: {
      relayAuthority: readFile(identity.relayAuthority),
      certificate: readFile(identity.certificate),
      key: readFile(identity.key),
    },
    tcp: CofferTcp,
    // A name server that knows one name.
    resolve(name, done) {
      base.timers.set(1, () => {
        done(name === host ? "127.0.0.1" : undefined);
      });
    },
    ...(discovery
      ? {
          discovery: new ModdableDiscovery({
            udp: LoopbackUdp.to(discovery.mdnsPort),
            dnssd: DNSSD,
            targets: ["127.0.0.1"],
            port: discovery.port,
            entropy: new ModdableEntropy(),
            timers: base.timers,
          }),
        }
      : {}),
    ...(device?.maxFragmentBytes === undefined ? {} : { maxFragmentBytes: device.maxFragmentBytes }),
  });
}

let failures = 0;

function report(name: string, problem?: string): void {
  if (problem === undefined) print(`ok ${name}`);
  else {
    failures++;
    print(`not ok ${name}: ${problem}`);
  }
}

async function runCases(cases: { name: string; run(ports: never): Promise<void> }[]): Promise<void> {
  let number = 0;
  for (const { name, run } of cases) {
    try {
      const folder = `case-${++number}`;
      await run({ ...portsIn(folder), peer: config.peer, folder: `${config.folder}/${folder}` } as never);
      report(name);
    } catch (error) {
      report(name, String(error));
    }
  }
}

function memory(): string {
  const counters = new Float64Array(MEMORY_COUNTERS);
  readMemory(counters.buffer);
  const at = (counter: number): number => counters[counter] ?? 0;
  const { slotBytes, slots, slotsPeak, chunks, chunksPeak } = MemoryCounter;
  return `slots ${at(slots)} peak ${at(slotsPeak)} of ${at(slotBytes)} bytes, chunks ${at(chunks)} peak ${at(chunksPeak)} bytes`;
}

/** One blob of `sizeBytes` to the card and back, without TLS. */
async function throughput(sizeBytes: number): Promise<void> {
  const ports = portsIn("card");
  const card = await openCard(ports);
  const piece = new Uint8Array(4096);
  const fill = (at: number): void => {
    for (let i = 0; i < 16; i++) piece[i] = (at >>> i) & 255;
  };
  const hash = ports.crypto.createSha256();
  for (let at = 0; at < sizeBytes; at += piece.length) {
    fill(at);
    hash.write(piece);
  }
  const id = hash.close();
  print(`memory before: ${memory()}`);
  const start = monotonicMs();
  const { upload, stored, room } = await startUpload(card, id, sizeBytes);
  for (let at = 0; at < sizeBytes; at += piece.length) {
    if (upload.isHeld) await room();
    fill(at);
    upload.write(piece);
  }
  await stored;
  const middle = monotonicMs();
  const reader = card.blobs.open(id);
  const again = ports.crypto.createSha256();
  for (let at = 0; at < sizeBytes; at += piece.length) {
    reader.read(piece, at);
    again.write(piece);
  }
  reader.close();
  report("what is read is what was stored", again.close().join() === id.join() ? undefined : "other bytes");
  const speed = (ms: number): string => (sizeBytes / 1e3 / Math.max(1, ms)).toFixed(1);
  print(`stored at ${speed(middle - start)} MB/s, read at ${speed(monotonicMs() - middle)} MB/s`);
  print(`memory after: ${memory()}`);
  card.close();
}

/** Tells what came of a connection to each port. */
async function connections(serverPorts: number[], host = "127.0.0.1", listens = false): Promise<void> {
  const { network } = portsIn("connections");
  for (const port of serverPorts) {
    const outcome = await new Promise<string>((resolve) => {
      let hasWritten = false;
      const socket = network.connect({
        host,
        port,
        onReadable(count) {
          socket.read(new Uint8Array(count));
        },
        onWritable() {
          if (hasWritten) return;
          hasWritten = true;
          socket.write(Uint8Array.of(1, 2, 3));
          if (listens) return;
          socket.close();
          resolve("connected");
        },
        onError(error) {
          resolve(`${error.code}: ${error.message}`);
        },
      });
    });
    print(`outcome ${outcome}`);
  }
}

/** Tells what is found; what is not has `timeoutMs` to come. */
async function find(timeoutMs: number): Promise<void> {
  const { discovery } = portsIn("discovery");
  await new Promise<void>((resolve) => {
    discovery?.find({
      timeoutMs,
      onFound({ host, port, name }) {
        print(`found ${host}:${port} ${name}`);
      },
      onDone: resolve,
    });
  });
}

function runDevice(device: NonNullable<ProgramConfig["device"]>): void {
  const ports = portsIn("device");
  const { name, relay, limits, pairingSecret, failAfterMs } = device;
  installAbortHook(ports);
  new Device({
    ...ports,
    config: {
      name,
      ...(relay ? { relay } : {}),
      limits,
      firmwareVersion: "0.1.0",
      pairings: [Uint8Array.fromHex(pairingSecret)],
    },
    host: "simulator",
    onState(state) {
      print(`state ${state}`);
    },
  });
  if (failAfterMs !== undefined)
    ports.timers.set(failAfterMs, () => {
      throw new TypeError("a fault for tests");
    });
  const tell = (): void => {
    print(`memory ${memory()}`);
    ports.timers.set(1000, tell);
  };
  tell();
}

async function run(): Promise<void> {
  const { suite, vectors, fuzzRounds, ports: serverPorts, sizeBytes, device, discovery } = config;
  if (suite === "storage")
    await runCases(
      storageCases.map(({ name, run: one }) => ({ name, run: (ports: Ports) => one(ports.storage) })),
    );
  else if (suite === "crypto")
    await runCases(
      cryptoCases.map(({ name, run: one }) => ({ name, run: (ports: Ports) => one(ports.crypto) })),
    );
  else if (suite === "system") await runCases(systemCases);
  else if (suite === "network") await runCases(networkCases);
  else if (suite === "store") await runCases(storeCases);
  else if (suite === "medium") await runCases(mediumCases);
  else if (suite === "protocol" && vectors) {
    const { crypto } = portsIn("protocol");
    runProtocolChecks(vectors, crypto, report, fuzzRounds === undefined ? {} : { fuzzRounds });
  } else if (suite === "connections") await connections(serverPorts ?? [], config.host, config.listens);
  else if (suite === "throughput") await throughput(sizeBytes ?? 0);
  else if (suite === "discovery") await find(discovery?.timeoutMs ?? 0);
  else if (suite === "identity")
    report("an image without files says so", lacksIdentity(portsIn("identity")) ? undefined : "it has some");
  else if (suite === "device" && device) {
    runDevice(device);
    return;
  }
  exit(failures === 0 ? 0 : 1);
}

run().catch((error: unknown) => {
  print(`not ok ${String(error)}`);
  exit(1);
});
