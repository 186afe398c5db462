// SPDX-License-Identifier: MIT
/**
 * Which packets may reach the SDK's mDNS: whole answers about Coffer's service, with plain names (RFC 1035 4.1). Its parser
 * (SDK 8.2.3) counts neither pointers nor labels: a pointer that points at itself, sent by anybody in the network, would keep the
 * device busy until its watchdog resets it, and a loop with a label in it would take all memory. Pure.
 */

const HEADER_BYTES = 12;
const IS_ANSWER = 0x80;
/** One Ethernet frame. What a relay with several addresses sends has some ten records. */
const MAX_PACKET_BYTES = 1500;
const MAX_RECORDS = 32;
const MAX_LABELS = 16;
const MAX_LABEL_BYTES = 63;
const POINTER = 0xc0;
const TYPE_AND_CLASS_BYTES = 4;
const TTL_BYTES = 4;
const SRV_NUMBERS_BYTES = 6;
const RecordType = { a: 1, ptr: 12, txt: 16, srv: 33 } as const;
const SERVICE_LABEL = "_coffer";

export function isCofferAnswer(packet: Uint8Array): boolean {
  if (packet.length < HEADER_BYTES || packet.length > MAX_PACKET_BYTES) return false;
  if (((packet[2] ?? 0) & IS_ANSWER) === 0) return false;
  const walk = new PacketWalk(packet);
  const [questions, answers, authorities, additionals] = [walk.u16(), walk.u16(), walk.u16(), walk.u16()];
  const records = answers + authorities + additionals;
  if (questions > MAX_RECORDS || records > MAX_RECORDS) return false;
  for (let i = 0; i < questions; i++) if (!walk.name() || !walk.skip(TYPE_AND_CLASS_BYTES)) return false;
  for (let i = 0; i < records; i++) if (!walk.record()) return false;
  return walk.sawService;
}

class PacketWalk {
  sawService = false;
  readonly #bytes: Uint8Array;
  /** The counts are the last eight bytes of the header. */
  #at = HEADER_BYTES - 8;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** 0 beyond the end, which the next step finds. */
  u16(): number {
    const value = (this.#bytes[this.#at] ?? 0) * 256 + (this.#bytes[this.#at + 1] ?? 0);
    this.#at += 2;
    return value;
  }

  skip(count: number): boolean {
    this.#at += count;
    return this.#at <= this.#bytes.length;
  }

  record(): boolean {
    if (!this.name()) return false;
    const type = this.u16();
    if (!this.skip(TYPE_AND_CLASS_BYTES - 2 + TTL_BYTES)) return false;
    const dataBytes = this.u16();
    const end = this.#at + dataBytes;
    if (end > this.#bytes.length) return false;
    if (type === RecordType.a && dataBytes !== 4) return false;
    if (type === RecordType.ptr) return this.name() && this.#at === end;
    if (type === RecordType.srv) return this.skip(SRV_NUMBERS_BYTES) && this.name() && this.#at === end;
    if (type === RecordType.txt) while (this.#at < end) if (this.#text() === undefined) return false;
    if (type !== RecordType.txt) this.#at = end;
    return this.#at === end;
  }

  /** Passes over a name. Each pointer has to lead further back than all before, so that they end. */
  name(): boolean {
    let from = this.#at;
    let end: number | undefined;
    for (let labels = 0; labels <= MAX_LABELS; labels++) {
      const length = this.#bytes[this.#at] ?? POINTER - 1;
      if (length >= POINTER) {
        const target = (length - POINTER) * 256 + (this.#bytes[this.#at + 1] ?? 0);
        end ??= this.#at + 2;
        if (end > this.#bytes.length || target < HEADER_BYTES || target >= from) return false;
        this.#at = from = target;
        continue;
      }
      if (length > MAX_LABEL_BYTES) return false;
      const label = this.#text();
      if (label === "") {
        this.#at = end ?? this.#at;
        return true;
      }
      if (label === undefined) return false;
      if (label === SERVICE_LABEL) this.sawService = true;
    }
    return false;
  }

  /** A length and so many printable characters of ASCII; undefined when that is not there. */
  #text(): string | undefined {
    const length = this.#bytes[this.#at] ?? Infinity;
    const start = this.#at + 1;
    if (!(start + length <= this.#bytes.length)) return undefined;
    this.#at = start + length;
    let text = "";
    for (let i = start; i < this.#at; i++) {
      const code = this.#bytes[i] ?? 0;
      if (code < 0x20 || code > 0x7e) return undefined;
      text += String.fromCharCode(code);
    }
    return text;
  }
}
