// SPDX-License-Identifier: MIT
/** `has`, `list` and `delete`: questions and orders about many blobs at once, worked off in slices. */
import { decode } from "../protocol/message";
import { PackedIds } from "../protocol/packed-ids";
import { verbs } from "../protocol/verbs";
import { attempt } from "./attempt";
import { inSlices } from "./slices";
import type { StartVerb } from "./verb";

/** Files opened in one timer turn: some 5 ms each on a card. */
const SLICE_FILES = 16;

export const startHas: StartVerb = (context, body, reply) => {
  const ids = new PackedIds(body);
  const bits = new Uint8Array(Math.ceil(ids.count / 8));
  const { blobs } = context.card;
  let next = 0;
  let isCancelled = false;
  const step = (): boolean => {
    for (const end = Math.min(ids.count, next + SLICE_FILES); next < end; next++) {
      if (blobs.has(ids.at(next))) bits[next >> 3] = (bits[next >> 3] ?? 0) | (0x80 >> (next & 7));
    }
    return !isCancelled && next < ids.count;
  };
  inSlices(context.timers, step, (error) => {
    if (error) reply.fail(error);
    else reply.answer(verbs.has, { bits });
  });
  return {
    cancel: () => {
      isCancelled = true;
    },
  };
};

export const startList: StartVerb = (context, body, reply) => {
  const { after, limit } = decode(verbs.list.request, body);
  const most = context.card.limits.listedBlobs;
  const blobs = limit === 0 ? most : Math.min(limit, most);
  return context.card.blobs.list(after, blobs, (error, page) => {
    if (page) reply.answer(verbs.list, page);
    else reply.fail(error);
  });
};

/** One after the other; the first that fails ends the request, and those before it are deleted. */
export const startDelete: StartVerb = (context, body, reply) => {
  const ids = new PackedIds(body);
  const { blobs } = context.card;
  let at = 0;
  let deleted = 0;
  let isCancelled = false;
  const next = (): void => {
    if (at === ids.count || isCancelled) {
      reply.answer(verbs.delete, { deleted });
      return;
    }
    blobs.delete(ids.at(at++), (error, wasThere) => {
      if (error) {
        reply.fail(error);
        return;
      }
      if (wasThere) deleted++;
      attempt(next, (failure) => {
        reply.fail(failure);
      });
    });
  };
  next();
  return {
    cancel: () => {
      isCancelled = true;
    },
  };
};
