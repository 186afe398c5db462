// SPDX-License-Identifier: MIT
/** The verbs that a device answers without its card, also in safe mode: about itself, and how to reach it. */
import { decode } from "../protocol/message";
import { FailureCode, verbs } from "../protocol/verbs";
import { Refusal } from "./refusal";
import type { StartVerb } from "./verb";

export const startStatus: StartVerb = (context, body, reply) => {
  decode(verbs.status.request, body);
  reply.answer(verbs.status, context.status());
  return undefined;
};

export const startHealth: StartVerb = (context, body, reply) => {
  decode(verbs.health.request, body);
  reply.answer(verbs.health, context.health());
  return undefined;
};

export const startDeviceLog: StartVerb = (context, body, reply) => {
  const { from } = decode(verbs.deviceLog.request, body);
  reply.answer(verbs.deviceLog, context.logLines(from));
  return undefined;
};

export const startLine: StartVerb = (context, body, reply) => {
  const wanted = decode(verbs.line.request, body);
  if (!context.lines) throw new Refusal(FailureCode.unknownVerb, "this device knows no lines");
  context.lines.join(wanted);
  reply.answer(verbs.line, {});
  return undefined;
};

export const startTroubles: StartVerb = (context, body, reply) => {
  decode(verbs.troubles.request, body);
  reply.answer(verbs.troubles, { troubles: context.troubles() });
  return undefined;
};
