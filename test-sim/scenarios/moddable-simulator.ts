// SPDX-License-Identifier: MIT
/**
 * The firmware in Moddable's simulator, under a debugger, as `mcconfig -d -m -p lin` runs it. Its plug is SIGKILL. What a build
 * has in it, identity, relay and card, is the world's: an image is made for each device, the first in half a minute.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { BOARD_LIMITS } from "../../firmware/core/device-config";
import { Simulator } from "../moddable/simulator";
import { buildSimulatorImage } from "../moddable/simulator-build";
import type { VirtualDisplay } from "../moddable/virtual-display";
import type { SeededRandom } from "../seeded-random";
import { type DeviceHost, type DeviceOptions, type ScenarioDevice, deviceFolder } from "./device-host";

const ONLINE_MS = 30_000;

export class ModdableSimulatorHost implements DeviceHost {
  readonly title = "Moddable's simulator";
  readonly name = "simulator";
  readonly limits = BOARD_LIMITS;
  readonly #sdk: string;
  readonly #display: VirtualDisplay;

  constructor(sdk: string, display: VirtualDisplay) {
    this.#sdk = sdk;
    this.#display = display;
  }

  async device(options: DeviceOptions): Promise<SimulatorDevice> {
    const { world, name, capacityBytes } = options;
    const folder = deviceFolder(options);
    await mkdir(folder);
    const image = world.path(`image-${name}`, "mc.so");
    await buildSimulatorImage({
      sdk: this.#sdk,
      certs: join(world.home, "certs", name),
      settings: {
        cardFolder: folder,
        ...(capacityBytes === undefined ? {} : { cardBytes: String(capacityBytes) }),
      },
      image,
    });
    return new SimulatorDevice(folder, options, () =>
      Simulator.start({ sdk: this.#sdk, display: this.#display, image, folder: world.path(`mcsim-${name}`) }),
    );
  }
}

export class SimulatorDevice implements ScenarioDevice {
  readonly folder: string;
  readonly #options: DeviceOptions;
  readonly #launch: () => Promise<Simulator>;
  /** While it is on. */
  simulator: Simulator | undefined;

  constructor(folder: string, options: DeviceOptions, launch: () => Promise<Simulator>) {
    this.folder = folder;
    this.#options = options;
    this.#launch = launch;
  }

  async start(): Promise<void> {
    const { world, name } = this.#options;
    const simulator = await this.#launch();
    this.simulator = simulator;
    const endMs = performance.now() + ONLINE_MS;
    while (!(await world.isOnline(name))) {
      if (!simulator.isRunning) throw new Error(`mcsim ended: ${simulator.said}`);
      if (performance.now() > endMs) throw new Error(`${name} does not come online: ${simulator.said}`);
      await delay(20);
    }
  }

  async stop(): Promise<void> {
    await this.simulator?.end("SIGTERM");
    this.simulator = undefined;
  }

  async cutPower(random?: SeededRandom): Promise<void> {
    if (random) await delay(random.below(500));
    await this.simulator?.end("SIGKILL");
    this.simulator = undefined;
  }
}
