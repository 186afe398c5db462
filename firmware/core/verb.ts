// SPDX-License-Identifier: MIT
/** What a verb is given to work with, and what it leaves running. */
import type { TroubleEntry } from "../protocol/trouble";
import type { DeviceHealth, DeviceStatus, LogLines, Verb } from "../protocol/verbs";
import type { Card } from "./card";
import type { Log, Timers } from "./io";
import type { Lines } from "./lines";

export interface VerbContext {
  readonly card: Card;
  readonly timers: Timers;
  readonly log: Log;
  status(): DeviceStatus;
  health(): DeviceHealth;
  logLines(from: number): LogLines;
  troubles(): TroubleEntry[];
  /** Absent where the host knows no lines. */
  readonly lines?: Lines;
}

/** The way back to the client of one request. Calls after the answer or a failure are ignored. */
export interface Reply {
  answer<Request, Answer>(verb: Verb<Request, Answer>, value: Answer): void;
  /** Whatever was thrown, as a failure. */
  fail(error: unknown): void;
  /** Of `put`: bytes are wanted from there. */
  ready(offsetBytes: number): void;
  /** `isHeld` became false. */
  wake(): void;
}

/** A request that did not end inside its start. */
export interface RunningRequest {
  /** Bulk bytes from the client, good until it returns. DataError "range" when they are not the expected ones. */
  receive?(offsetBytes: number, bytes: Uint8Array): void;
  /** While true the channel is given no new credit. */
  isHeld?(): boolean;
  /** Puts the next bulk bytes into the start of `into`; returns how many, 0 when there are no more. */
  send?(into: Uint8Array): number;
  /** The channel is gone, or the request was answered: lets go of everything. At most once. */
  cancel(): void;
}

/** Starts a request; `body` is its own and stays as it is. What it throws becomes its failure. */
export type StartVerb = (context: VerbContext, body: Uint8Array, reply: Reply) => RunningRequest | undefined;
