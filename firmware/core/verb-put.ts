// SPDX-License-Identifier: MIT
/** `put`: bulk from the client into an upload. Bulk offsets are those of the blob, also when it is resumed. */
import { DataError } from "../protocol/data-error";
import { decode } from "../protocol/message";
import { verbs } from "../protocol/verbs";
import type { Refusal } from "./refusal";
import type { Upload, UploadEvents } from "./upload";
import type { Reply, RunningRequest, StartVerb } from "./verb";

export const startPut: StartVerb = (context, body, reply) => {
  const { id, sizeBytes } = decode(verbs.put.request, body);
  const request = new PutRequest(reply, sizeBytes);
  if (context.card.blobs.put(id, sizeBytes, request) === "started") return request;
  reply.answer(verbs.put, { wasStored: true });
  return undefined;
};

class PutRequest implements RunningRequest, UploadEvents {
  readonly #reply: Reply;
  readonly #sizeBytes: number;
  #upload: Upload | undefined;
  #isCancelled = false;

  constructor(reply: Reply, sizeBytes: number) {
    this.#reply = reply;
    this.#sizeBytes = sizeBytes;
  }

  receive(offsetBytes: number, bytes: Uint8Array): void {
    const upload = this.#upload;
    if (
      !upload?.isReceiving ||
      offsetBytes !== upload.receivedBytes ||
      bytes.length > this.#sizeBytes - offsetBytes
    ) {
      throw new DataError("range", "put: not the bytes that were expected next");
    }
    upload.write(bytes);
  }

  isHeld(): boolean {
    return this.#upload?.isHeld ?? false;
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#upload?.release();
  }

  onBegun(upload: Upload): void {
    if (this.#isCancelled) upload.release();
    else this.#upload = upload;
  }

  onReady(offsetBytes: number): void {
    this.#reply.ready(offsetBytes);
  }

  onStored(wasStored: boolean): void {
    this.#reply.answer(verbs.put, { wasStored });
  }

  onFailed(refusal: Refusal): void {
    this.#reply.fail(refusal);
  }

  onRoom(): void {
    this.#reply.wake();
  }
}
