// SPDX-License-Identifier: MIT
/**
 * What a TLS 1.2 connection with AES-GCM is once its handshake is over: records, each in one buffer from TCP to plaintext and
 * from plaintext to TCP. Nothing but data and alerts comes, and no record is longer than was agreed. The SDK does the
 * handshake; its way with records costs 250 calls and 12 KiB of garbage for each.
 *
 * RAM: two buffers of a record.
 */
import { NativeRecords } from "./coffer-records";
import type { GuardedTcp } from "./guarded-tcp";
import { TlsRefusal } from "./tls-guard";

export interface DirectionKeys {
  /** 16 bytes. */
  key: ArrayBuffer;
  /** 4 bytes of each nonce. */
  salt: ArrayBuffer;
  /** Of the next record. */
  number: number;
}

export interface TlsRecordsOptions {
  tcp: GuardedTcp;
  incoming: DirectionKeys;
  outgoing: DirectionKeys;
  /** The most plaintext in one record, either way. */
  maxFragmentBytes: number;
}

const HEADER_BYTES = 5;
/** Header and the nonce's 8 bytes. */
const PLAINTEXT_OFFSET = 13;
const TAG_BYTES = 16;
export const RECORD_OVERHEAD_BYTES = PLAINTEXT_OFFSET + TAG_BYTES;
const RecordType = { alert: 21, data: 23 } as const;
const TLS_1_2 = 0x0303;
const CLOSE_NOTIFY = 0;

export class TlsRecords {
  readonly #tcp: GuardedTcp;
  readonly #incoming = new NativeRecords();
  readonly #outgoing = new NativeRecords();
  readonly #maxFragmentBytes: number;
  readonly #received: Uint8Array;
  readonly #sealed: Uint8Array;
  /** Of the record that arrives. */
  #takenBytes = 0;
  #wantedBytes = HEADER_BYTES;
  /** Of its plaintext: what was not read yet. */
  #at = 0;
  #end = 0;
  /** The relay said that it closes. Nothing comes behind it. */
  #isClosed = false;

  constructor({ tcp, incoming, outgoing, maxFragmentBytes }: TlsRecordsOptions) {
    this.#tcp = tcp;
    this.#maxFragmentBytes = maxFragmentBytes;
    this.#received = new Uint8Array(maxFragmentBytes + RECORD_OVERHEAD_BYTES);
    this.#sealed = new Uint8Array(maxFragmentBytes + RECORD_OVERHEAD_BYTES);
    this.#incoming.start(new Uint8Array(incoming.key), new Uint8Array(incoming.salt), incoming.number);
    this.#outgoing.start(new Uint8Array(outgoing.key), new Uint8Array(outgoing.salt), outgoing.number);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Of a record that was taken. */
  get unreadBytes(): number {
    return this.#end - this.#at;
  }

  /** Takes records from TCP until one has plaintext; returns how many bytes can be read. Throws TlsRefusal. */
  receive(): number {
    while (this.#at === this.#end && this.#tcp.readable > 0 && !this.#isClosed) this.#take();
    return this.unreadBytes;
  }

  /** Reads what `receive` told of, `into.length` bytes at most; returns how many. */
  read(into: Uint8Array): number {
    const count = Math.min(into.length, this.#end - this.#at);
    into.set(this.#received.subarray(this.#at, this.#at + count));
    this.#at += count;
    return count;
  }

  /** `bytes` need RECORD_OVERHEAD_BYTES more room for each `maxFragmentBytes` of them, or part of it. */
  write(bytes: Uint8Array): void {
    const most = this.#maxFragmentBytes;
    for (let at = 0; at < bytes.length; at += most) {
      const piece = bytes.length <= most ? bytes : bytes.subarray(at, Math.min(bytes.length, at + most));
      const count = this.#outgoing.seal(RecordType.data, piece, this.#sealed);
      this.#tcp.write(this.#sealed.subarray(0, count));
    }
  }

  #take(): void {
    const count = Math.min(this.#wantedBytes - this.#takenBytes, this.#tcp.readable);
    this.#tcp.read(this.#received.subarray(this.#takenBytes, this.#takenBytes + count));
    this.#tcp.readable -= count;
    this.#takenBytes += count;
    if (this.#takenBytes < this.#wantedBytes) return;
    if (this.#wantedBytes === HEADER_BYTES) this.#begin();
    else this.#open();
  }

  #begin(): void {
    const [type = 0, major = 0, minor = 0, high = 0, low = 0] = this.#received;
    const bodyBytes = high * 256 + low;
    const plainBytes = HEADER_BYTES + bodyBytes - RECORD_OVERHEAD_BYTES;
    if (major * 256 + minor !== TLS_1_2 || plainBytes < 0 || plainBytes > this.#maxFragmentBytes)
      throw new TlsRefusal("rejected", "TLS: a record that is none, or longer than agreed");
    if (type !== RecordType.data && type !== RecordType.alert)
      throw new TlsRefusal("rejected", `TLS: unexpected record of type ${type}`);
    this.#wantedBytes = HEADER_BYTES + bodyBytes;
  }

  #open(): void {
    const count = this.#incoming.open(this.#received.subarray(0, this.#wantedBytes));
    if (count < 0) throw new TlsRefusal("lost", "TLS: a record that the relay did not send");
    this.#takenBytes = 0;
    this.#wantedBytes = HEADER_BYTES;
    if (this.#received[0] === RecordType.alert) {
      const description = this.#received[PLAINTEXT_OFFSET + 1];
      if (description !== CLOSE_NOTIFY)
        throw new TlsRefusal("lost", `TLS: the relay ended the connection (alert ${description})`);
      this.#isClosed = true;
    } else {
      this.#at = PLAINTEXT_OFFSET;
      this.#end = PLAINTEXT_OFFSET + count;
    }
  }
}
