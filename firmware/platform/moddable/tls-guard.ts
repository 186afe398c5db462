// SPDX-License-Identifier: MIT
/**
 * Watches the plain part of a TLS 1.2 handshake from the TCP side and ends it where the SDK's TLS would go on. That one
 * lets the server's messages drive it: it takes a ServerKeyExchange without a signature, a chain whose first
 * certificate nobody signed, and after an alert it counts as connected and sends in the clear. Here only this passes:
 *
 *   full      ServerHello, Certificate, ServerKeyExchange, [CertificateRequest,] ServerHelloDone | CCS, Finished
 *   resumed   ServerHello with the session id that the client offered and that this device knows | CCS, Finished
 *
 * each message whole within one record, TLS 1.2, ECDHE on P-256 signed with RSA and SHA-256, AES-128-GCM. With the record of
 * Finished it has done its work. Pure: bytes in, TlsRefusal out.
 *
 * RAM: one handshake record while it arrives, MAX_HANDSHAKE_BYTES at most.
 */
import type { ConnectionErrorCode } from "../../core/io";

export class TlsRefusal extends Error {
  /** A field and not an assignment: the engine's own prototypes are read-only on a device. */
  override readonly name = "TlsRefusal";
  readonly code: ConnectionErrorCode;
  constructor(code: ConnectionErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

const Record = { changeCipherSpec: 20, alert: 21, handshake: 22 } as const;
const Message = {
  clientHello: 1,
  serverHello: 2,
  certificate: 11,
  serverKeyExchange: 12,
  certificateRequest: 13,
  serverHelloDone: 14,
} as const;

const HEADER_BYTES = 5;
const TLS_1_2 = 0x0303;
const RANDOM_BYTES = 32;
/** A chain of two certificates and what is beside it. */
const MAX_HANDSHAKE_BYTES = 8192;
/** Of Finished: its message, nonce and tag. */
const FINISHED_BYTES = 16 + 8 + 16;
/** TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: what `tls-records` knows, and all that is needed. */
const SUITE = 0xc02f;
const NAMED_CURVE = 3;
const SECP256R1 = 23;
const SECP256R1_POINT_BYTES = 65;
const SHA256 = 4;
const RSA = 1;
/** Of RSA 2048. */
const MIN_SIGNATURE_BYTES = 256;

type State =
  | "clientHello"
  | "serverHello"
  | "certificate"
  | "serverKeyExchange"
  | "serverHelloDone"
  | "changeCipherSpec"
  | "finished"
  | "open";

export interface TlsGuardOptions {
  /** Throws TlsRefusal unless the chain, as sent, is one to trust. */
  judgeChain(chain: readonly Uint8Array[]): void;
  /** Whether a session of this id was made with such a chain. */
  isKnownSession(id: Uint8Array): boolean;
}

export class TlsGuard {
  readonly #options: TlsGuardOptions;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  #type = 0;
  #body: Uint8Array | undefined;
  #bodyBytes = 0;
  #takenBytes = 0;
  #state: State = "clientHello";
  #isResumed = false;
  #offeredId: Uint8Array = new Uint8Array(0);
  #sessionId: Uint8Array = new Uint8Array(0);

  constructor(options: TlsGuardOptions) {
    this.#options = options;
  }

  /** The peer has proven itself: what is sent from now on, only it can read. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  get isResumed(): boolean {
    return this.#isResumed;
  }

  /** The server's; empty when the session cannot be resumed. */
  get sessionId(): Uint8Array {
    return this.#sessionId;
  }

  /** What the client is about to send. The first is its hello, in one piece. */
  sent(bytes: Uint8Array): void {
    if (this.#state !== "clientHello") return;
    const reader = new Reader(bytes);
    const isHello = reader.u8() === Record.handshake && reader.skip(4) && reader.u8() === Message.clientHello;
    reader.skip(3 + 2 + RANDOM_BYTES);
    this.#offeredId = reader.take(reader.u8()).slice();
    if (!isHello || reader.isShort) throw new TlsRefusal("lost", "TLS: no hello");
    this.#state = "serverHello";
  }

  /** What was received, before TLS sees it, until `isOpen`. Throws TlsRefusal. */
  received(bytes: Uint8Array): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.isOpen) throw new TlsRefusal("rejected", "TLS: more than one record at once");
      if (this.#headerBytes < HEADER_BYTES) {
        this.#header[this.#headerBytes++] = bytes[at++] ?? 0;
        if (this.#headerBytes === HEADER_BYTES) this.#begin();
        continue;
      }
      const count = Math.min(this.#bodyBytes - this.#takenBytes, bytes.length - at);
      this.#body?.set(bytes.subarray(at, at + count), this.#takenBytes);
      this.#takenBytes += count;
      at += count;
      if (this.#takenBytes === this.#bodyBytes) this.#end();
    }
  }

  #begin(): void {
    const [type = 0, major = 0, minor = 0, high = 0, low = 0] = this.#header;
    this.#type = type;
    this.#bodyBytes = high * 256 + low;
    this.#takenBytes = 0;
    const isPlain = this.#state !== "finished";
    const limit = isPlain ? MAX_HANDSHAKE_BYTES : FINISHED_BYTES;
    if (major !== 3 || minor > 3 || this.#bodyBytes === 0 || this.#bodyBytes > limit) {
      throw new TlsRefusal("rejected", "TLS: a record that is none, or longer than agreed");
    }
    if (isPlain) this.#body = new Uint8Array(this.#bodyBytes);
    else if (type !== Record.handshake) {
      throw new TlsRefusal("rejected", `TLS: unexpected record of type ${type}`);
    }
  }

  #end(): void {
    const body = this.#body;
    this.#headerBytes = 0;
    this.#body = undefined;
    if (!body) this.#state = "open";
    else if (this.#type === Record.alert) {
      throw new TlsRefusal("rejected", `the relay ended the handshake: ${alertText(body[1] ?? 0)}`);
    } else if (this.#type === Record.changeCipherSpec) {
      this.#expect("changeCipherSpec", body.length === 1 && body[0] === 1);
      this.#state = "finished";
    } else if (this.#type === Record.handshake) this.#messages(body);
    else this.#expect(this.#state, false);
  }

  #messages(body: Uint8Array): void {
    const record = new Reader(body);
    while (record.remaining > 0) {
      const type = record.u8();
      const message = new Reader(record.take(record.u24()));
      // TLS above does not join what is spread over records, so neither is it done here.
      if (record.isShort) throw new TlsRefusal("rejected", "TLS: a handshake message in pieces");
      this.#message(type, message);
      if (message.isShort) throw new TlsRefusal("rejected", "TLS: a handshake message that is too short");
    }
  }

  #message(type: number, message: Reader): void {
    switch (type) {
      case Message.serverHello:
        this.#expect("serverHello", true);
        this.#serverHello(message);
        break;
      case Message.certificate:
        this.#expect("certificate", true);
        this.#certificate(message);
        this.#state = "serverKeyExchange";
        break;
      case Message.serverKeyExchange:
        this.#expect("serverKeyExchange", true);
        this.#serverKeyExchange(message);
        this.#state = "serverHelloDone";
        break;
      case Message.certificateRequest:
        this.#expect("serverHelloDone", true);
        break;
      case Message.serverHelloDone:
        this.#expect("serverHelloDone", message.remaining === 0);
        this.#state = "changeCipherSpec";
        break;
      default:
        this.#expect(this.#state, false);
    }
  }

  #serverHello(message: Reader): void {
    const version = message.u16();
    message.skip(RANDOM_BYTES);
    this.#sessionId = message.take(message.u8()).slice();
    const suite = message.u16();
    const compression = message.u8();
    if (message.isShort || version !== TLS_1_2 || compression !== 0 || suite !== SUITE) {
      throw new TlsRefusal(
        "rejected",
        `TLS: the relay chose version ${version} and cipher suite ${suite}, which are not taken`,
      );
    }
    this.#isResumed = this.#offeredId.length > 0 && isSame(this.#offeredId, this.#sessionId);
    if (this.#isResumed && !this.#options.isKnownSession(this.#sessionId)) {
      throw new TlsRefusal("certificate", "TLS: the relay resumes a session that was not made with it");
    }
    this.#state = this.#isResumed ? "changeCipherSpec" : "certificate";
  }

  #certificate(message: Reader): void {
    const chain: Uint8Array[] = [];
    const list = new Reader(message.take(message.u24()));
    while (list.remaining > 0 && !list.isShort && chain.length < 4) chain.push(list.take(list.u24()).slice());
    if (message.isShort || list.isShort || list.remaining > 0 || message.remaining > 0) {
      throw new TlsRefusal("rejected", "TLS: malformed certificates");
    }
    this.#options.judgeChain(chain);
  }

  #serverKeyExchange(message: Reader): void {
    const isCurve = message.u8() === NAMED_CURVE && message.u16() === SECP256R1;
    const point = message.take(message.u8());
    const isSigned = message.u8() === SHA256 && message.u8() === RSA;
    const signature = message.take(message.u16());
    const isWhole = !message.isShort && message.remaining === 0 && point.length === SECP256R1_POINT_BYTES;
    if (!isCurve || !isSigned || !isWhole || signature.length < MIN_SIGNATURE_BYTES) {
      throw new TlsRefusal("certificate", "TLS: the relay's key exchange is not signed as it must be");
    }
  }

  #expect(state: State, isSo: boolean): void {
    if (this.#state === state && isSo) return;
    throw new TlsRefusal("rejected", `TLS: a message out of turn (before ${this.#state})`);
  }
}

/** Big-endian reading; what runs past the end gives zeros and sets `isShort`. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;
  isShort = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  take(count: number): Uint8Array {
    if (count > this.remaining) {
      this.isShort = true;
      this.#at = this.#bytes.length;
      return new Uint8Array(0);
    }
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  skip(count: number): boolean {
    return this.take(count).length === count;
  }

  u8(): number {
    return this.take(1)[0] ?? 0;
  }

  u16(): number {
    return this.u8() * 256 + this.u8();
  }

  u24(): number {
    return this.u16() * 256 + this.u8();
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** RFC 5246 7.2, those that a relay sends. */
function alertText(description: number): string {
  switch (description) {
    case 0:
      return "closed";
    case 40:
      return "no parameters in common";
    case 42:
    case 43:
    case 46:
      return "it does not accept this device's certificate";
    case 44:
      return "this device's certificate is revoked";
    case 45:
      return "this device's certificate has expired";
    case 48:
      return "it does not know the authority of this device's certificate";
    default:
      return `alert ${description}`;
  }
}
