// SPDX-License-Identifier: MIT
/**
 * The requests of one channel: started, fed with bulk, drained of bulk in turn, answered once. A request is in flight
 * until its answer has been handed to the link.
 *
 * RAM: `maxRequests` entries, each with one answer, one upload buffer or one log entry (4 KiB on a board).
 */
import { DataError } from "../protocol/data-error";
import type { BulkHeader } from "../protocol/session";
import { FailureCode, verbs } from "../protocol/verbs";
import type { Control } from "../protocol/verbs";
import { Refusal } from "./refusal";
import { Request } from "./request";
import type { RequestOwner } from "./request";
import type { StartVerb, VerbContext } from "./verb";
import { startDelete, startHas, startList } from "./verb-blobs";
import { startGet } from "./verb-get";
import {
  startLogAppend,
  startLogHead,
  startLogList,
  startLogRead,
  startLogSkip,
  startLogTrim,
} from "./verb-logs";
import { startPut } from "./verb-put";
import { startDeviceLog, startHealth, startLine, startStatus, startTroubles } from "./verb-status";

const STARTS: Record<number, StartVerb> = {
  [verbs.status.type]: startStatus,
  [verbs.has.type]: startHas,
  [verbs.put.type]: startPut,
  [verbs.get.type]: startGet,
  [verbs.list.type]: startList,
  [verbs.delete.type]: startDelete,
  [verbs.logHead.type]: startLogHead,
  [verbs.logAppend.type]: startLogAppend,
  [verbs.logRead.type]: startLogRead,
  [verbs.logList.type]: startLogList,
  [verbs.logTrim.type]: startLogTrim,
  [verbs.logSkip.type]: startLogSkip,
  [verbs.deviceLog.type]: startDeviceLog,
  [verbs.health.type]: startHealth,
  [verbs.troubles.type]: startTroubles,
  [verbs.line.type]: startLine,
};

export interface RequestTableOptions {
  context: VerbContext;
  maxRequests: number;
  owner: RequestOwner;
}

export class RequestTable {
  readonly #options: RequestTableOptions;
  readonly #requests = new Map<number, Request>();
  /** Numbers of failed requests whose bulk may still be under way; the oldest is certainly known to the client. */
  readonly #failed: number[] = [];
  /** Where the next round of sending begins. */
  #lastSender = -1;

  constructor(options: RequestTableOptions) {
    this.#options = options;
  }

  get isHeld(): boolean {
    for (const request of this.#requests.values()) if (request.running?.isHeld?.()) return true;
    return false;
  }

  /** Starts what a control message asks for. DataError when the client keeps to no rule. */
  start(control: Control): void {
    const number = control.request;
    const { maxRequests, context, owner } = this.#options;
    if (this.#requests.has(number)) throw new DataError("range", "request number in use");
    if (this.#requests.size >= maxRequests) throw new DataError("range", "too many requests in flight");
    const failed = this.#failed.indexOf(number);
    if (failed >= 0) this.#failed.splice(failed, 1);
    const request = new Request(owner, context, number, control.type);
    this.#requests.set(number, request);
    try {
      const start = STARTS[control.type];
      if (!start)
        throw new Refusal(FailureCode.unknownVerb, `this device does not know verb ${String(control.type)}`);
      const running = start(context, control.body, request);
      if (request.isAnswered) running?.cancel();
      else request.running = running;
    } catch (error) {
      request.fail(error);
    }
    if (request.running?.send) owner.wake();
  }

  /** Bulk from the client. DataError when it is not what was expected. */
  receive(header: BulkHeader, bytes: Uint8Array): void {
    const request = this.#requests.get(header.request);
    if (request?.running?.receive) request.running.receive(header.offsetBytes, bytes);
    else if (!request?.isFailed && !this.#failed.includes(header.request)) {
      throw new DataError("range", "bulk for no request");
    }
  }

  /**
   * Lets the next request that has bulk put some into the start of `into`. Returns the header for it and how many bytes,
   * or undefined when none has any.
   */
  send(into: Uint8Array): { header: BulkHeader; count: number } | undefined {
    for (const request of this.inTurn()) {
      if (!request.running?.send) continue;
      try {
        const count = request.running.send(into);
        if (count > 0) {
          const header = { request: request.number, offsetBytes: request.sentBytes };
          request.sentBytes += count;
          this.#lastSender = request.number;
          return { header, count };
        }
      } catch (error) {
        request.fail(error);
      }
    }
    return undefined;
  }

  get hasBulk(): boolean {
    for (const request of this.#requests.values()) if (request.running?.send) return true;
    return false;
  }

  /** The last message of a request is under way: its number is free. */
  sent(number: number): void {
    if (this.#requests.get(number)?.isFailed) {
      this.#failed.push(number);
      if (this.#failed.length > this.#options.maxRequests) this.#failed.shift();
    }
    this.#requests.delete(number);
  }

  /** The channel is gone. */
  close(): void {
    for (const request of this.#requests.values()) request.drop();
    this.#requests.clear();
  }

  /** In the order of their start, beginning behind the one that sent last. */
  private inTurn(): Request[] {
    const all = [...this.#requests.values()];
    const last = all.findIndex((request) => request.number === this.#lastSender);
    return [...all.slice(last + 1), ...all.slice(0, last + 1)];
  }
}
