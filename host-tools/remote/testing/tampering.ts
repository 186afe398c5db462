// SPDX-License-Identifier: MIT
/** What a hostile relay can do to a frame, by name, and at one position of a conversation. */

import { seededRandom } from "../../../test-sim/protocol/protocol-checks";
import type { ProxyTamper } from "./hostile-proxy";
import type { TestFrame } from "./test-peer";

export type Attack = (
  frame: TestFrame,
  random: (below: number) => number,
  other: TestFrame | undefined,
) => TestFrame[];

export const attacks: Record<string, Attack> = {
  flip: (frame, random) => {
    const payload = Buffer.from(frame.payload);
    const at = random(Math.max(1, payload.length));
    if (payload.length > 0) payload[at] = (payload[at] ?? 0) ^ (1 << random(8));
    return [{ ...frame, payload }];
  },
  drop: () => [],
  repeat: (frame) => [frame, frame],
  truncate: (frame, random) => [
    { ...frame, payload: frame.payload.subarray(0, random(Math.max(1, frame.payload.length))) },
  ],
  splice: (frame, _random, other) => [other ? { ...other, channel: frame.channel } : frame],
  misdirect: (frame) => [{ ...frame, channel: frame.channel ^ 3 }],
  retype: (frame, random) => [{ ...frame, type: random(24) }],
};

/** Does `attack` to the frame at `position` only. "swap" holds it back until after the next in its direction. */
export function once(attack: string, position: number, recorded: TestFrame[], runSeed: number): ProxyTamper {
  const random = seededRandom(runSeed);
  let count = 0;
  let held: { frame: TestFrame; direction: string } | undefined;
  return (frame, direction) => {
    const at = count++;
    if (held?.direction === direction) {
      const late = held.frame;
      held = undefined;
      return [frame, late];
    }
    if (at !== position) return [frame];
    if (attack === "swap") {
      held = { frame, direction };
      return [];
    }
    return attacks[attack]?.(frame, random, recorded[at]) ?? [frame];
  };
}

/** Runs all `tasks`, 12 at a time. */
export async function inParallel(tasks: (() => Promise<void>)[]): Promise<void> {
  const queue = [...tasks];
  const worker = async (): Promise<void> => {
    for (let task = queue.shift(); task; task = queue.shift()) await task();
  };
  await Promise.all(Array.from({ length: 12 }, worker));
}
