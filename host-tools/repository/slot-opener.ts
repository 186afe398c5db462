// SPDX-License-Identifier: MIT
/** Tries one secret on key slots, each slot once. */

import { DataError } from "../../firmware/protocol/data-error";
import { Refusal } from "../refusal";
import { type SlotSecret, slotKindName } from "./key-secret";
import { type OpenedSlot, openKeySlot, slotId } from "./key-slot";
import type { KeyLink, KeyStatement } from "./key-statement";
import { Keyring } from "./keyring";

/** What a device may make us spend: each try of a passphrase costs what its slot says. */
const MAX_TRIES = 32;

export class SlotOpener {
  readonly #secret: SlotSecret;
  /** Slots that it does not open. */
  readonly #tried = new Set<string>();

  #forged: DataError | undefined;

  constructor(secret: SlotSecret) {
    this.#secret = secret;
  }

  /** The first statement that the secret opens and that verifies. */
  async open(
    statements: readonly KeyStatement[],
    links: readonly KeyLink[],
    repositoryId: Uint8Array,
  ): Promise<Keyring | undefined> {
    for (const statement of statements) {
      const slot = await this.slotIn(statement, repositoryId);
      if (!slot) continue;
      try {
        return Keyring.open(statement, links, slot, repositoryId);
      } catch (error) {
        // The slot is genuine, what is said of it is not: an older statement may be.
        if (!(error instanceof DataError)) throw error;
        this.#forged ??= error;
      }
    }
    return undefined;
  }

  /** Why a slot that the secret opens led to no keys. */
  get forged(): DataError | undefined {
    return this.#forged;
  }

  /** The keys of the first slot that opens. */
  async slotIn({ slots }: KeyStatement, repositoryId: Uint8Array): Promise<OpenedSlot | undefined> {
    for (const slot of slots) {
      const id = slotId(slot);
      if (slot.kind !== this.#secret.kind || this.#tried.has(id) || this.#tried.size >= MAX_TRIES) continue;
      const opened = await openKeySlot(slot, this.#secret, repositoryId);
      if (opened) return opened;
      this.#tried.add(id);
    }
    return undefined;
  }

  refusal(): Refusal {
    if (this.#forged)
      return new Refusal("logTampered", `the key log shows no genuine keys: ${this.#forged.message}`, {
        hint: "Somebody changed the device. Another device or computer of the repository still has the keys.",
        cause: this.#forged,
      });
    const kind = slotKindName(this.#secret.kind);
    const what = {
      passphrase: "passphrase",
      keyfile: "keyfile",
      recovery: "recovery code",
      keychain: "secret in the keychain",
    };
    return new Refusal("wrongPassphrase", `the ${what[kind]} does not open the repository`, {
      hint:
        kind === "passphrase"
          ? "Check the keyboard layout and Caps Lock, and try again."
          : "It may belong to another repository, or was removed: `coffer key list` shows those that count.",
    });
  }
}
