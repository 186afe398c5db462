// SPDX-License-Identifier: MIT
/** What a scenario has in its hands of a device, whatever it runs on: its plug, its card, and how much it may lose. */
import type { DeviceLimits } from "../../firmware/core/device-config";
import type { DeviceName, World } from "../e2e/world";
import type { SeededRandom } from "../seeded-random";

export interface ScenarioDevice {
  /**
   * What it keeps, as a host node would: its card is the folder `card` in it. Whole as long as the device is stopped.
   */
  readonly folder: string;
  /** Switches it on, on what the card holds; resolves when the relay has it. */
  start(): Promise<void>;
  /** Ends it as its owner would. Harmless when it is off. */
  stop(): Promise<void>;
  /**
   * Takes the power away: now, or in the middle of what it is doing, at a moment soon that `random` picks. Resolves when it
   * is off.
   */
  cutPower(random?: SeededRandom): Promise<void>;
}

export interface DeviceOptions {
  world: World;
  name: DeviceName;
  seed: number;
  /** Of the card; absent: plenty. */
  capacityBytes?: number;
}

/** Something that the firmware runs on. */
export interface DeviceHost {
  /** "on ...". */
  readonly title: string;
  /** As `coffer status` calls it. */
  readonly name: string;
  readonly limits: DeviceLimits;
  /** A device with an empty card, switched off. What it leaves behind is in the world's folder. */
  device(options: DeviceOptions): Promise<ScenarioDevice>;
}

/** The device's folder in the world. */
export function deviceFolder({ world, name }: DeviceOptions): string {
  return world.path(`device-${name}`);
}
