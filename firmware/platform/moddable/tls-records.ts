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
/** Before a record, so that its plaintext begins at a whole word: bytes are slower there. */
const LEAD_BYTES = 3;
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
    this.#received = recordBuffer(maxFragmentBytes);
    this.#sealed = recordBuffer(maxFragmentBytes);
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
    return this.#end - this.#at;
  }

  /** Reads at most `into.length` bytes, of one record; returns how many. Throws TlsRefusal. */
  read(into: Uint8Array): number {
    const at = this.#at;
    const left = this.#end - at;
    if (left === 0) return this.receive() === 0 ? 0 : this.read(into);
    const count = left < into.length ? left : into.length;
    into.set(this.#received.subarray(at, at + count));
    this.#at = at + count;
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
    const tcp = this.#tcp;
    const taken = this.#takenBytes;
    const wanted = this.#wantedBytes;
    const end = Math.min(wanted, taken + tcp.readable);
    tcp.read(this.#received.subarray(taken, end));
    tcp.readable -= end - taken;
    this.#takenBytes = end;
    if (end < wanted) return;
    if (wanted === HEADER_BYTES) this.#begin();
    else this.#open();
  }

  /** By index: taking an array apart costs the engine an iterator. */
  #begin(): void {
    const header = this.#received;
    const type = header[0] ?? 0;
    const version = (header[1] ?? 0) * 256 + (header[2] ?? 0);
    const wantedBytes = HEADER_BYTES + (header[3] ?? 0) * 256 + (header[4] ?? 0);
    const plainBytes = wantedBytes - RECORD_OVERHEAD_BYTES;
    if (version !== TLS_1_2 || plainBytes < 0 || plainBytes > this.#maxFragmentBytes)
      throw new TlsRefusal("rejected", "TLS: a record that is none, or longer than agreed");
    if (type !== RecordType.data && type !== RecordType.alert)
      throw new TlsRefusal("rejected", `TLS: unexpected record of type ${type}`);
    this.#wantedBytes = wantedBytes;
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

function recordBuffer(maxFragmentBytes: number): Uint8Array {
  return new Uint8Array(LEAD_BYTES + maxFragmentBytes + RECORD_OVERHEAD_BYTES).subarray(LEAD_BYTES);
}
