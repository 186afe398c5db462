// SPDX-License-Identifier: MIT
/** The thread behind `WriteBehind`: writes slot after slot to its file. It sleeps in `Atomics.wait` and has no events. */
import { writeSync } from "node:fs";
import { workerData } from "node:worker_threads";
import {
  COMPLETED,
  SLOTS,
  SLOT_BYTES,
  SLOT_FIELDS,
  SUBMITTED,
  SlotField,
  type Shared,
} from "./write-behind-slots";

const { counters, fields, positions, data } = workerData as Shared;
/** Files with a failed write: what waits behind it must not be written, it may say that the bytes are there. */
const failed: number[] = [];

for (let ticket = 0; ; ticket++) {
  while (Atomics.load(counters, SUBMITTED) === ticket) Atomics.wait(counters, SUBMITTED, ticket);
  const slot = ticket % SLOTS;
  const field = (at: SlotField): number => fields[slot * SLOT_FIELDS + at] ?? 0;
  const serial = field(SlotField.serial);
  let errno = 0;
  if (!failed.includes(serial)) {
    errno = write(field(SlotField.fd), slot * SLOT_BYTES, field(SlotField.length), positions[slot] ?? 0);
    // No more than SLOTS writes can be waiting behind it; the other side hears of it before it submits another.
    if (errno !== 0 && failed.push(serial) > SLOTS) failed.shift();
  }
  fields[slot * SLOT_FIELDS + SlotField.errno] = errno;
  Atomics.store(counters, COMPLETED, ticket + 1);
  Atomics.notify(counters, COMPLETED);
}

/** 0, or the system's number of what went wrong. */
function write(fd: number, from: number, length: number, position: number): number {
  try {
    for (let done = 0; done < length;)
      done += writeSync(fd, data, from + done, length - done, position + done);
    return 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? -1;
  }
}
