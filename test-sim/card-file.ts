// SPDX-License-Identifier: MIT
/**
 * One file of a simulated card: what the running system reads, what is durable, and everything in between. Between two
 * flushes each sector keeps the versions it went through; a power cut picks one of them, or tears two together.
 */
import type { CardContent } from "./card-store";
import type { SeededRandom } from "./seeded-random";
import { SECTOR_BYTES, type StaleClusters } from "./stale-clusters";

interface SectorVersion {
  /** Which flush makes it durable: the first that starts at or after this stamp. */
  stamp: number;
  bytes: Uint8Array;
}

interface SizeVersion {
  stamp: number;
  sizeBytes: number;
}

/** Rewriting one sector more often than this between flushes forgets the second oldest version, to bound memory. */
const MAX_VERSIONS = 4;
/** Growth up to this is filled with stale data on the medium as well; above, zeros are as unspecified and cost nothing. */
const MAX_STALE_GROWTH_BYTES = 256 * 1024;

export class CardFile {
  readonly id: number;
  /** Handles that are open: FAT cannot remove a file that is in use. */
  openCount = 0;
  /** After a cut the cluster chain may end before the size does: from here on the medium answers with an error. */
  readableBytes = Infinity;
  readonly #stale: StaleClusters;
  #content: CardContent | undefined;
  #sizes: SizeVersion[] = [];
  #sectors = new Map<number, SectorVersion[]>();
  #stamp = 0;

  constructor(id: number, stale: StaleClusters, content?: CardContent) {
    this.id = id;
    this.#stale = stale;
    this.#content = content;
  }

  get content(): CardContent | undefined {
    return this.#content;
  }

  /** As the running system sees it. */
  get sizeBytes(): number {
    return this.#sizes.at(-1)?.sizeBytes ?? this.#durableBytes;
  }

  get #durableBytes(): number {
    return this.#content?.sizeBytes ?? 0;
  }

  /** False when a power cut can change nothing. */
  get isPending(): boolean {
    return this.#sizes.length > 0 || this.#sectors.size > 0;
  }

  grow(sizeBytes: number): void {
    this.#sizes.push({ stamp: this.#stamp, sizeBytes });
  }

  read(into: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(into.length, this.sizeBytes - position));
    const part = into.subarray(0, count);
    const durable = this.#durableBytes;
    this.#content?.read(part, position);
    for (let at = Math.max(position, durable); at < position + count;) {
      const end = Math.min(position + count, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
      this.#stale.fill(part.subarray(at - position, end - position), this.id, at);
      at = end;
    }
    if (this.#sectors.size > 0) this.#readVersions(part, position);
    return count;
  }

  #readVersions(part: Uint8Array, position: number): void {
    const last = Math.floor((position + part.length - 1) / SECTOR_BYTES);
    for (let sector = Math.floor(position / SECTOR_BYTES); sector <= last; sector++) {
      const bytes = this.#sectors.get(sector)?.at(-1)?.bytes;
      if (bytes === undefined) continue;
      const start = sector * SECTOR_BYTES;
      const from = Math.max(position, start);
      const to = Math.min(position + part.length, start + SECTOR_BYTES);
      part.set(bytes.subarray(from - start, to - start), from - position);
    }
  }

  write(bytes: Uint8Array, position: number): void {
    for (let at = position; at < position + bytes.length;) {
      const sector = Math.floor(at / SECTOR_BYTES);
      const start = sector * SECTOR_BYTES;
      const end = Math.min(position + bytes.length, start + SECTOR_BYTES);
      const next = end - at === SECTOR_BYTES ? new Uint8Array(SECTOR_BYTES) : this.#sectorNow(sector);
      next.set(bytes.subarray(at - position, end - position), at - start);
      const versions = this.#sectors.get(sector) ?? [];
      if (versions.length >= MAX_VERSIONS) versions.splice(1, 1);
      versions.push({ stamp: this.#stamp, bytes: next });
      this.#sectors.set(sector, versions);
      at = end;
    }
  }

  /** A whole sector as the system sees it now; what lies beyond the size is stale. */
  #sectorNow(sector: number): Uint8Array {
    const bytes = new Uint8Array(SECTOR_BYTES);
    this.#stale.fill(bytes, this.id, sector * SECTOR_BYTES);
    this.read(bytes, sector * SECTOR_BYTES);
    return bytes;
  }

  /** A flush starts: what it covers is everything up to the stamp returned. */
  startFlush(): number {
    return this.#stamp++;
  }

  /** The flush that got `stamp` has ended: what it covers is durable. `make` gives a place when there was none. */
  commit(stamp: number, make: () => CardContent): void {
    const content = (this.#content ??= make());
    const sizeBytes =
      this.#sizes.findLast((version) => version.stamp <= stamp)?.sizeBytes ?? content.sizeBytes;
    this.#growContent(content, sizeBytes);
    this.#sizes = this.#sizes.filter((version) => version.stamp > stamp);
    for (const [sector, versions] of this.#sectors) {
      const covered = versions.findLast((version) => version.stamp <= stamp);
      if (covered === undefined) continue;
      const room = sizeBytes - sector * SECTOR_BYTES;
      if (room > 0) content.write(covered.bytes.subarray(0, room), sector * SECTOR_BYTES);
      const later = versions.filter((version) => version.stamp > stamp);
      if (later.length > 0) this.#sectors.set(sector, later);
      else this.#sectors.delete(sector);
    }
  }

  #growContent(content: CardContent, sizeBytes: number): void {
    const before = content.sizeBytes;
    if (sizeBytes <= before) return;
    content.resize(sizeBytes);
    const stale = new Uint8Array(Math.min(sizeBytes - before, MAX_STALE_GROWTH_BYTES));
    for (let at = 0; at < stale.length;) {
      const end = Math.min(stale.length, at + SECTOR_BYTES - ((before + at) % SECTOR_BYTES));
      this.#stale.fill(stale.subarray(at, end), this.id, before + at);
      at = end;
    }
    content.write(stale, before);
  }

  /** The power is gone: decides what the medium holds. */
  settle(random: SeededRandom, make: () => CardContent, clusterBytes: number): void {
    const content = (this.#content ??= make());
    const old = content.sizeBytes;
    const sizeBytes = this.#pickSize(random, old);
    const picked = new Map<number, Uint8Array>();
    for (const [sector, versions] of [...this.#sectors].sort(([a], [b]) => a - b)) {
      if (sector * SECTOR_BYTES >= sizeBytes) continue;
      const before = new Uint8Array(SECTOR_BYTES);
      this.#stale.fill(before, this.id, sector * SECTOR_BYTES);
      content.read(before, sector * SECTOR_BYTES);
      picked.set(sector, pickSector(random, [before, ...versions.map((version) => version.bytes)]));
    }
    this.#growContent(content, sizeBytes);
    for (const [sector, bytes] of picked)
      content.write(
        bytes.subarray(0, Math.min(SECTOR_BYTES, sizeBytes - sector * SECTOR_BYTES)),
        sector * SECTOR_BYTES,
      );
    if (sizeBytes > old && random.oneIn(8)) {
      // The entry's size arrived, the table of clusters did not: a chain that ends after the durable part.
      const kept = Math.ceil(old / clusterBytes);
      const clusters = Math.ceil(sizeBytes / clusterBytes);
      this.readableBytes = (kept + random.below(clusters - kept + 1)) * clusterBytes;
    }
    this.#sizes = [];
    this.#sectors.clear();
  }

  /** Old, any later one, or - a directory sector is a sector too - bytes of both; never less than what is durable. */
  #pickSize(random: SeededRandom, old: number): number {
    const sizes = [old, ...this.#sizes.map((version) => version.sizeBytes)];
    const picked = sizes[random.below(sizes.length)] ?? old;
    return random.oneIn(6) ? old + random.below(Math.max(...sizes) - old + 1) : picked;
  }

  /** Changes stored bits behind the system's back. */
  corrupt(position: number, mask: number): void {
    const byte = new Uint8Array(1);
    this.read(byte, position);
    byte[0] = (byte[0] ?? 0) ^ mask;
    if (position < this.#durableBytes) this.#content?.write(byte, position);
    const version = this.#sectors.get(Math.floor(position / SECTOR_BYTES))?.at(-1);
    if (version !== undefined) version.bytes[position % SECTOR_BYTES] = byte[0];
  }

  /** The clusters are free again: what they held may turn up in files that are made later. */
  leaveStale(): void {
    const bytes = new Uint8Array(Math.min(this.sizeBytes, 4 * SECTOR_BYTES)); // headers come first: the most misleading part
    this.read(bytes, 0);
    for (let at = 0; at + SECTOR_BYTES <= bytes.length; at += SECTOR_BYTES)
      this.#stale.remember(bytes.subarray(at, at + SECTOR_BYTES));
  }
}

function pickSector(random: SeededRandom, versions: Uint8Array[]): Uint8Array {
  const one = versions[random.below(versions.length)] ?? new Uint8Array(SECTOR_BYTES);
  if (!random.oneIn(3)) return one;
  const other = versions[random.below(versions.length)] ?? one;
  const torn = one.slice();
  if (random.oneIn(2)) {
    // The write stopped somewhere.
    const stop = random.below(SECTOR_BYTES + 1);
    torn.set(other.subarray(0, stop));
  } else {
    for (let i = 0; i < SECTOR_BYTES; i++) if (random.oneIn(2)) torn[i] = other[i] ?? 0;
  }
  return torn;
}
