// SPDX-License-Identifier: MIT
/** `get`: a range of a blob as bulk, read straight into the transmit buffer. */
import { decode } from "../protocol/message";
import { FailureCode, verbs } from "../protocol/verbs";
import type { BlobReader } from "./blob-store";
import { Refusal } from "./refusal";
import type { Reply, RunningRequest, StartVerb } from "./verb";

export const startGet: StartVerb = (context, body, reply) => {
  const { id, offsetBytes, lengthBytes } = decode(verbs.get.request, body);
  const reader = context.card.blobs.open(id);
  const { sizeBytes } = reader;
  const rangeBytes = Math.min(lengthBytes, sizeBytes - offsetBytes);
  if (rangeBytes > 0) return new GetRequest(reply, reader, offsetBytes, rangeBytes);
  reader.close();
  if (rangeBytes < 0)
    throw new Refusal(FailureCode.badRequest, `the blob has only ${String(sizeBytes)} bytes`);
  reply.answer(verbs.get, { sentBytes: 0, sizeBytes });
  return undefined;
};

class GetRequest implements RunningRequest {
  readonly #reply: Reply;
  readonly #reader: BlobReader;
  readonly #offsetBytes: number;
  readonly #rangeBytes: number;
  #sentBytes = 0;

  constructor(reply: Reply, reader: BlobReader, offsetBytes: number, rangeBytes: number) {
    this.#reply = reply;
    this.#reader = reader;
    this.#offsetBytes = offsetBytes;
    this.#rangeBytes = rangeBytes;
  }

  send(into: Uint8Array): number {
    const leftBytes = this.#rangeBytes - this.#sentBytes;
    const piece = into.length > leftBytes ? into.subarray(0, leftBytes) : into;
    this.#reader.read(piece, this.#offsetBytes + this.#sentBytes);
    this.#sentBytes += piece.length;
    if (this.#sentBytes === this.#rangeBytes) {
      this.#reply.answer(verbs.get, { sentBytes: this.#sentBytes, sizeBytes: this.#reader.sizeBytes });
    }
    return piece.length;
  }

  cancel(): void {
    this.#reader.close();
  }
}
