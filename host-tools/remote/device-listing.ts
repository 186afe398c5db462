// SPDX-License-Identifier: MIT
/** Asks the relay which devices are connected, page by page. What it says is unproven. SPEC.md "Payloads". */

import { DataError } from "../../firmware/protocol/data-error";
import type { ListedDevice } from "../../firmware/protocol/link-messages";
import type { Refusal } from "../refusal";
import { AnswerQueue } from "./answer-queue";

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

const MAX_PAGES = 1024;

export class DeviceListing {
  readonly #ask: (after: string) => void;
  readonly #pages: AnswerQueue<DevicePage>;

  constructor({ ask, timeoutMs, onTimeout }: DeviceListingOptions) {
    this.#ask = ask;
    this.#pages = new AnswerQueue({ timeoutMs, onTimeout });
  }

  /** All devices, in order of their names. DataError for a listing out of order. */
  async all(): Promise<ListedDevice[]> {
    const found: ListedDevice[] = [];
    for (let page = 0; page < MAX_PAGES; page++) {
      this.#ask(found.at(-1)?.name ?? "");
      const { more, devices } = await this.#pages.next();
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
    this.#pages.take(page);
  }

  /** The link ends. */
  close(why: Refusal): void {
    this.#pages.close(why);
  }
}
