// SPDX-License-Identifier: MIT
/** Answers the board's host calls to cryptography. */
import type { Crypto, Sha256 } from "../firmware/core/io";
import { HostOp } from "../firmware/platform/xs-board/host-protocol";
import { type RequestReader, message } from "./board-message";
import { Handles } from "./host-handles";
import { Refusal } from "./host-refusal";

const NOTHING = new Uint8Array(0);

export class BoardCryptoHost {
  readonly #crypto: Crypto;
  readonly #digests = new Handles<Sha256>("digest");

  constructor(crypto: Crypto) {
    this.#crypto = crypto;
  }

  /** Undefined: not a request to cryptography. */
  answer(op: number, request: RequestReader): Uint8Array | undefined {
    const crypto = this.#crypto;
    switch (op) {
      case HostOp.sha256Create:
        return message().u32(this.#digests.add(crypto.createSha256())).bytes;
      case HostOp.sha256Write:
        this.#digests.get(request.u32()).write(request.rest());
        return NOTHING;
      case HostOp.sha256Close:
        return this.#digests.take(request.u32()).close();
      case HostOp.hmacSha256:
        return crypto.hmacSha256(request.part(request.u32()), request.rest());
      case HostOp.seal:
        return crypto.seal(request.part(32), request.part(12), request.part(request.u32()), request.rest());
      case HostOp.open: {
        const plaintext = crypto.open(
          request.part(32),
          request.part(12),
          request.part(request.u32()),
          request.rest(),
        );
        if (plaintext === undefined) throw new Refusal("tag", "the tag does not match");
        return plaintext;
      }
      default:
        return undefined;
    }
  }
}
