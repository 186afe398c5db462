// SPDX-License-Identifier: MIT
/** What a device says of itself: its own log, its health, its troubles. SPEC.md "deviceLog", "health", "troubles". */

import { FailureCode, verbs } from "../../firmware/protocol/verbs";
import type { DeviceHealth, LogLines, Verb } from "../../firmware/protocol/verbs";
import type { TroubleEntry } from "../../firmware/protocol/trouble";
import { DeviceFailure, failureRefusal, wrongAnswer } from "./device-failure";
import type { SessionPool } from "./session-pool";

/** A page of the device's log, from a sequence on. */
export async function readDeviceLog(pool: SessionPool, device: string, from: number): Promise<LogLines> {
  const page = await pool.ask((session) => session.request(verbs.deviceLog, { from }));
  let least = from;
  for (const { sequence, repeats } of page.lines) {
    if (sequence < least || repeats > sequence) throw wrongAnswer(device, "a log out of order");
    least = sequence + 1;
  }
  if (page.more && page.lines.length === 0) throw wrongAnswer(device, "a log that does not go on");
  return page;
}

/** Undefined when the device's firmware is from before there was such a question. */
export function readHealth(pool: SessionPool): Promise<DeviceHealth | undefined> {
  return askIfKnown(pool, verbs.health);
}

/** What kept the device from its relay; undefined as above. */
export async function readTroubles(pool: SessionPool): Promise<TroubleEntry[] | undefined> {
  return (await askIfKnown(pool, verbs.troubles))?.troubles;
}

async function askIfKnown<Answer>(
  pool: SessionPool,
  verb: Verb<object, Answer>,
): Promise<Answer | undefined> {
  try {
    return await pool.run((session) => session.request(verb, {}));
  } catch (error) {
    if (!(error instanceof DeviceFailure)) throw error;
    if (error.code === FailureCode.unknownVerb) return undefined;
    throw failureRefusal(error);
  }
}
