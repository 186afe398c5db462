// SPDX-License-Identifier: MIT
/** The cryptography port of the XS board: node:crypto on Node's side of the link. */
import type { Crypto, Sha256 } from "../../core/io";
import { type HostLink, readRefusal } from "./host-link";
import { HostOp } from "./host-protocol";

const DIGEST_BYTES = 32;
const TAG_BYTES = 16;
/** SHA-256's block: a longer HMAC key is the same as its digest (RFC 2104). */
const BLOCK_BYTES = 64;

export class XsCrypto implements Crypto {
  readonly #link: HostLink;

  constructor(link: HostLink) {
    this.#link = link;
  }

  createSha256(): Sha256 {
    return new XsSha256(this.#link);
  }

  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
    let short = key;
    if (key.length > BLOCK_BYTES) {
      const digest = this.createSha256();
      digest.write(key);
      short = digest.close();
    }
    const into = new Uint8Array(DIGEST_BYTES);
    this.#link.start(HostOp.hmacSha256).u32(short.length).bytes(short).callInto(into, message);
    return into;
  }

  seal(key: Uint8Array, nonce: Uint8Array, additional: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const into = new Uint8Array(plaintext.length + TAG_BYTES);
    this.#aead(HostOp.seal, key, nonce, additional).callInto(into, plaintext);
    return into;
  }

  open(
    key: Uint8Array,
    nonce: Uint8Array,
    additional: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined {
    if (sealed.length < TAG_BYTES) return undefined;
    const into = new Uint8Array(sealed.length - TAG_BYTES);
    try {
      this.#aead(HostOp.open, key, nonce, additional).callInto(into, sealed);
    } catch (refusal) {
      if (readRefusal(refusal).code === "tag") return undefined;
      throw refusal;
    }
    return into;
  }

  #aead(op: number, key: Uint8Array, nonce: Uint8Array, additional: Uint8Array): HostLink {
    return this.#link.start(op).bytes(key).bytes(nonce).u32(additional.length).bytes(additional);
  }
}

class XsSha256 implements Sha256 {
  readonly #link: HostLink;
  readonly #digest: number;

  constructor(link: HostLink) {
    this.#link = link;
    this.#digest = link.start(HostOp.sha256Create).call().getUint32(0, true);
  }

  write(bytes: Uint8Array): void {
    this.#link.start(HostOp.sha256Write).u32(this.#digest).call(bytes);
  }

  close(): Uint8Array {
    const into = new Uint8Array(DIGEST_BYTES);
    this.#link.start(HostOp.sha256Close).u32(this.#digest).callInto(into);
    return into;
  }
}
