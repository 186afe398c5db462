// SPDX-License-Identifier: MIT
/** `put`: bulk from the client into an upload. Bulk offsets are those of the blob, also when it is resumed. */
import { DataError } from "../protocol/data-error";
import { decode } from "../protocol/message";
import { verbs } from "../protocol/verbs";
import type { Upload } from "./upload";
import type { StartVerb } from "./verb";

export const startPut: StartVerb = (context, body, reply) => {
  const { id, sizeBytes } = decode(verbs.put.request, body);
  let upload: Upload | undefined;
  let isCancelled = false;
  const outcome = context.card.blobs.put(
    id,
    sizeBytes,
    {
      onReady: (offsetBytes) => {
        reply.ready(offsetBytes);
      },
      onStored: (wasStored) => {
        reply.answer(verbs.put, { wasStored });
      },
      onFailed: (refusal) => {
        reply.fail(refusal);
      },
      onRoom: () => {
        reply.wake();
      },
    },
    (begun) => {
      if (isCancelled) begun.release();
      else upload = begun;
    },
  );
  if (outcome === "stored") {
    reply.answer(verbs.put, { wasStored: true });
    return undefined;
  }
  return {
    receive: (offsetBytes, bytes) => {
      if (
        !upload?.isReceiving ||
        offsetBytes !== upload.receivedBytes ||
        bytes.length > sizeBytes - offsetBytes
      ) {
        throw new DataError("range", "put: not the bytes that were expected next");
      }
      upload.write(bytes);
    },
    isHeld: () => upload?.isHeld ?? false,
    cancel: () => {
      isCancelled = true;
      upload?.release();
    },
  };
};
