// SPDX-License-Identifier: MIT
/**
 * One task after the other. A task is started from `run` or from the end of the one before; it calls `next` once.
 * Bound: one waiting task for each request in flight, which the request tables limit.
 */
export class SerialQueue {
  readonly #waiting: ((next: () => void) => void)[] = [];
  #isRunning = false;

  run(task: (next: () => void) => void): void {
    this.#waiting.push(task);
    if (!this.#isRunning) this.next();
  }

  get isIdle(): boolean {
    return !this.#isRunning;
  }

  private next(): void {
    const task = this.#waiting.shift();
    this.#isRunning = task !== undefined;
    task?.(() => {
      this.next();
    });
  }
}
