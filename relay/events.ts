// SPDX-License-Identifier: MIT
/**
 * The relay's log: one JSON object a line, one line an event. Names, addresses, reasons and sizes; the relay has
 * nothing else to tell, and no payload ever comes here.
 */
import { LOGGED_REFUSALS_PER_SECOND } from "./limits";
import { TokenBucket } from "./token-bucket";

export type EventName =
  | "listening"
  | "joined"
  | "left"
  | "refused"
  | "channelClosed"
  | "lineClosed"
  | "reloaded"
  | "reloadFailed"
  | "discoveryFailed"
  | "internalError"
  | "stopping"
  | "stopped";

export interface RelayEvent {
  event: EventName;
  role?: string;
  name?: string;
  remote?: string;
  /** The device of a channel. */
  device?: string;
  reason?: string | number;
  bytes?: number;
  /** Refusals that were not written since the last line about one. */
  unwritten?: number;
}

export class EventLog {
  readonly #write: (line: string) => void;
  readonly #refusals = new TokenBucket({
    burst: LOGGED_REFUSALS_PER_SECOND,
    perSecond: LOGGED_REFUSALS_PER_SECOND,
    nowMs: performance.now(),
  });
  #unwritten = 0;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  add(event: RelayEvent): void {
    this.#write(JSON.stringify({ time: new Date().toISOString(), ...event }));
  }

  /** Strangers can cause these: past a rate they are only counted. */
  addRefusal(event: Omit<RelayEvent, "event">): void {
    if (!this.#refusals.take(performance.now())) {
      this.#unwritten++;
      return;
    }
    this.add({ event: "refused", ...event, ...(this.#unwritten > 0 ? { unwritten: this.#unwritten } : {}) });
    this.#unwritten = 0;
  }
}
