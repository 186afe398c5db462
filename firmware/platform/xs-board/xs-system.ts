// SPDX-License-Identifier: MIT
/** The small ports of the XS board: time, randomness, log, reset, settings, memory. */
import type {
  Clock,
  Entropy,
  Log,
  LogLevel,
  MemoryMeter,
  Preferences,
  Reset,
  ResetReason,
  TimerHandle,
  Timers,
  Watchdog,
} from "../../core/io";
import type { HostLink } from "./host-link";
import { HostEvent, HostOp } from "./host-protocol";

export class XsClock implements Clock {
  readonly #link: HostLink;

  constructor(link: HostLink) {
    this.#link = link;
  }

  monotonicMs(): number {
    return this.#link.start(HostOp.monotonicMs).call().getFloat64(0, true);
  }

  unixMs(): number | undefined {
    const ms = this.#link.start(HostOp.unixMs).call().getFloat64(0, true);
    return ms === ms ? ms : undefined; // NaN: not set yet
  }
}

interface XsTimer extends TimerHandle {
  id: number;
}

export class XsTimers implements Timers {
  readonly #link: HostLink;
  /** Timers that run: the core's own bound is theirs. */
  readonly #callbacks = new Map<number, () => void>();
  #count = 0;

  constructor(link: HostLink) {
    this.#link = link;
    link.handle(HostEvent.timer, (event) => {
      const id = event.u32();
      const callback = this.#callbacks.get(id);
      this.#callbacks.delete(id);
      callback?.();
    });
  }

  set(delayMs: number, callback: () => void): TimerHandle {
    const timer: XsTimer = { id: ++this.#count };
    this.#callbacks.set(timer.id, callback);
    this.#link.start(HostOp.setTimer).u32(timer.id).f64(delayMs).call();
    return timer;
  }

  clear(handle: TimerHandle): void {
    const { id } = handle as XsTimer;
    if (this.#callbacks.delete(id)) this.#link.start(HostOp.clearTimer).u32(id).call();
  }
}

export class XsEntropy implements Entropy {
  readonly #link: HostLink;

  constructor(link: HostLink) {
    this.#link = link;
  }

  fill(into: Uint8Array): void {
    this.#link.start(HostOp.entropy).u32(into.length).callInto(into);
  }
}

const MAX_LINE = 200; // characters, of the port's contract

export class XsLog implements Log {
  write(level: LogLevel, message: string): void {
    hostTrace(`${level} ${message.slice(0, MAX_LINE)}`);
  }
}

export class XsReset implements Reset {
  readonly reason: ResetReason;
  readonly #link: HostLink;

  constructor(link: HostLink) {
    this.#link = link;
    const answer = link.start(HostOp.resetReason).call();
    this.reason = String.fromArrayBuffer(answer.buffer as ArrayBuffer) as ResetReason;
  }

  restart(): void {
    this.#link.start(HostOp.restart).call();
  }
}

export class XsWatchdog implements Watchdog {
  readonly #link: HostLink;

  constructor(link: HostLink) {
    this.#link = link;
  }

  feed(withinMs: number): void {
    this.#link.start(HostOp.feedWatchdog).f64(withinMs).call();
  }
}

export class XsPreferences implements Preferences {
  readonly #link: HostLink;

  constructor(link: HostLink) {
    this.#link = link;
  }

  get(key: string): Uint8Array | undefined {
    const answer = this.#link.start(HostOp.getPreference).ascii(key).call();
    return answer.byteLength === 0 ? undefined : new Uint8Array(answer.buffer as ArrayBuffer, 1);
  }

  set(key: string, value: Uint8Array): void {
    this.#link.start(HostOp.setPreference).u32(key.length).ascii(key).call(value);
  }
}

/** Places in what `hostMemory` gives (test-sim/xs-counters.ts). */
const COUNTER = {
  slotBytes: 0,
  slots: 1,
  slotsPeak: 2,
  slotsLimit: 3,
  chunks: 4,
  chunksPeak: 5,
  chunksLimit: 6,
};
const COUNTERS_BYTES = 17 * 8;

export class XsMemoryMeter implements MemoryMeter {
  readonly #bytes = new Uint8Array(COUNTERS_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);

  read(): { usedBytes: number; peakBytes: number; limitBytes: number } {
    hostMemory(this.#bytes);
    const slotBytes = this.#counter(COUNTER.slotBytes);
    const total = (slots: number, chunks: number) => this.#counter(slots) * slotBytes + this.#counter(chunks);
    return {
      usedBytes: total(COUNTER.slots, COUNTER.chunks),
      peakBytes: total(COUNTER.slotsPeak, COUNTER.chunksPeak),
      limitBytes: total(COUNTER.slotsLimit, COUNTER.chunksLimit),
    };
  }

  #counter(index: number): number {
    return this.#view.getFloat64(index * 8, true);
  }
}
