// SPDX-License-Identifier: MIT
/** Asks the relay which devices are connected, page by page. What it says is unproven. SPEC.md "Payloads". */

import { DataError } from "../../firmware/protocol/data-error";
import type { ListedDevice } from "../../firmware/protocol/link-messages";
import type { Refusal } from "../refusal";

export interface DevicePage {
  more: number;
  devices: ListedDevice[];
}

export interface DeviceListingOptions {
  /** Sends a `listDevices`. */
  ask: (after: string) => void;
  timeoutMs: number;
  /** No answer came: ends the link. */
  onTimeout: () => void;
}

interface Waiting {
  resolve: (page: DevicePage) => void;
  reject: (why: Refusal) => void;
  timer: NodeJS.Timeout;
}

const MAX_PAGES = 1024;

export class DeviceListing {
  readonly #options: DeviceListingOptions;
  /** In the order of asking, which is the order of the answers. */
  #waiting: Waiting[] = [];

  constructor(options: DeviceListingOptions) {
    this.#options = options;
  }

  /** All devices, in order of their names. DataError for a listing out of order. */
  async all(): Promise<ListedDevice[]> {
    const found: ListedDevice[] = [];
    for (let page = 0; page < MAX_PAGES; page++) {
      const { more, devices } = await this.#ask(found.at(-1)?.name ?? "");
      for (const device of devices) {
        if (device.name <= (found.at(-1)?.name ?? "")) throw new DataError("range", "devices out of order");
        found.push(device);
      }
      if (more === 0 || devices.length === 0) break;
    }
    return found;
  }

  /** An answer. */
  take(page: DevicePage): void {
    const waiting = this.#waiting.shift();
    if (!waiting) throw new DataError("type", "devices that nobody asked for");
    clearTimeout(waiting.timer);
    waiting.resolve(page);
  }

  /** The link ends. */
  close(why: Refusal): void {
    for (const { timer, reject } of this.#waiting) {
      clearTimeout(timer);
      reject(why);
    }
    this.#waiting = [];
  }

  #ask(after: string): Promise<DevicePage> {
    const { ask, timeoutMs, onTimeout } = this.#options;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject, timer: setTimeout(onTimeout, timeoutMs) });
      ask(after);
    });
  }
}
