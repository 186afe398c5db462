// SPDX-License-Identifier: MIT
/**
 * The whole way in one run: certificates, a relay and a device, push, list, pull, compare. Every step is a `coffer`
 * command in a process of its own, as on three machines; all of it lives in a temporary folder and on loopback.
 */

import { randomBytes } from "node:crypto";
import { lstat, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { DeviceRecord } from "../commands/status";
import { Refusal, fromFileError } from "../refusal";
import { printable } from "../render";
import type { RepositoryUsage } from "../repository/repository";
import { Children } from "./children";
import { type TreeComparison, compareTrees } from "./compare-trees";
import { freePort } from "./free-port";
import { needlesOf, searchFolder } from "./leak-search";

export type DemoHost = "xs-board" | "node";

export interface DemoOptions {
  path: string;
  /** What the device's firmware runs on. */
  host: DemoHost;
  signal: AbortSignal;
  /** A step is done; `detail` is for people. */
  onStep(step: { title: string; detail: string; seconds: number }): void;
  /** Lines to show as they are. */
  onLines(lines: readonly string[]): void;
}

export interface DemoReport extends TreeComparison {
  path: string;
  host: DemoHost;
  /** What the repository takes on the card. */
  storedBytes: number;
  /** Data that the relay passed on, both ways, with frame headers. */
  relayedBytes: number;
  /** Names and contents that were found on the card in the clear: none, or it is a defect. */
  leaks: string[];
  /** How many names and samples were looked for. */
  searched: number;
  device: DeviceRecord;
  seconds: Record<"certificates" | "relay" | "device" | "push" | "list" | "pull" | "compare", number>;
}

export const demoDevice = "cam1";
const startPatienceMs = 60_000;
const shownLines = 8;

export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  const path = resolve(options.path);
  await lstat(path).catch((error: unknown) => {
    throw fromFileError(error, `cannot demonstrate with ${printable(path)}`);
  });
  const folder = await mkdtemp(join(tmpdir(), "coffer-demo-"));
  const children = new Children({
    script: fileURLToPath(new URL("../bin/coffer.js", import.meta.url)),
    environment: {
      ...process.env,
      COFFER_HOME: join(folder, "home"),
      COFFER_PASSPHRASE: randomBytes(16).toString("hex"),
      COFFER_DEVICE: demoDevice,
    },
    signal: options.signal,
  });
  try {
    return await new Demo(options, path, folder, children).run();
  } finally {
    await children.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Demo {
  readonly #options: DemoOptions;
  readonly #path: string;
  readonly #name: string;
  readonly #folder: string;
  readonly #children: Children;
  readonly #seconds = { certificates: 0, relay: 0, device: 0, push: 0, list: 0, pull: 0, compare: 0 };

  constructor(options: DemoOptions, path: string, folder: string, children: Children) {
    this.#options = options;
    this.#path = path;
    this.#name = basename(path);
    this.#folder = folder;
    this.#children = children;
  }

  async run(): Promise<DemoReport> {
    const { host } = this.#options;
    const [port, metricsPort] = [await freePort(), await freePort()];
    const [card, copy] = [join(this.#folder, "card"), join(this.#folder, "pulled", this.#name)];
    await mkdir(card);
    await mkdir(join(this.#folder, "pulled"));

    await this.#step("certificates", async () => {
      const relay = `127.0.0.1:${String(port)}`;
      await this.#run("init", "--relay", relay, "--client-name", "laptop");
      await this.#run("device", "add", demoDevice, "--certs", join(this.#folder, "certs"));
      return "two authorities, a relay, a client, a device";
    });
    await this.#step("relay", async () => {
      const metrics = ["--metrics", `127.0.0.1:${String(metricsPort)}`];
      this.#children.start("relay", [
        "relay",
        "--no-discovery",
        "--listen",
        `127.0.0.1:${String(port)}`,
        ...metrics,
      ]);
      await this.#until(async () => (await this.#status()) !== undefined);
      return `mutual TLS on 127.0.0.1:${String(port)}, reads nothing`;
    });
    await this.#step("device", async () => {
      const words =
        host === "node" ? ["node", card, "--as", demoDevice] : ["sim", "--as", demoDevice, "--card", card];
      this.#children.start("device", words);
      await this.#until(async () => (await this.#status())?.isOnline === true);
      return host === "node"
        ? `${demoDevice}: the firmware on Node`
        : `${demoDevice}: the firmware on the XS engine`;
    });
    await this.#step("push", async () => {
      return this.#transfer(["push", this.#path]);
    });
    await this.#step("list", async () => {
      const lines = (await this.#run("ls", "-l", `/${this.#name}`)).trimEnd().split("\n");
      this.#options.onLines(lines.slice(0, shownLines));
      if (lines.length > shownLines)
        this.#options.onLines([`... and ${String(lines.length - shownLines)} more`]);
      return `coffer ls -l /${printable(this.#name)}`;
    });
    await this.#step("pull", async () => {
      return this.#transfer(["pull", `/${this.#name}`, "--to", copy]);
    });
    let comparison: TreeComparison = { files: 0, folders: 0, links: 0, bytes: 0, differences: [] };
    await this.#step("compare", async () => {
      comparison = await compareTrees(this.#path, copy);
      return comparison.differences.length === 0
        ? "every byte, mode, time and link is equal"
        : "there are differences";
    });
    return this.#report(comparison, card, metricsPort);
  }

  async #report(comparison: TreeComparison, card: string, metricsPort: number): Promise<DemoReport> {
    const usage = JSON.parse(await this.#run("df", "--json")) as RepositoryUsage;
    const device = await this.#status();
    if (device === undefined)
      throw new Refusal("deviceOffline", "the device of the demo does not answer any more");
    const needles = await needlesOf(this.#path);
    return {
      ...comparison,
      path: this.#path,
      host: this.#options.host,
      storedBytes: usage.packBytes,
      relayedBytes: await relayedBytes(metricsPort),
      leaks: await searchFolder(card, needles),
      searched: needles.length,
      device,
      seconds: this.#seconds,
    };
  }

  async #step(title: keyof DemoReport["seconds"], work: () => Promise<string>): Promise<void> {
    this.#options.signal.throwIfAborted();
    const startedMs = performance.now();
    const detail = await work();
    const seconds = (performance.now() - startedMs) / 1000;
    this.#seconds[title] = seconds;
    this.#options.onStep({ title, detail, seconds });
  }

  /** A push or pull with its progress on this terminal; what it says at the end, without the temporary folder. */
  async #transfer(words: readonly string[]): Promise<string> {
    const said = await this.#children.run(words, { showsProgress: true });
    return said.trim().replaceAll(this.#folder, "...");
  }

  #run(...words: string[]): Promise<string> {
    return this.#children.run(words);
  }

  /** The device as `coffer status` tells of it; undefined while there is no relay to ask. */
  async #status(): Promise<DeviceRecord | undefined> {
    const lines = await this.#run("status", "--json").catch(() => "");
    const records = lines
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as { kind: string });
    return records.find((record): record is DeviceRecord => record.kind === "device");
  }

  async #until(isReady: () => Promise<boolean>): Promise<void> {
    const endMs = performance.now() + startPatienceMs;
    while (!(await isReady())) {
      this.#options.signal.throwIfAborted();
      this.#children.requireRunning();
      if (performance.now() > endMs)
        throw new Refusal("unexpected", "a part of the demo did not start within a minute", {
          hint: "Try `coffer doctor`.",
        });
      await delay(100, undefined, { signal: this.#options.signal });
    }
  }
}

/** From the relay's own counters; 0 when they cannot be read. */
async function relayedBytes(metricsPort: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${String(metricsPort)}/metrics`).catch(() => undefined);
  const text = (await answer?.text()) ?? "";
  return [...text.matchAll(/^coffer_relay_bytes_total\{[^}]*\} (\d+)/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  );
}
