// SPDX-License-Identifier: MIT
/**
 * Node's side of the XS board's link: answers the firmware's host calls with port adapters of Node, and turns their
 * callbacks into events (firmware/platform/xs-board/host-protocol.ts). One host a life of the board: with the power
 * everything it holds is gone.
 */
import type { Ports, Watchdog } from "../firmware/core/io";
import { HostEvent, HostOp } from "../firmware/platform/xs-board/host-protocol";
import { BoardCryptoHost } from "./board-host-crypto";
import { BoardNetworkHost } from "./board-host-network";
import { BoardStorageHost } from "./board-host-storage";
import { RequestReader, message } from "./board-message";
import { MAX_HANDLES } from "./host-handles";
import { asRefusal } from "./host-refusal";
import type { XsEvent } from "./xs-machine";

/** What the board is made of; log and memory are the machine's own. */
export type BoardParts = Omit<Ports, "log" | "memory" | "watchdog"> & {
  watchdog: Watchdog;
  onState: (state: string) => void;
};

const NOTHING = new Uint8Array(0);

export class BoardHost {
  readonly #parts: BoardParts;
  readonly #config: Uint8Array;
  readonly #emit: (event: XsEvent) => void;
  readonly #storage: BoardStorageHost;
  readonly #crypto: BoardCryptoHost;
  readonly #network: BoardNetworkHost;
  readonly #timers = new Map<number, object>();
  #isOff = false;

  /** `config` goes to the firmware as JSON. */
  constructor(parts: BoardParts, config: unknown, send: (event: XsEvent) => void) {
    this.#parts = parts;
    this.#config = Buffer.from(JSON.stringify(config));
    this.#emit = (event) => {
      if (!this.#isOff) send(event);
    };
    this.#storage = new BoardStorageHost(parts.storage, this.#emit);
    this.#crypto = new BoardCryptoHost(parts.crypto);
    this.#network = new BoardNetworkHost(parts.network, parts.discovery, this.#emit);
  }

  /** Nothing more is told. Sockets and timers end with the parts. */
  off(): void {
    this.#isOff = true;
  }

  /** Answers one host call; refuses with the text that the firmware's adapters expect. */
  call(bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const request = new RequestReader(bytes);
    try {
      return this.#answer(request.u8(), request);
    } catch (error) {
      throw asRefusal(error);
    }
  }

  #answer(op: number, request: RequestReader): Uint8Array | Promise<Uint8Array> {
    const { clock, entropy, reset, preferences } = this.#parts;
    switch (op) {
      case HostOp.config:
        return this.#config;
      case HostOp.monotonicMs:
        return message().f64(clock.monotonicMs()).bytes;
      case HostOp.unixMs:
        return message().f64(clock.unixMs() ?? NaN).bytes;
      case HostOp.setTimer:
        return this.#setTimer(request.u32(), request.f64());
      case HostOp.clearTimer:
        return this.#clearTimer(request.u32());
      case HostOp.entropy: {
        const into = new Uint8Array(request.u32());
        entropy.fill(into);
        return into;
      }
      case HostOp.resetReason:
        return Buffer.from(reset.reason);
      case HostOp.restart:
        reset.restart();
        return new Promise(() => undefined); // the board is gone before it could see an answer
      case HostOp.feedWatchdog:
        this.#parts.watchdog.feed(request.f64());
        return NOTHING;
      case HostOp.getPreference: {
        const value = preferences.get(request.text());
        return value === undefined ? NOTHING : Buffer.concat([Uint8Array.of(1), value]);
      }
      case HostOp.setPreference:
        preferences.set(request.text(request.u32()), request.rest());
        return NOTHING;
      case HostOp.state:
        this.#parts.onState(request.text());
        return NOTHING;
      default:
        return this.#answerPort(op, request);
    }
  }

  #answerPort(op: number, request: RequestReader): Uint8Array {
    const parts = [this.#storage, this.#crypto, this.#network];
    for (const part of parts) {
      const answer = part.answer(op, request);
      if (answer !== undefined) return answer;
    }
    throw new Error(`host call ${op} is unknown`);
  }

  #setTimer(id: number, delayMs: number): Uint8Array {
    if (this.#timers.size >= MAX_HANDLES) throw new Error("too many timers run");
    const handle = this.#parts.timers.set(delayMs, () => {
      this.#timers.delete(id);
      this.#emit(message().u8(HostEvent.timer).u32(id).bytes);
    });
    this.#timers.set(id, handle);
    return NOTHING;
  }

  #clearTimer(id: number): Uint8Array {
    const handle = this.#timers.get(id);
    if (handle !== undefined) this.#parts.timers.clear(handle);
    this.#timers.delete(id);
    return NOTHING;
  }
}
