// SPDX-License-Identifier: MIT
/**
 * Moddable's simulator (mcsim) with an image of the root manifest in it, as `mcconfig -d -m -p lin` would start it, but on a screen
 * of its own, with a debugger and preferences of its own: no other simulator on this computer notices.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { moddableEnvironment, toolsOf } from "./moddable-build";
import type { VirtualDisplay } from "./virtual-display";
import { Xsbug } from "./xsbug";

export interface SimulatorOptions {
  sdk: string;
  display: VirtualDisplay;
  /** The image, a debug build. */
  image: string;
  /** What mcsim itself keeps. */
  folder: string;
}

export class Simulator {
  readonly xsbug: Xsbug;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #said = "";

  private constructor(child: ChildProcess, xsbug: Xsbug) {
    this.#child = child;
    this.xsbug = xsbug;
    this.#ended = once(child, "close");
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-2000);
    });
  }

  static async start(options: SimulatorOptions): Promise<Simulator> {
    const { sdk, display, image, folder } = options;
    await mkdir(folder, { recursive: true });
    const xsbug = await Xsbug.start();
    const env = {
      ...moddableEnvironment(sdk),
      DISPLAY: display.name,
      XSBUG_HOST: "127.0.0.1",
      XSBUG_PORT: String(xsbug.port),
      XDG_CONFIG_HOME: folder,
      // Without a session bus it does not hand its image to a simulator that is open already.
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${join(folder, "no-bus")}`,
      GSETTINGS_BACKEND: "memory",
      NO_AT_BRIDGE: "1",
      GDK_BACKEND: "x11",
    };
    const child = spawn(join(toolsOf(sdk), "mcsim"), [join(sdk, "build", "simulators"), image], {
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    await once(child, "spawn").catch(async (error: unknown) => {
      await xsbug.close();
      throw error;
    });
    return new Simulator(child, xsbug);
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** For the message of a test that fails: what the firmware traced and mcsim said, the end of it. */
  get said(): string {
    return [...this.xsbug.lines.slice(-30), this.#said].join("\n");
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    if (this.isRunning) this.#child.kill(signal);
    await this.#ended;
    await this.xsbug.close();
  }
}
