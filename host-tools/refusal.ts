// SPDX-License-Identifier: MIT
/**
 * A refusal: something that Coffer will not or cannot do for a reason that a person can understand and mostly
 * repair. Every failure that can be foreseen is thrown as one; anything else that reaches the CLI is a defect.
 *
 * The message is one sentence with the cause, without a final full stop; the hint is the remedy, as a sentence.
 */

import { type ExitStatusCode, type ExitStatusName, ExitStatus, exitStatusName } from "./exit-status";

export interface RefusalOptions {
  /** What the person can do about it. */
  hint?: string;
  /** The error underneath, for `--debug` and for tests. */
  cause?: unknown;
}

export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly status: ExitStatusCode;
  readonly hint: string | undefined;

  /** `kind` is a name from the table of exit statuses: `new Refusal("cardFull", "the card of cam1 is full")`. */
  constructor(kind: ExitStatusName, message: string, options: RefusalOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = ExitStatus[kind];
    this.hint = options.hint;
  }

  get kind(): ExitStatusName {
    return exitStatusName(this.status);
  }
}

/** What `--json` prints to stderr for a refusal: one line, keys in this order. */
export interface RefusalRecord {
  error: string;
  kind: ExitStatusName;
  status: number;
  hint?: string;
}

export function describeRefusal(error: Refusal): RefusalRecord {
  return {
    error: error.message,
    kind: error.kind,
    status: error.status,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}

const localKinds: Readonly<Record<string, readonly [ExitStatusName, string]>> = {
  ENOSPC: ["localDiskFull", "the local disk is full"],
  EDQUOT: ["localDiskFull", "the local disk quota is used up"],
  ENOENT: ["localPathNotFound", "no such local file or folder"],
  EACCES: ["localPermission", "the local system does not allow it"],
  EPERM: ["localPermission", "the local system does not allow it"],
  EROFS: ["localPermission", "the local file system is read-only"],
  EISDIR: ["wrongKind", "it is a folder"],
  ENOTDIR: ["wrongKind", "a part of the path is not a folder"],
  ENAMETOOLONG: ["localIo", "its path is longer than the local file system allows"],
  EMFILE: ["localIo", "too many files are open"],
  ENFILE: ["localIo", "too many files are open"],
  EIO: ["localIo", "the local disk reported an input/output error"],
};

/**
 * Turns a file system error of Node into a refusal that names the file; anything that is not one comes back
 * unchanged, ready to be thrown.
 */
export function fromFileError(error: unknown, doing: string): unknown {
  if (error instanceof Refusal || !(error instanceof Error)) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const known = code === undefined ? undefined : localKinds[code];
  if (known === undefined) return error;
  const [kind, cause] = known;
  const hints: Partial<Record<ExitStatusName, string>> = {
    localDiskFull: "Free some space and run the same command again; it continues where it stopped.",
    localPermission: "Check the owner and the permissions of the file and of the folders above it.",
  };
  const hint = hints[kind];
  return new Refusal(
    kind,
    `${doing}: ${cause}`,
    hint === undefined ? { cause: error } : { hint, cause: error },
  );
}
