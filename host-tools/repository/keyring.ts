// SPDX-License-Identifier: MIT
/**
 * All keys of the repository, opened with one slot, and the statement that says which slots there are. It takes up newer
 * statements only when they follow from what it has: within an epoch by the epoch's HMAC, into the next by a chain of
 * links that ends in the very master key that it holds. docs/repository.md "Key statements".
 */

import { randomBytes } from "node:crypto";
import { DataError } from "../../firmware/protocol/data-error";
import type { KeySlot, OpenedSlot, SlotAnchor } from "./key-slot";
import {
  type KeyLink,
  type KeyStatement,
  MAX_SLOTS,
  isStatementAuthentic,
  isSuccessor,
  makeLink,
  makeStatement,
  openLink,
  openStatement,
} from "./key-statement";
import { EpochKeys, KEY_BYTES, MAX_EPOCHS, RepositoryKeys } from "./repository-keys";
import type { SlotPair } from "./slot-seal";

/** "removed": made by somebody who had our keys, and without our slot. */
export type Adoption = "known" | "adopted" | "removed";

export interface KeyChange {
  statement: KeyStatement;
  /** All of them. */
  links: readonly KeyLink[];
}

export class Keyring {
  readonly repositoryId: Uint8Array;
  readonly keys: RepositoryKeys;
  #pair: SlotPair;
  #statement: KeyStatement;
  #slots: readonly KeySlot[];
  #links: readonly KeyLink[];
  /** Of the newest epoch. */
  #master: Uint8Array;

  /** Throws DataError unless statement and links fit together. */
  static open(
    statement: KeyStatement,
    links: readonly KeyLink[],
    slot: OpenedSlot,
    repositoryId: Uint8Array,
  ): Keyring {
    const { master, chain } = openChain(statement, links, slot, repositoryId, 0);
    const { epoch, mark } = slot.anchor;
    const step = chain[epoch];
    if (!step || Buffer.compare(new EpochKeys(step.master, repositoryId).anchor, mark) !== 0)
      throw new DataError("forged", "the keys are not those that the slot was made for");
    const [first = { master }, ...later] = chain;
    const keys = new RepositoryKeys(first.master, repositoryId);
    for (const other of later) keys.addEpoch(other.master);
    for (const other of chain.slice(0, -1)) other.master.fill(0);
    return new Keyring({
      keys,
      pair: slot,
      statement,
      links: chain.flatMap(({ link }) => link ?? []),
      master,
    });
  }

  /** A new repository with one slot, which is anchored in `master`. */
  static create(slot: KeySlot, pair: SlotPair, master: Uint8Array, repositoryId: Uint8Array): Keyring {
    const keys = new RepositoryKeys(master, repositoryId);
    const fields = { repositoryId, generation: 0, epoch: 0, slots: [slot], master };
    const statement = makeStatement({ ...fields, keys: keys.current, previousKeys: undefined });
    return new Keyring({ keys, pair, statement, links: [], master });
  }

  private constructor(options: {
    keys: RepositoryKeys;
    pair: SlotPair;
    statement: KeyStatement;
    links: readonly KeyLink[];
    master: Uint8Array;
  }) {
    this.keys = options.keys;
    this.repositoryId = options.keys.repositoryId;
    this.#pair = options.pair;
    this.#statement = options.statement;
    this.#slots = options.statement.slots;
    this.#links = options.links;
    this.#master = options.master;
  }

  get slots(): readonly KeySlot[] {
    return this.#slots;
  }

  get links(): readonly KeyLink[] {
    return this.#links;
  }

  get epoch(): number {
    return this.keys.epoch;
  }

  /** For a slot that is made now. */
  get anchor(): SlotAnchor {
    return { epoch: this.epoch, mark: this.keys.current.anchor };
  }

  /** The slot that opened it; undefined when a later statement of this session left it out. */
  get ownSlot(): KeySlot | undefined {
    return this.#slots.find((slot) => isOf(slot, this.#pair));
  }

  /** The newest; made anew when two computers added slots at the same time, so that it names the slots of both. */
  get statement(): KeyStatement {
    if (this.#slots.length > this.#statement.slots.length) this.#statement = this.#state(this.#slots);
    return this.#statement;
  }

  /** Whether a statement that was trusted before is one of ours: then nobody has exchanged the repository. */
  isPredecessor(statement: KeyStatement): boolean {
    return statement.epoch <= this.epoch && isStatementAuthentic(statement, this.keys.at(statement.epoch));
  }

  isIn(statement: KeyStatement): boolean {
    return statement.slots.some((slot) => isOf(slot, this.#pair));
  }

  /**
   * Takes up a statement. Throws DataError for one that does not follow from what is known. `pair`: of the slot that the
   * same secret opens in a statement that has the former slot no more.
   */
  adopt(statement: KeyStatement, links: readonly KeyLink[], pair: SlotPair = this.#pair): Adoption {
    if (statement.epoch < this.epoch || Buffer.compare(statement.bytes, this.#statement.bytes) === 0)
      return "known";
    if (statement.epoch === this.epoch) {
      if (!isStatementAuthentic(statement, this.keys.current))
        throw new DataError("forged", "a key statement does not verify");
      return this.#merge(statement);
    }
    if (!statement.slots.some((slot) => isOf(slot, pair))) {
      if (statement.epoch === this.epoch + 1 && isSuccessor(statement, this.keys.current)) return "removed";
      throw new DataError("forged", "a statement of newer keys does not follow from those that are known");
    }
    const { master, chain } = openChain(statement, links, pair, this.repositoryId, this.epoch);
    const [base, ...later] = chain;
    if (!base || Buffer.compare(base.master, this.#master) !== 0)
      throw new DataError("forged", "newer keys do not lead back to those that are known");
    for (const step of later) this.keys.addEpoch(step.master);
    this.#pair = pair;
    this.#take(statement, [...this.#links, ...later.flatMap(({ link }) => link ?? [])], master);
    return "adopted";
  }

  /** What would be added to the key log for these slots, in the same epoch or a new one. Changes nothing yet. */
  next(slots: readonly KeySlot[], isNewEpoch: boolean): KeyChange {
    const { repositoryId, keys, epoch } = this;
    if (!isNewEpoch) return { statement: this.#state(slots), links: this.#links };
    if (epoch + 1 >= MAX_EPOCHS) throw new RangeError("epochs: too many");
    const master = randomBytes(KEY_BYTES);
    const newKeys = new EpochKeys(master, repositoryId);
    const link = makeLink(repositoryId, epoch + 1, newKeys, this.#master);
    const statement = makeStatement({
      repositoryId,
      generation: this.#statement.generation + 1,
      epoch: epoch + 1,
      slots,
      master,
      keys: newKeys,
      previousKeys: keys.current,
    });
    master.fill(0);
    newKeys.zero();
    return { statement, links: [...this.#links, link] };
  }

  zero(): void {
    this.keys.zero();
    this.#master.fill(0);
    this.#pair.privateKey.fill(0);
  }

  #state(slots: readonly KeySlot[]): KeyStatement {
    const { keys, repositoryId, epoch } = this;
    return makeStatement({
      repositoryId,
      generation: this.#statement.generation + 1,
      epoch,
      slots,
      master: this.#master,
      keys: keys.current,
      previousKeys: epoch > 0 ? keys.at(epoch - 1) : undefined,
    });
  }

  #take(statement: KeyStatement, links: readonly KeyLink[], master: Uint8Array): void {
    this.#statement = statement;
    this.#slots = statement.slots;
    this.#links = links;
    this.#master = master;
  }

  /** Within an epoch slots only come: of two statements that do not know each other both are right. */
  #merge(statement: KeyStatement): Adoption {
    const added = statement.slots.filter((slot) => !this.#slots.some((other) => isSame(slot, other)));
    const slots = [...this.#slots, ...added].slice(0, MAX_SLOTS);
    const isNewer = statement.generation > this.#statement.generation;
    if (isNewer) this.#statement = statement;
    this.#slots = slots;
    return isNewer || added.length > 0 ? "adopted" : "known";
  }
}

interface Step {
  master: Uint8Array;
  /** Absent at the end of the chain. */
  link: KeyLink | undefined;
}

/** The masters from `downTo` up to the statement's epoch. Throws DataError when the chain breaks. */
function openChain(
  statement: KeyStatement,
  links: readonly KeyLink[],
  pair: SlotPair,
  repositoryId: Uint8Array,
  downTo: number,
): { master: Uint8Array; chain: Step[] } {
  const master = openStatement(statement, pair, repositoryId);
  if (!isStatementAuthentic(statement, new EpochKeys(master, repositoryId)))
    throw new DataError("forged", "a key statement does not verify");
  const chain: Step[] = [];
  let above = master;
  for (let { epoch } = statement; epoch > downTo; epoch--) {
    const keys = new EpochKeys(above, repositoryId);
    let below: Uint8Array | undefined;
    let link: KeyLink | undefined;
    for (const candidate of links) {
      below = candidate.epoch === epoch ? openLink(candidate, keys) : undefined;
      link = candidate;
      if (below) break;
    }
    if (!below)
      throw new DataError("forged", `the link from epoch ${String(epoch)} to older keys is missing`);
    chain.unshift({ master: above, link });
    above = below;
  }
  chain.unshift({ master: above, link: undefined });
  return { master, chain };
}

function isOf(slot: KeySlot, pair: SlotPair): boolean {
  return Buffer.compare(slot.publicKey, pair.publicKey) === 0;
}

function isSame(a: KeySlot, b: KeySlot): boolean {
  return Buffer.compare(a.publicKey, b.publicKey) === 0;
}
