// SPDX-License-Identifier: MIT
/**
 * A small world on loopback for one suite: a state folder, a relay, devices, clients, all real processes. Making keys
 * takes seconds, so one state folder is made for the whole run and every world works on a copy.
 */
import { rmSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../host-tools/demo/free-port";
import { RelayConnection } from "../../host-tools/remote/relay-connection";
import { State } from "../../host-tools/state";
import { CofferProcess, type Finished } from "./coffer-process";

export const passphrase = "correct horse battery staple";
const templatePort = 47_474;
/** Devices that every world has from the start. */
export const devices = ["cam1", "cam2"] as const;
export type DeviceName = (typeof devices)[number];

let template: Promise<string> | undefined;

/** The state folder that all worlds are copies of, made once in this process. */
function templateFolder(): Promise<string> {
  template ??= makeTemplate();
  return template;
}

async function makeTemplate(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "coffer-e2e-template-"));
  process.once("exit", () => {
    rmSync(folder, { recursive: true, force: true });
  });
  const environment = environmentFor(join(folder, "home"));
  const make = async (...words: string[]): Promise<void> => {
    const { status, stderr } = await new CofferProcess(words, environment).finished();
    if (status !== 0) throw new Error(`coffer ${words.join(" ")}: ${String(status)} ${stderr}`);
  };
  await make(
    "init",
    "--relay",
    `127.0.0.1:${String(templatePort)}`,
    "--client-name",
    "laptop",
    "--relay-name",
    "relay",
  );
  for (const device of devices) await make("device", "add", device, "--certs", join(folder, "home", "certs"));
  return folder;
}

function environmentFor(home: string): NodeJS.ProcessEnv {
  const { COFFER_DEVICE: _device, ...environment } = process.env;
  return { ...environment, COFFER_HOME: home, COFFER_PASSPHRASE: passphrase, NO_COLOR: "1" };
}

export class World {
  readonly folder: string;
  readonly home: string;
  readonly port: number;
  readonly #running = new Set<CofferProcess>();

  private constructor(folder: string, port: number) {
    this.folder = folder;
    this.home = join(folder, "home");
    this.port = port;
  }

  static async create(): Promise<World> {
    const [source, folder, port] = await Promise.all([
      templateFolder(),
      mkdtemp(join(tmpdir(), "coffer-e2e-")),
      freePort(),
    ]);
    const world = new World(folder, port);
    await cp(join(source, "home"), world.home, { recursive: true });
    await world.#adopt(join(source, "home"));
    return world;
  }

  /** The state folder as it is now, once more. */
  async copyHome(name: string): Promise<string> {
    const home = join(this.folder, name);
    await cp(this.home, home, { recursive: true });
    return home;
  }

  /** Another computer of the same owner: it has the certificates, and of the repository nothing but the passphrase. */
  async secondComputer(name: string): Promise<string> {
    const home = await this.copyHome(name);
    await rm(join(home, "repository"), { recursive: true });
    return home;
  }

  /** The same computer, dialling another port: a proxy before the relay, or somebody who poses as it. */
  async homeThrough(name: string, port: number): Promise<string> {
    const home = await this.copyHome(name);
    const path = join(home, "config.json");
    const config = JSON.parse(await readFile(path, "utf8")) as { relay: { port: number } };
    config.relay.port = port;
    await writeFile(path, JSON.stringify(config));
    return home;
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  get relayAddress(): string {
    return `127.0.0.1:${String(this.port)}`;
  }

  /** Runs a command to its end. */
  async coffer(words: readonly string[], options: CommandOptions = {}): Promise<Finished> {
    return this.spawn(words, options).finished();
  }

  /** Runs a command that has to succeed, and gives back what it printed. */
  async succeed(words: readonly string[], options: CommandOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.coffer(words, options);
    if (status !== 0) throw new Error(`coffer ${words.join(" ")} ended with ${String(status)}: ${stderr}`);
    return stdout;
  }

  /** What a command prints with `--json`. */
  async json<Result>(words: readonly string[], options: CommandOptions = {}): Promise<Result[]> {
    const text = await this.succeed([...words, "--json"], options);
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Result);
  }

  spawn(words: readonly string[], options: CommandOptions = {}): CofferProcess {
    const environment = { ...environmentFor(options.home ?? this.home), ...options.environment };
    const child = new CofferProcess(words, environment, options.input);
    this.#running.add(child);
    return child;
  }

  async startRelay(...options: string[]): Promise<CofferProcess> {
    const relay = this.spawn(["relay", "--no-discovery", "--listen", this.relayAddress, ...options]);
    await relay.until("listening", () => this.isListening());
    return relay;
  }

  /** The firmware on Node, on a folder of this world. */
  async startNode(
    name: DeviceName,
    folder = this.path(`card-${name}`),
    options: readonly string[] = [],
  ): Promise<CofferProcess> {
    await mkdir(folder, { recursive: true });
    const node = this.spawn(["node", folder, "--as", name, ...options]);
    await node.until("online", () => this.isOnline(name));
    return node;
  }

  /** The firmware on the XS board. */
  async startBoard(name: DeviceName, folder = this.path(`card-${name}`)): Promise<CofferProcess> {
    await mkdir(folder, { recursive: true });
    const board = this.spawn(["sim", "--as", name, "--card", folder]);
    await board.until("online", () => this.isOnline(name), 60_000);
    return board;
  }

  /** Asks the relay as a client would. */
  async isOnline(name: DeviceName): Promise<boolean> {
    const state = new State(this.home);
    const identity = await state.loadIdentity("client", "laptop");
    try {
      const connection = await RelayConnection.connect({
        relay: { host: "127.0.0.1", port: this.port },
        identity,
      });
      try {
        return (await connection.listDevices()).some((device) => device.name === name);
      } finally {
        await connection.close();
      }
    } catch {
      return false;
    }
  }

  isListening(port = this.port): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => {
        resolve(false);
      });
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#running].map((child) => child.kill()));
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Replaces the template's port and folder in the copied state folder. */
  async #adopt(templateHome: string): Promise<void> {
    const files = await readdir(this.home, { recursive: true, withFileTypes: true });
    for (const file of files) {
      if (!file.isFile() || !file.name.endsWith(".json")) continue;
      const path = join(file.parentPath, file.name);
      const text = await readFile(path, "utf8");
      const adopted = text
        .replaceAll(templateHome, this.home)
        .replaceAll(String(templatePort), String(this.port));
      if (adopted !== text) await writeFile(path, adopted);
    }
  }
}

export interface CommandOptions {
  home?: string;
  environment?: NodeJS.ProcessEnv;
  input?: string;
}
