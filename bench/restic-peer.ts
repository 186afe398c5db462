// SPDX-License-Identifier: MIT
/**
 * restic, the best-known backup program, set up as Coffer is: through a relay with mutual TLS on both hops to a server
 * that stores on the same disk. The relay is the middle of `two-hop-pipe.ts`, the server `rclone serve restic`.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../host-tools/demo/free-port";
import type { Cluster } from "./cluster";
import { startPipeEnd, writePipeMaterial } from "./pipe-process";
import { type ProcessFigures, runMeasured } from "./process-figures";

const SERVER_READY_MS = 10_000;

export class ResticPeer {
  readonly #cluster: Cluster;
  readonly #children: ChildProcess[] = [];
  #clientPem = "";
  #authority = "";
  #port = "";

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** Undefined when one of the two programs is not installed; else what `restic version` says. */
  static version(): string | undefined {
    const [restic, rclone] = [spawnSync("restic", ["version"]), spawnSync("rclone", ["version"])];
    return restic.status === 0 && rclone.status === 0
      ? restic.stdout.toString().split(" ").slice(0, 2).join(" ")
      : undefined;
  }

  /** Folder where the server stores. */
  get stored(): string {
    return join(this.#cluster.folder, "restic-stored");
  }

  async start(): Promise<void> {
    const file = (name: string): string => join(this.#cluster.folder, name);
    const materialFile = await writePipeMaterial(this.#cluster);
    const material = JSON.parse(readFileSync(materialFile, "utf8")) as Record<string, string>;
    const write = (name: string, text = ""): string => {
      writeFileSync(file(name), text, { mode: 0o600 });
      return file(name);
    };
    const serverPort = await freePort();
    mkdirSync(this.stored);
    const server = spawn(
      "rclone",
      ["serve", "restic", "--addr", `127.0.0.1:${serverPort}`, this.stored].concat(
        [
          "--cert",
          write("server.pem", material.serverChain),
          "--key",
          write("server.key", material.serverKey),
        ],
        ["--client-ca", write("clients.pem", material.clientAuthority)],
      ),
      { stdio: "ignore" },
    );
    this.#children.push(server);
    const { child, line } = await startPipeEnd(["middle", materialFile, String(serverPort)]);
    this.#children.push(child);
    this.#port = line;
    this.#clientPem = write("client.pem", `${material.clientKey ?? ""}\n${material.clientChain ?? ""}`);
    this.#authority = write("relays.pem", material.serverAuthority);
    const deadline = performance.now() + SERVER_READY_MS;
    for (;;) {
      try {
        await this.run(["init"]);
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
      }
    }
  }

  async run(words: readonly string[]): Promise<{ seconds: number; figures: ProcessFigures }> {
    return runMeasured(
      "restic",
      ["--tls-client-cert", this.#clientPem, "--cacert", this.#authority, "--quiet", ...words],
      {
        ...process.env,
        RESTIC_REPOSITORY: `rest:https://127.0.0.1:${this.#port}/`,
        RESTIC_PASSWORD: "bench bench bench",
        RESTIC_CACHE_DIR: join(this.#cluster.folder, "restic-cache"),
      },
    );
  }

  close(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }
}
