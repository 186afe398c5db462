// SPDX-License-Identifier: MIT
/**
 * Looks for what must not be there: file names and pieces of contents in everything that a relay or a card saw.
 * A piece is long enough that it does not occur in ciphertext by chance.
 */

import { createReadStream } from "node:fs";
import { lstat, open, readdir } from "node:fs/promises";

export interface Needle {
  /** For people: "the name photos/cat.jpg". */
  what: string;
  bytes: Buffer;
}

/** Eight random bytes meet by chance once in 10^19 positions. */
const minNameBytes = 8;
const sampleBytes = 24;
/** Samples with fewer different bytes, such as those of a sparse file, would be found anywhere. */
const minDifferentBytes = 8;
const maxNeedles = 400;

/** Names of at least eight bytes, and a sample from the middle of each file that is not one byte repeated. */
export async function needlesOf(path: string): Promise<Needle[]> {
  const needles: Needle[] = [];
  await collect(Buffer.from(path), needles);
  return needles;
}

/** Raw bytes as paths: a name need not be UTF-8. */
async function collect(path: Buffer, needles: Needle[]): Promise<void> {
  if (needles.length >= maxNeedles) return;
  const found = await lstat(path);
  const name = path.subarray(path.lastIndexOf("/") + 1);
  if (name.length >= minNameBytes) needles.push({ what: `the name ${name.toString()}`, bytes: name });
  if (found.isDirectory())
    for (const child of await readdir(path, { encoding: "buffer" }))
      await collect(Buffer.concat([path, Buffer.from("/"), child]), needles);
  else if (found.isFile() && found.size >= sampleBytes) {
    const bytes = await sample(path, Math.floor((found.size - sampleBytes) / 2));
    if (new Set(bytes).size > minDifferentBytes)
      needles.push({ what: `contents of ${name.toString()}`, bytes });
  }
}

async function sample(path: Buffer, position: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const bytes = Buffer.alloc(sampleBytes);
    const { bytesRead } = await file.read(bytes, 0, sampleBytes, position);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Says what of `needles` is in the files below `folder`, or in their names. */
export async function searchFolder(folder: string, needles: readonly Needle[]): Promise<string[]> {
  const search = new LeakSearch(needles);
  for (const path of await filesBelow(Buffer.from(folder))) {
    search.start();
    search.next(path.subarray(Buffer.byteLength(folder)));
    search.start();
    for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024 }))
      search.next(piece as Buffer);
  }
  return search.found;
}

/** Searches streams piece by piece; what lies across two pieces is found, too. */
export class LeakSearch {
  readonly #needles: readonly Needle[];
  readonly #overlapBytes: number;
  readonly #found = new Set<string>();
  #tail: Buffer = Buffer.alloc(0);

  constructor(needles: readonly Needle[]) {
    this.#needles = needles;
    this.#overlapBytes = Math.max(0, ...needles.map(({ bytes }) => bytes.length - 1));
  }

  get found(): string[] {
    return [...this.#found];
  }

  /** Another stream begins. */
  start(): void {
    this.#tail = Buffer.alloc(0);
  }

  next(piece: Buffer): void {
    const bytes = this.#tail.length === 0 ? piece : Buffer.concat([this.#tail, piece]);
    for (const { what, bytes: needle } of this.#needles)
      if (!this.#found.has(what) && bytes.includes(needle)) this.#found.add(what);
    this.#tail = Buffer.from(bytes.subarray(Math.max(0, bytes.length - this.#overlapBytes)));
  }
}

async function filesBelow(folder: Buffer): Promise<Buffer[]> {
  const files: Buffer[] = [];
  for (const name of await readdir(folder, { encoding: "buffer" })) {
    const path = Buffer.concat([folder, Buffer.from("/"), name]);
    const found = await lstat(path);
    if (found.isDirectory()) files.push(...(await filesBelow(path)));
    else if (found.isFile()) files.push(path);
  }
  return files;
}
