// SPDX-License-Identifier: MIT
/** A socket without a network, for tests with a clock of their own. */
import { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";

export class TestSocket extends Duplex {
  readonly remoteAddress = "192.0.2.1";
  readonly remotePort = 1;
  readonly sent: Buffer[] = [];
  /** While false, nothing that is written is taken. */
  isReading = true;
  #taken: (() => void) | undefined;

  get asTls(): TLSSocket {
    return this as unknown as TLSSocket;
  }

  setMaxSendFragment(): boolean {
    return true;
  }

  override _read(): void {
    // Bytes come by `arrive`.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.sent.push(Buffer.from(chunk));
    if (this.isReading) done();
    else this.#taken = done;
  }

  arrive(bytes: Uint8Array): void {
    this.emit("data", Buffer.from(bytes));
  }

  readOn(): void {
    this.isReading = true;
    this.#taken?.();
    this.#taken = undefined;
  }
}
