// SPDX-License-Identifier: MIT
/** What a simulated card counts. */
export type CardOperation =
  | "open"
  | "create"
  | "allocate"
  | "read"
  | "write"
  | "flush"
  | "flushed"
  | "mkdir"
  | "remove"
  | "scan"
  | "space";

/** Those that change the card: where cutting the power can make a difference. */
export const WRITE_OPERATIONS: ReadonlySet<CardOperation> = new Set([
  "create",
  "allocate",
  "write",
  "flush",
  "flushed",
  "mkdir",
  "remove",
]);
