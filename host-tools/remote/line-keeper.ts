// SPDX-License-Identifier: MIT
/**
 * Whether a pool of sessions has a line (device-line.ts), and whether it is worth making one: bulk that goes on for a while
 * moves to it where relay and device know lines. What goes wrong with a line costs time and nothing else.
 */

import { FailureCode } from "../../firmware/protocol/verbs";
import { DeviceFailure } from "./device-failure";
import { DeviceLine } from "./device-line";
import { RelayConnection } from "./relay-connection";
import type { RelayAddress } from "./relay-tls";
import type { Session, SessionLink } from "./session";

/** Which way most of the bytes of a task go. */
export type Bulk = "sent" | "received";

export interface LineKeeperOptions {
  relay: RelayAddress;
  timeoutMs: number;
  /** Opens a session on a line that is there. */
  openSession: (line: DeviceLine) => Promise<void>;
  /** A line was made, or was not. */
  onSettled: () => void;
}

/** A line takes two handshakes: it is made with the third task of at least a megabyte. */
const BULK_BEFORE_LINE = 3;
/** In a row. A device that knows no lines is not asked again at all. */
const MAX_LINE_FAILURES = 3;

export class LineKeeper {
  readonly #options: LineKeeperOptions;
  /** One, and those that are going away. */
  readonly #lines = new Set<DeviceLine>();
  readonly #tasks: Record<Bulk, number> = { sent: 0, received: 0 };
  #line: DeviceLine | undefined;
  #isOpening = false;
  #failures = 0;
  #isClosed = false;

  constructor(options: LineKeeperOptions) {
    this.#options = options;
  }

  /** Where bulk goes. */
  get line(): DeviceLine | undefined {
    return this.#line;
  }

  /** A task begins. */
  count(bulk: Bulk): void {
    this.#tasks[bulk]++;
  }

  /** A task was done on a session of that link. */
  noteProgress(link: SessionLink): void {
    if (link === this.#line) this.#failures = 0;
  }

  /** Makes a line, if it is time, while bulk goes on over the relay's link. */
  want(sessions: Iterable<Session>): void {
    const { sent, received } = this.#tasks;
    const isWorthIt = sent + received >= BULK_BEFORE_LINE && this.#failures < MAX_LINE_FAILURES;
    if (this.#isClosed || this.#line || this.#isOpening || !isWorthIt) return;
    for (const session of sessions) {
      const { link } = session;
      if (!(link instanceof RelayConnection && link.isOpen) || session.inFlight >= session.maxRequests)
        continue;
      this.#isOpening = true;
      void this.#open(link, session)
        .catch((error: unknown) => {
          const isUnknown = error instanceof DeviceFailure && error.code === FailureCode.unknownVerb;
          this.#failures = isUnknown ? MAX_LINE_FAILURES : this.#failures + 1;
        })
        .finally(() => {
          this.#isOpening = false;
          this.#options.onSettled();
        });
      return;
    }
  }

  /** The relay stops: what is under way on the line may finish. */
  retire(): void {
    this.#line?.retire();
    this.#line = undefined;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#lines].map((line) => line.close()));
  }

  async #open(link: RelayConnection, session: Session): Promise<void> {
    const { relay, timeoutMs, openSession } = this.#options;
    const { sent, received } = this.#tasks;
    const line = await DeviceLine.open({ link, relay, session, receives: received > sent, timeoutMs });
    this.#lines.add(line);
    line.onClosed = () => {
      this.#lines.delete(line);
      if (this.#line !== line) return;
      this.#line = undefined;
      this.#failures++;
    };
    try {
      await openSession(line);
    } catch (error) {
      await line.close();
      throw error;
    }
    if (this.#isClosed) await line.close();
    else if (line.isOpen) this.#line = line;
  }
}
