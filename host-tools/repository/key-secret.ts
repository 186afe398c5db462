// SPDX-License-Identifier: MIT
/** What opens a key slot, and the slots that it may open. */

import { isRecoveryCode, readRecoveryCode } from "./recovery-code";

export const SlotKind = {
  /** Argon2id of what a person remembers. */
  passphrase: 0,
  /** 32 random bytes in a file. */
  keyfile: 1,
  /** 160 random bits on paper. */
  recovery: 2,
  /** 32 random bytes in the keychain of one computer's operating system. */
  keychain: 3,
} as const;
export type SlotKind = (typeof SlotKind)[keyof typeof SlotKind];
export type SlotKindName = keyof typeof SlotKind;

export const SECRET_BYTES = 32;

/** A string is what a person typed: a passphrase, or a recovery code in its place. */
export type KeySecret = string | { kind: "keyfile" | "keychain"; bytes: Uint8Array };

export interface SlotSecret {
  kind: SlotKind;
  bytes: Uint8Array;
}

/** Refuses a recovery code that is mistyped. */
export function slotSecret(secret: KeySecret): SlotSecret {
  if (typeof secret !== "string") {
    if (secret.bytes.length !== SECRET_BYTES) throw new RangeError("secret: expected 32 bytes");
    return { kind: SlotKind[secret.kind], bytes: secret.bytes };
  }
  if (isRecoveryCode(secret))
    return { kind: SlotKind.recovery, bytes: Buffer.from(readRecoveryCode(secret), "latin1") };
  return { kind: SlotKind.passphrase, bytes: Buffer.from(secret.normalize("NFC")) };
}

export function slotKindName(kind: SlotKind): SlotKindName {
  return (Object.keys(SlotKind) as SlotKindName[]).find((name) => SlotKind[name] === kind) ?? "passphrase";
}
