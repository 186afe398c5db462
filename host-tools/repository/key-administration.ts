// SPDX-License-Identifier: MIT
/**
 * Adds, removes and renews key slots, and changes the keys. A change is first appended to the key log of one device,
 * against the head that was just read there: of two computers that change keys at the same time one comes second and
 * begins again on what the other made. docs/repository.md "Changing keys".
 */

import { Refusal } from "../refusal";
import { LogConflict } from "../remote/device-failure";
import type { BlobDevice } from "./blob-device";
import { type KeyLogContext, announceChange, publishKeys, syncKeyLog } from "./key-log";
import { type KeySecret, SlotKind, type SlotKindName, slotKindName, slotSecret } from "./key-secret";
import { type KeySlot, type OpenedSlot, MAX_LABEL_BYTES, isWeak, makeKeySlot, slotId } from "./key-slot";
import { MAX_SLOTS } from "./key-statement";
import type { Keyring } from "./keyring";

const ATTEMPTS = 5;

export interface SlotInfo {
  /** 16 hexadecimal digits. */
  id: string;
  kind: SlotKindName;
  label: string;
  createdAt: Date;
  /** The one that opened the repository now. */
  isOwn: boolean;
}

export interface KeyAdministrationOptions {
  context: KeyLogContext;
  devices: readonly BlobDevice[];
  /** What opened the repository. */
  secret: KeySecret;
  /** Keeps the keyring on this computer. */
  save: () => Promise<void>;
}

export class KeyAdministration {
  readonly #context: KeyLogContext;
  readonly #keyring: Keyring;
  readonly #devices: readonly BlobDevice[];
  readonly #secret: KeySecret;
  readonly #save: () => Promise<void>;

  constructor(options: KeyAdministrationOptions) {
    this.#context = options.context;
    this.#keyring = options.context.keyring;
    this.#devices = options.devices;
    this.#secret = options.secret;
    this.#save = options.save;
  }

  /** How often the keys were changed. */
  get epoch(): number {
    return this.#keyring.epoch;
  }

  /** Oldest first. */
  list(): SlotInfo[] {
    return this.#keyring.slots
      .map((slot) => this.#info(slot))
      .sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
  }

  async add(secret: KeySecret, label: string): Promise<SlotInfo> {
    if (Buffer.byteLength(label) > MAX_LABEL_BYTES || /\p{Cc}/u.test(label))
      throw new Refusal(
        "usage",
        `a label has at most ${String(MAX_LABEL_BYTES)} bytes and no control characters`,
      );
    const { slot } = await this.#makeSlot(secret, label);
    await this.#change(() => {
      const { slots } = this.#keyring;
      if (slots.length >= MAX_SLOTS)
        throw new Refusal("usage", `the repository has ${String(MAX_SLOTS)} keys, which is all that fit`, {
          hint: "Remove one with `coffer key remove`.",
        });
      return { slots: [...slots, slot], isNewEpoch: false };
    });
    return this.#info(slot);
  }

  /** Takes a slot away and changes the keys, so that it opens nothing that is written from now on. */
  async remove(name: string): Promise<SlotInfo> {
    let removed: KeySlot | undefined;
    await this.#change(() => {
      const slot = this.#find(name);
      removed = slot;
      return { slots: this.#keyring.slots.filter((other) => other !== slot), isNewEpoch: true };
    });
    if (!removed) throw new Error("nothing was removed");
    return this.#info(removed);
  }

  /** Changes the keys; all slots stay. */
  async rotate(): Promise<void> {
    await this.#change(() => ({ slots: this.#keyring.slots, isNewEpoch: true }));
  }

  /** Makes the slot in use anew when it costs a guesser less than today's would. True when it did. */
  async renewWeakSlot(): Promise<boolean> {
    const old = this.#keyring.ownSlot;
    if (!old || !isWeak(old) || typeof this.#secret !== "string") return false;
    const { slot, opened } = await this.#makeSlot(this.#secret, old.label);
    await this.#change(() => {
      const slots = this.#keyring.slots.map((other) => (slotId(other) === slotId(old) ? slot : other));
      return { slots, isNewEpoch: true, opened };
    });
    return true;
  }

  #makeSlot(secret: KeySecret, label: string): Promise<{ slot: KeySlot; opened: OpenedSlot }> {
    const { repositoryId, anchor } = this.#keyring;
    return makeKeySlot({ secret: slotSecret(secret), label, repositoryId, anchor, createdAtMs: Date.now() });
  }

  #find(name: string): KeySlot {
    const { slots, ownSlot } = this.#keyring;
    const byId = slots.filter((slot) => name.length >= 4 && slotId(slot).startsWith(name.toLowerCase()));
    const found = byId.length > 0 ? byId : slots.filter((slot) => slot.label === name);
    const [slot] = found;
    if (!slot)
      throw new Refusal("unknownIdentity", `there is no key ${JSON.stringify(name)}`, {
        hint: "`coffer key list` shows their ids and labels.",
      });
    if (found.length > 1)
      throw new Refusal("usage", `${String(found.length)} keys are called ${JSON.stringify(name)}`, {
        hint: "Name it by its id: `coffer key list` shows it.",
      });
    if (slots.length === 1)
      throw new Refusal("usage", "this is the last key: without it nobody could read anything any more", {
        hint: "Add another one first, with `coffer key add`.",
      });
    if (slot === ownSlot)
      throw new Refusal("usage", "this is the key that you opened the repository with", {
        hint: "Run the command with another key, which proves that you still have one.",
      });
    return slot;
  }

  async #change(
    plan: () => { slots: readonly KeySlot[]; isNewEpoch: boolean; opened?: OpenedSlot },
  ): Promise<void> {
    const [first, ...others] = this.#devices;
    for (let attempt = 1; ; attempt++) {
      for (const device of this.#devices) await syncKeyLog(device, this.#context);
      if (first) await publishKeys(first, this.#context);
      const { slots, isNewEpoch, opened } = plan();
      const change = this.#keyring.next(slots, isNewEpoch);
      try {
        if (first) await announceChange(first, change, this.#context);
      } catch (error) {
        if (!(error instanceof LogConflict) || attempt === ATTEMPTS) throw error;
        continue;
      }
      this.#keyring.adopt(change.statement, change.links, opened);
      break;
    }
    await this.#save();
    for (const device of [first, ...others]) if (device) await publishKeys(device, this.#context);
  }

  #info(slot: KeySlot): SlotInfo {
    const { kind, label, createdAtMs } = slot;
    return {
      id: slotId(slot),
      kind: slotKindName(kind),
      label,
      createdAt: new Date(createdAtMs),
      isOwn: slot === this.#keyring.ownSlot,
    };
  }
}

/** The name that a slot gets when nobody gives it one. */
export function defaultLabel(kind: SlotKind, computer: string): string {
  const label = kind === SlotKind.recovery ? "recovery sheet" : `${slotKindName(kind)} ${computer}`;
  return label.slice(0, MAX_LABEL_BYTES);
}
