// SPDX-License-Identifier: MIT
/** The natives of coffer-card.c as the driver that sd-card.ts takes. */
import type { CardBus, CardDriver } from "./card-driver";

export class SdmmcDriver implements CardDriver {
  mount(path: string, { width, clockKhz, pins }: CardBus, openFiles: number, mayFormat: boolean): number {
    return native("xs_coffer_card_mount").call(
      this,
      path,
      width,
      clockKhz,
      Int8Array.from(pins),
      openFiles,
      mayFormat,
    ) as number;
  }

  unmount(): number {
    return native("xs_coffer_card_unmount").call(this) as number;
  }

  isThere(): boolean {
    return native("xs_coffer_card_isThere").call(this) as boolean;
  }

  facts(into: Float64Array): void {
    native("xs_coffer_card_facts").call(this, into);
  }

  probe(path: string, bus: CardBus, facts: Float64Array, sector: Uint8Array): number {
    const { width, clockKhz, pins } = bus;
    return native("xs_coffer_card_probe").call(
      this,
      path,
      width,
      clockKhz,
      Int8Array.from(pins),
      facts,
      sector,
    ) as number;
  }
}
