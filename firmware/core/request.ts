// SPDX-License-Identifier: MIT
/**
 * One request in flight, and the way back to its client: answered once, whatever the verb does. Methods and not
 * closures: on a board every closure costs ten slots and more, for each request of each channel.
 */
import { MAX_TEXT_BYTES } from "../protocol/limits";
import { fitText } from "../protocol/message";
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
import type { Verb } from "../protocol/verbs";
import { refusalOf } from "./refusal";
import type { Reply, RunningRequest, VerbContext } from "./verb";

export interface RequestOwner {
  /** A message to send, in order; `endsRequest` is the request to call ended when it is under way. */
  sendMessage(message: Uint8Array, endsRequest: number | undefined): void;
  /** There may be bulk to send, or credit to grant again. */
  wake(): void;
}

export class Request implements Reply {
  readonly number: number;
  running: RunningRequest | undefined;
  isAnswered = false;
  isFailed = false;
  /** Bulk sent so far: the offset of the next frame. */
  sentBytes = 0;
  readonly #owner: RequestOwner;
  readonly #context: VerbContext;
  readonly #type: number;

  constructor(owner: RequestOwner, context: VerbContext, number: number, type: number) {
    this.number = number;
    this.#owner = owner;
    this.#context = context;
    this.#type = type;
  }

  answer<Asked, Answer>(verb: Verb<Asked, Answer>, value: Answer): void {
    if (!this.isAnswered) this.end(encodeControl(this.#type | ANSWER_BIT, this.number, verb.answer, value));
  }

  fail(error: unknown): void {
    if (this.isAnswered) return;
    const refusal = refusalOf(error);
    if (refusal.code === FailureCode.noCard || refusal.code === FailureCode.cardFailed)
      this.#context.card.suspect();
    if (isTrouble(refusal.code))
      this.#context.log.write("warn", `${verbName(this.#type)}: ${refusal.message}`);
    this.isFailed = true;
    const text = fitText(refusal.message, MAX_TEXT_BYTES);
    this.end(encodeControl(FAILURE, this.number, failure, { code: refusal.code, text }));
  }

  ready(offsetBytes: number): void {
    if (this.isAnswered) return;
    this.#owner.sendMessage(encodeControl(PUT_READY, this.number, putReady, { offsetBytes }), undefined);
  }

  wake(): void {
    if (!this.isAnswered) this.#owner.wake();
  }

  /** The channel is gone: nothing is said any more. */
  drop(): void {
    this.isAnswered = true;
    this.running?.cancel();
    this.running = undefined;
  }

  private end(message: Uint8Array): void {
    this.isAnswered = true;
    const { running } = this;
    this.running = undefined;
    running?.cancel();
    this.#owner.sendMessage(message, this.number);
  }
}

/** What an operator should look at; all else clients deal with among themselves. */
function isTrouble(code: number): boolean {
  return (
    code === FailureCode.cardFull ||
    code === FailureCode.hashMismatch ||
    code === FailureCode.cardFailed ||
    code === FailureCode.readOnly ||
    code === FailureCode.corrupt ||
    code === FailureCode.badRequest
  );
}

function verbName(type: number): string {
  for (const verb of Object.values(verbs)) if (verb.type === type) return verb.name;
  return `verb ${String(type)}`;
}
