// SPDX-License-Identifier: MIT
/** Notices a dead link: silence asks for a ping, and 2.5 times as much silence means that nobody is there. */

const DEAD_AFTER = 2.5;

export interface HeartbeatOptions {
  /** The silence after which a ping is due. */
  silenceMs: number;
  ping: () => void;
  onDead: () => void;
}

export class Heartbeat {
  readonly #timer: NodeJS.Timeout;
  #heardAtMs = performance.now();
  #pingedAtMs = -Infinity;

  constructor({ silenceMs, ping, onDead }: HeartbeatOptions) {
    const check = (): void => {
      const nowMs = performance.now();
      const silentMs = nowMs - this.#heardAtMs;
      if (silentMs > DEAD_AFTER * silenceMs) {
        onDead();
      } else if (silentMs >= silenceMs && nowMs - this.#pingedAtMs >= silenceMs) {
        this.#pingedAtMs = nowMs;
        ping();
      }
    };
    this.#timer = setInterval(check, Math.max(10, silenceMs / 4)).unref();
  }

  /** Something has arrived. */
  heard(): void {
    this.#heardAtMs = performance.now();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
