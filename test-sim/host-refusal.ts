// SPDX-License-Identifier: MIT
import { ConnectionError, StorageError } from "../firmware/core/io";
import { REFUSAL_SEPARATOR } from "../firmware/platform/xs-board/host-protocol";

/** A refusal with a code that is none of the ports' own. */
export class Refusal extends Error {
  readonly code: string;
  constructor(code: string, text: string) {
    super(text);
    this.code = code;
  }
}

/** As the firmware's adapters expect it: "code: message". */
export function asRefusal(error: unknown): Error {
  if (error instanceof StorageError || error instanceof ConnectionError || error instanceof Refusal)
    return new Error(`${error.code}${REFUSAL_SEPARATOR}${error.message}`, { cause: error });
  if (error instanceof Error)
    return new Error(`${error.name}${REFUSAL_SEPARATOR}${error.message}`, { cause: error });
  return new Error(`Error${REFUSAL_SEPARATOR}${String(error)}`);
}
