// SPDX-License-Identifier: MIT

/** Of one kind that the firmware may hold at once; more is a leak, and the test shall say so. */
export const MAX_HANDLES = 256;

/** What the firmware on a board has open, by the numbers it knows it by. */
export class Handles<T> {
  readonly #kind: string;
  readonly #items = new Map<number, T>();
  #count = 0;

  constructor(kind: string) {
    this.#kind = kind;
  }

  add(item: T): number {
    if (this.#items.size >= MAX_HANDLES)
      throw new Error(`the firmware holds more than ${String(MAX_HANDLES)} ${this.#kind}s`);
    this.#items.set(++this.#count, item);
    return this.#count;
  }

  get(id: number): T {
    const item = this.#items.get(id);
    if (item === undefined) throw new Error(`the ${this.#kind} is closed`);
    return item;
  }

  remove(id: number): T | undefined {
    const item = this.#items.get(id);
    this.#items.delete(id);
    return item;
  }

  take(id: number): T {
    const item = this.get(id);
    this.#items.delete(id);
    return item;
  }
}
