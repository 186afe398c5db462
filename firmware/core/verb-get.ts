// SPDX-License-Identifier: MIT
/** `get`: a range of a blob as bulk, read straight into the transmit buffer. */
import { decode } from "../protocol/message";
import { FailureCode, verbs } from "../protocol/verbs";
import { Refusal } from "./refusal";
import type { StartVerb } from "./verb";

export const startGet: StartVerb = (context, body, reply) => {
  const { id, offsetBytes, lengthBytes } = decode(verbs.get.request, body);
  const reader = context.card.blobs.open(id);
  const { sizeBytes } = reader;
  const rangeBytes = Math.min(lengthBytes, sizeBytes - offsetBytes);
  if (rangeBytes <= 0) {
    reader.close();
    if (rangeBytes < 0)
      throw new Refusal(FailureCode.badRequest, `the blob has only ${String(sizeBytes)} bytes`);
    reply.answer(verbs.get, { sentBytes: 0, sizeBytes });
    return undefined;
  }
  let sentBytes = 0;
  return {
    send: (into) => {
      const piece = into.subarray(0, Math.min(into.length, rangeBytes - sentBytes));
      reader.read(piece, offsetBytes + sentBytes);
      sentBytes += piece.length;
      if (sentBytes === rangeBytes) reply.answer(verbs.get, { sentBytes, sizeBytes });
      return piece.length;
    },
    cancel: () => {
      reader.close();
    },
  };
};
