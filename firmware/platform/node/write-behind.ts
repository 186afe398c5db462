// SPDX-License-Identifier: MIT
/**
 * Large writes in a thread of their own, in the order they were asked for: the kernel's work on fresh pages, half a
 * second a gigabyte and on some virtual machines three, goes on beside receiving and hashing. With all slots taken
 * `write` waits, as it would for the kernel. A process that is killed loses what waits here, and as the order is kept
 * never anything before it.
 */
import { getSystemErrorName } from "node:util";
import { Worker } from "node:worker_threads";
import {
  COMPLETED,
  SLOTS,
  SLOT_BYTES,
  SLOT_FIELDS,
  SUBMITTED,
  type Shared,
  SlotField,
} from "./write-behind-slots";

/** An open file: told of a write that failed, by its next call. */
export interface WriteOwner {
  readonly fd: number;
  /** Never used again in this process, other than `fd`. */
  readonly serial: number;
  failure: Error | undefined;
}

export class WriteBehind {
  #shared: Shared | undefined;
  #submitted = 0;
  /** Writes whose outcome has been looked at. */
  #settled = 0;
  readonly #owners: (WriteOwner | undefined)[] = [];

  /** Whether something waits that `owner` has written. Afterwards its `failure` is known if nothing does. */
  isBusy(owner: WriteOwner): boolean {
    this.#settle();
    for (let ticket = this.#settled; ticket < this.#submitted; ticket++)
      if (this.#owners[ticket % SLOTS] === owner) return true;
    return false;
  }

  /** At most SLOT_BYTES. */
  write(owner: WriteOwner, bytes: Uint8Array, positionBytes: number): void {
    const { counters, fields, positions, data } = (this.#shared ??= start());
    this.#waitUntil(this.#submitted - SLOTS + 1);
    const slot = this.#submitted % SLOTS;
    data.set(bytes, slot * SLOT_BYTES);
    fields[slot * SLOT_FIELDS + SlotField.fd] = owner.fd;
    fields[slot * SLOT_FIELDS + SlotField.serial] = owner.serial;
    fields[slot * SLOT_FIELDS + SlotField.length] = bytes.length;
    positions[slot] = positionBytes;
    this.#owners[slot] = owner;
    this.#submitted++;
    Atomics.store(counters, SUBMITTED, this.#submitted);
    Atomics.notify(counters, SUBMITTED);
  }

  /** Waits, with the whole process, until nothing of `owner` is under way. */
  drain(owner: WriteOwner): void {
    while (this.isBusy(owner)) this.#waitUntil(this.#settled + 1);
  }

  /** The same without holding up anything else. */
  async drained(owner: WriteOwner): Promise<void> {
    while (this.#shared && this.isBusy(owner)) {
      const { counters } = this.#shared;
      await Atomics.waitAsync(counters, COMPLETED, this.#settled).value;
    }
  }

  #waitUntil(completed: number): void {
    this.#settle();
    while (this.#shared && this.#settled < completed) {
      Atomics.wait(this.#shared.counters, COMPLETED, this.#settled);
      this.#settle();
    }
  }

  #settle(): void {
    if (!this.#shared) return;
    const { counters, fields } = this.#shared;
    for (const completed = Atomics.load(counters, COMPLETED); this.#settled < completed; this.#settled++) {
      const slot = this.#settled % SLOTS;
      const errno = fields[slot * SLOT_FIELDS + SlotField.errno] ?? 0;
      const owner = this.#owners[slot];
      if (owner && errno !== 0) owner.failure ??= systemError(errno);
      this.#owners[slot] = undefined;
    }
  }
}

function start(): Shared {
  const shared: Shared = {
    counters: new Int32Array(new SharedArrayBuffer(8)),
    fields: new Int32Array(new SharedArrayBuffer(4 * SLOTS * SLOT_FIELDS)),
    positions: new Float64Array(new SharedArrayBuffer(8 * SLOTS)),
    data: new Uint8Array(new SharedArrayBuffer(SLOTS * SLOT_BYTES)),
  };
  // A thread has no loader for TypeScript: from the sources, too, it runs what was built.
  const name = import.meta.url.endsWith(".ts")
    ? "../../../host-tools/dist/write-behind-worker.cjs"
    : "./write-behind-worker.cjs";
  new Worker(new URL(name, import.meta.url), { workerData: shared }).unref();
  return shared;
}

function systemError(errno: number): Error {
  const code = errno < -1 ? getSystemErrorName(errno) : "EIO";
  return Object.assign(new Error(`write: ${code}`), { code });
}
