// SPDX-License-Identifier: MIT
/** Answers of the relay that come in the order of asking, and name no question. */

import { DataError } from "../../firmware/protocol/data-error";
import type { Refusal } from "../refusal";

export interface AnswerQueueOptions {
  timeoutMs: number;
  /** No answer came: ends the link. */
  onTimeout: () => void;
}

interface Waiting<Answer> {
  resolve: (answer: Answer) => void;
  reject: (why: Refusal) => void;
  timer: NodeJS.Timeout;
}

export class AnswerQueue<Answer> {
  readonly #options: AnswerQueueOptions;
  #waiting: Waiting<Answer>[] = [];

  constructor(options: AnswerQueueOptions) {
    this.#options = options;
  }

  /** The answer to what is asked now. */
  next(): Promise<Answer> {
    const { timeoutMs, onTimeout } = this.#options;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject, timer: setTimeout(onTimeout, timeoutMs) });
    });
  }

  take(answer: Answer): void {
    const waiting = this.#waiting.shift();
    if (!waiting) throw new DataError("type", "an answer that nobody asked for");
    clearTimeout(waiting.timer);
    waiting.resolve(answer);
  }

  /** The link ends. */
  close(why: Refusal): void {
    for (const { timer, reject } of this.#waiting) {
      clearTimeout(timer);
      reject(why);
    }
    this.#waiting = [];
  }
}
