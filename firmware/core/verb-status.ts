// SPDX-License-Identifier: MIT
import { decode } from "../protocol/message";
import { verbs } from "../protocol/verbs";
import type { StartVerb } from "./verb";

export const startStatus: StartVerb = (context, body, reply) => {
  decode(verbs.status.request, body);
  reply.answer(verbs.status, context.status());
  return undefined;
};
