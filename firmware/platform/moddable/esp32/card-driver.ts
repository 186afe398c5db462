// SPDX-License-Identifier: MIT
/** What sd-card.ts needs of the driver in coffer-card.c. A negative number is `-(code * 8 + kind)`. */

/** Of a failure. */
export const CardFailure = { noCard: 1, noFileSystem: 2, noMemory: 3, badPins: 4, other: 5 } as const;

/** Places in the facts of a card. */
export const CardFact = { serial: 0, capacityBytes: 1, width: 2, clockKhz: 3 } as const;
export const CARD_FACTS = 4;

export interface CardBus {
  /** Data lines, 1 or 4. */
  width: number;
  /** At most; card and driver may agree on less. 400..40000. */
  clockKhz: number;
  /** clk, cmd, d0, d1, d2, d3; -1 for one that is not used. */
  pins: readonly number[];
}

export interface CardDriver {
  /** 0, or a failure. `mayFormat`: a card that holds no FAT is formatted, and what was on it is gone. */
  mount(path: string, bus: CardBus, openFiles: number, mayFormat: boolean): number;
  unmount(): number;
  /** Whether the card that is mounted answers. */
  isThere(): boolean;
  /** Of the card that is mounted: CARD_FACTS numbers. */
  facts(into: Float64Array): void;
  /** Of a card that does not mount: its facts and its first sector. 0, or a failure. */
  probe(path: string, bus: CardBus, facts: Float64Array, sector: Uint8Array): number;
}
