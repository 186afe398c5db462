// SPDX-License-Identifier: MIT
/** What a device or the relay answered instead of what was asked for, as refusals. */

import { HASH_BYTES } from "../../firmware/protocol/limits";
import { CloseReason } from "../../firmware/protocol/link-messages";
import { FailureCode } from "../../firmware/protocol/verbs";
import type { Failure } from "../../firmware/protocol/verbs";
import type { ExitStatusName } from "../exit-status";
import { Refusal } from "../refusal";

/** A `failure` answer: authentic, from the device itself. */
export class DeviceFailure extends Error {
  override readonly name = "DeviceFailure";
  readonly code: number;
  readonly device: string;

  constructor(device: string, failure: Failure) {
    super(failure.text);
    this.device = device;
    this.code = failure.code;
  }
}

/** The log has another last entry than `logAppend` named: another writer was faster, or the log is not what it was. */
export class LogConflict extends Error {
  override readonly name = "LogConflict";
}

/** The device has forgotten the entry that was asked for, as it was told to: read on from a checkpoint, or elsewhere. */
export class LogTrimmed extends Refusal {
  constructor(device: string, options: { cause?: unknown } = {}) {
    super("missingBlob", `${device} has only the later entries of a log`, {
      hint: "Its beginning was trimmed when a checkpoint had taken its place: read on from there, or use another device.",
      ...options,
    });
  }
}

/** An authenticated answer that makes no sense, or bulk that does not fit it. */
export function wrongAnswer(device: string, what: string, cause?: unknown): Refusal {
  return new Refusal("protocolViolation", `${device} answers with ${what}`, {
    hint: "Nothing was believed. The relay or the device is broken, outdated or hostile: check both.",
    ...(cause === undefined ? {} : { cause }),
  });
}

export function requireHash(bytes: Uint8Array): void {
  if (bytes.length !== HASH_BYTES) {
    throw new RangeError(`id: expected ${String(HASH_BYTES)} bytes, got ${String(bytes.length)}`);
  }
}

export function interrupted(what = "stopped before it was done"): Refusal {
  return new Refusal("interrupted", what, {
    hint: "Run the same command again; it continues where it stopped.",
  });
}

/** Kinds that pass by themselves: trying again is worth while. */
const PASSING: ReadonlySet<ExitStatusName> = new Set<ExitStatusName>([
  "relayUnreachable",
  "connectionLost",
  "deviceOffline",
  "deviceBusy",
]);

export function isPassing(refusal: Refusal): boolean {
  return PASSING.has(refusal.kind);
}

const table: Readonly<Record<number, readonly [ExitStatusName, string, string]>> = {
  [FailureCode.badRequest]: [
    "protocolViolation",
    "does not understand a request",
    "Update the older of the two, this program or the device's firmware.",
  ],
  [FailureCode.unknownVerb]: ["protocolVersion", "does not know a request", "Update the device's firmware."],
  [FailureCode.notFound]: [
    "missingBlob",
    "does not have a blob",
    "Look for it on another device, or push the files again.",
  ],
  [FailureCode.cardFull]: [
    "cardFull",
    "has no room left on its card",
    "Free some space with `coffer rm`, or put in a larger card; then run the same command again.",
  ],
  [FailureCode.blobBusy]: [
    "deviceBusy",
    "is busy with the same blob for another client",
    "Try again when the other client is done.",
  ],
  [FailureCode.tooLarge]: ["cardFailed", "cannot store a blob of this size", "Use smaller packs."],
  [FailureCode.cardFailed]: [
    "cardFailed",
    "cannot read or write its card",
    "Check the card, and replace it if the error stays.",
  ],
  [FailureCode.noCard]: ["cardFailed", "has no card", "Put a card into the device."],
  [FailureCode.readOnly]: [
    "cardFailed",
    "cannot write to its card",
    "Check the lock switch of the card; an old card may have become read-only for good.",
  ],
  [FailureCode.locked]: ["deviceLocked", "is locked", "It opens when enough of its keyholders agree."],
  [FailureCode.safeMode]: [
    "deviceInSafeMode",
    "is in safe mode after several starts that failed",
    "`coffer device log NAME` says why. Update its firmware, or switch it off and on to let it try again.",
  ],
  [FailureCode.tooMany]: ["deviceBusy", "has too much to do at once", "Try again later."],
  [FailureCode.corrupt]: [
    "corruptedBlob",
    "has data that does not read as it was written",
    "Fetch it from another device, and check the card.",
  ],
};

/** The refusal for a failure that the client does not deal with itself. */
export function failureRefusal(failure: DeviceFailure): Refusal {
  const { device, code, message } = failure;
  const detail = message === "" ? "" : ` (it says: ${message})`;
  const known = table[code];
  if (!known) {
    return new Refusal(
      "protocolVersion",
      `${device} reports a failure of a kind this version does not know${detail}`,
      {
        hint: "Update this program.",
        cause: failure,
      },
    );
  }
  const [kind, what, hint] = known;
  return new Refusal(kind, `${device} ${what}${detail}`, { hint, cause: failure });
}

/** Why a channel was closed by the other side, which nobody vouches for. */
export function closeRefusal(reason: number, device: string, wasOpening: boolean): Refusal {
  switch (reason) {
    case CloseReason.unknownDevice:
      return new Refusal("unknownDevice", `the relay knows no device ${device}`, {
        hint: "Check the name with `coffer device list`, and that the device uses the same relay.",
      });
    case CloseReason.deviceOffline:
    case CloseReason.timeout:
      return new Refusal("deviceOffline", `${device} is not connected to the relay`, {
        hint: "Check that the device has power and network; it connects by itself.",
      });
    case CloseReason.busy:
      return new Refusal("deviceBusy", `${device} serves as many clients as it can`, {
        hint: "Try again later.",
      });
    case CloseReason.authentication:
      return new Refusal("pairingFailed", `${device} does not accept this computer's pairing secret`, {
        hint: `Pair them again: \`coffer device add ${device}\`, and build its firmware with the new secret.`,
      });
    case CloseReason.locked:
      return new Refusal("deviceLocked", `${device} is locked`, {
        hint: "It opens when enough of its keyholders agree.",
      });
    case CloseReason.protocol:
    case CloseReason.creditExceeded:
      return new Refusal(
        "protocolViolation",
        `${device} or the relay says that this program broke the protocol`,
        {
          hint: "Something on the way changed the bytes, or one of the programs is outdated.",
        },
      );
    default:
      return wasOpening
        ? new Refusal("deviceOffline", `${device} cannot be reached now`, { hint: "Try again later." })
        : new Refusal("connectionLost", `the connection to ${device} broke`, {
            hint: "Run the same command again; it continues where it stopped.",
          });
  }
}
