// SPDX-License-Identifier: MIT
/** The verbs of logs. */
import { MAX_ENTRY_BYTES } from "../protocol/limits";
import { decode } from "../protocol/message";
import { verbs } from "../protocol/verbs";
import type { StartVerb } from "./verb";

export const startLogHead: StartVerb = (context, body, reply) => {
  const { log } = decode(verbs.logHead.request, body);
  reply.answer(verbs.logHead, context.card.logs.head(log));
  return undefined;
};

export const startLogAppend: StartVerb = (context, body, reply) => {
  const { log, previous, entry } = decode(verbs.logAppend.request, body);
  context.card.logs.append(log, previous, entry, (error, head) => {
    if (head) reply.answer(verbs.logAppend, head);
    else reply.fail(error);
  });
  return undefined;
};

/** RAM: one entry for each request. */
export const startLogRead: StartVerb = (context, body, reply) => {
  const { log, from, limitBytes } = decode(verbs.logRead.request, body);
  const { logs } = context.card;
  const reader = logs.open(log, from);
  const buffer = new Uint8Array(2 + MAX_ENTRY_BYTES);
  let filledBytes = 0;
  let sentBytes = 0;
  let takenBytes = 0;
  let entries = 0;
  /** False when nothing more belongs to this answer. */
  const load = (): boolean => {
    const nextBytes = reader.next();
    if (nextBytes === 0 || (entries > 0 && takenBytes + nextBytes > limitBytes)) return false;
    filledBytes = reader.read(buffer);
    sentBytes = 0;
    takenBytes += filledBytes;
    entries++;
    return true;
  };
  return {
    send: (into) => {
      let count = 0;
      while (count < into.length) {
        if (sentBytes === filledBytes && !load()) {
          reply.answer(verbs.logRead, { ...logs.head(log), entries });
          break;
        }
        const piece = buffer.subarray(sentBytes, Math.min(filledBytes, sentBytes + into.length - count));
        into.set(piece, count);
        count += piece.length;
        sentBytes += piece.length;
      }
      return count;
    },
    cancel: () => {
      reader.close();
    },
  };
};

export const startLogTrim: StartVerb = (context, body, reply) => {
  const { log, before, head } = decode(verbs.logTrim.request, body);
  context.card.logs.trim(log, before, head, (error, first) => {
    if (first === undefined) reply.fail(error);
    else reply.answer(verbs.logTrim, { first });
  });
  return undefined;
};

export const startLogSkip: StartVerb = (context, body, reply) => {
  const { log, first, previous, entry } = decode(verbs.logSkip.request, body);
  context.card.logs.skip(log, first, previous, entry, (error, head) => {
    if (head) reply.answer(verbs.logSkip, head);
    else reply.fail(error);
  });
  return undefined;
};

export const startLogList: StartVerb = (context, body, reply) => {
  const { after } = decode(verbs.logList.request, body);
  reply.answer(verbs.logList, context.card.logs.list(after));
  return undefined;
};
