// SPDX-License-Identifier: MIT
/** The firmware on Node, as `coffer node` runs it, in a process of its own. Its plug is SIGKILL. */
import { mkdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { HOST_LIMITS } from "../../firmware/core/device-config";
import type { CofferProcess } from "../e2e/coffer-process";
import type { SeededRandom } from "../seeded-random";
import { type DeviceHost, type DeviceOptions, type ScenarioDevice, deviceFolder } from "./device-host";

export const hostNode: DeviceHost = {
  title: "a host node",
  name: "node",
  limits: HOST_LIMITS,
  async device(options) {
    const folder = deviceFolder(options);
    await mkdir(folder);
    return new NodeDevice(folder, options);
  },
};

class NodeDevice implements ScenarioDevice {
  readonly folder: string;
  readonly #options: DeviceOptions;
  #process: CofferProcess | undefined;

  constructor(folder: string, options: DeviceOptions) {
    this.folder = folder;
    this.#options = options;
  }

  async start(): Promise<void> {
    const { world, name, capacityBytes } = this.#options;
    const limit = capacityBytes === undefined ? [] : ["--capacity", String(capacityBytes)];
    this.#process = await world.startNode(name, this.folder, limit);
  }

  async stop(): Promise<void> {
    await this.#process?.kill("SIGTERM");
    this.#process = undefined;
  }

  async cutPower(random?: SeededRandom): Promise<void> {
    if (random) await delay(random.below(500));
    await this.#process?.kill("SIGKILL");
    this.#process = undefined;
  }
}
