// SPDX-License-Identifier: MIT
/**
 * The requests of one channel: started, fed with bulk, drained of bulk in turn, answered once. A request is in flight
 * until its answer has been handed to the link.
 *
 * RAM: `maxRequests` entries, each with one answer, one upload buffer or one log entry (4 KiB on a board).
 */
import { DataError } from "../protocol/data-error";
import type { BulkHeader } from "../protocol/session";
import {
  ANSWER_BIT,
  FAILURE,
  FailureCode,
  PUT_READY,
  encodeControl,
  failure,
  putReady,
  verbs,
} from "../protocol/verbs";
import type { Control } from "../protocol/verbs";
import { MAX_TEXT_BYTES } from "../protocol/limits";
import { fitText } from "../protocol/message";
import { Refusal, refusalOf } from "./refusal";
import type { Reply, RunningRequest, StartVerb, VerbContext } from "./verb";
import { startDelete, startHas, startList } from "./verb-blobs";
import { startGet } from "./verb-get";
import { startLogAppend, startLogHead, startLogList, startLogRead } from "./verb-logs";
import { startPut } from "./verb-put";
import { startStatus } from "./verb-status";

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
};

export interface RequestTableOptions {
  context: VerbContext;
  maxRequests: number;
  /** A message to send, in order; `endsRequest` is what to call `sent` with when it is under way. */
  onMessage(message: Uint8Array, endsRequest: number | undefined): void;
  /** There may be bulk to send, or credit to grant again. */
  onWake(): void;
}

interface Request {
  readonly number: number;
  running: RunningRequest | undefined;
  isAnswered: boolean;
  isFailed: boolean;
  /** Bulk sent so far: the offset of the next frame. */
  sentBytes: number;
}

export class RequestTable {
  readonly #options: RequestTableOptions;
  readonly #requests = new Map<number, Request>();
  /** Numbers of failed requests whose bulk may still be under way; the oldest is certainly known to the client. */
  readonly #failed: number[] = [];
  /** Where the next round of sending begins. */
  #lastSender = -1;
  #isClosed = false;

  constructor(options: RequestTableOptions) {
    this.#options = options;
  }

  get isHeld(): boolean {
    for (const request of this.#requests.values()) if (request.running?.isHeld?.()) return true;
    return false;
  }

  /** Starts what a control message asks for. DataError when the client keeps to no rule. */
  start(control: Control): void {
    const { number, type } = { number: control.request, type: control.type };
    const { maxRequests, context } = this.#options;
    if (this.#requests.has(number)) throw new DataError("range", "request number in use");
    if (this.#requests.size >= maxRequests) throw new DataError("range", "too many requests in flight");
    const failed = this.#failed.indexOf(number);
    if (failed >= 0) this.#failed.splice(failed, 1);
    const request: Request = { number, running: undefined, isAnswered: false, isFailed: false, sentBytes: 0 };
    this.#requests.set(number, request);
    const reply = this.#replyTo(request, type);
    try {
      const start = STARTS[type];
      if (!start)
        throw new Refusal(FailureCode.unknownVerb, `this device does not know verb ${String(type)}`);
      const running = start(context, control.body, reply);
      if (request.isAnswered) running?.cancel();
      else request.running = running;
    } catch (error) {
      reply.fail(error);
    }
    if (request.running?.send) this.#options.onWake();
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
    for (const request of this.#inTurn()) {
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
        this.#fail(request, error);
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
    this.#isClosed = true;
    for (const request of this.#requests.values()) {
      request.isAnswered = true;
      request.running?.cancel();
    }
    this.#requests.clear();
  }

  /** In the order of their start, beginning behind the one that sent last. */
  #inTurn(): Request[] {
    const all = [...this.#requests.values()];
    const last = all.findIndex((request) => request.number === this.#lastSender);
    return [...all.slice(last + 1), ...all.slice(0, last + 1)];
  }

  #replyTo(request: Request, type: number): Reply {
    const options = this.#options;
    return {
      answer: (verb, value) => {
        this.#end(request, encodeControl(type | ANSWER_BIT, request.number, verb.answer, value));
      },
      fail: (error) => {
        this.#fail(request, error);
      },
      ready: (offsetBytes) => {
        if (request.isAnswered) return;
        options.onMessage(encodeControl(PUT_READY, request.number, putReady, { offsetBytes }), undefined);
      },
      wake: () => {
        if (!this.#isClosed) options.onWake();
      },
    };
  }

  #fail(request: Request, error: unknown): void {
    const refusal = refusalOf(error);
    if (refusal.code === FailureCode.noCard) this.#options.context.card.suspect();
    request.isFailed = true;
    const text = fitText(refusal.message, MAX_TEXT_BYTES);
    this.#end(request, encodeControl(FAILURE, request.number, failure, { code: refusal.code, text }));
  }

  #end(request: Request, message: Uint8Array): void {
    if (request.isAnswered) return;
    request.isAnswered = true;
    const { running } = request;
    request.running = undefined;
    running?.cancel();
    this.#options.onMessage(message, request.number);
  }
}
