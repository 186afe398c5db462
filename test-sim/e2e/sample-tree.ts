// SPDX-License-Identifier: MIT
/** A folder with everything that a file system can hold and that must come back equal. */
import { chmod, lutimes, mkdir, open, symlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SeededRandom } from "../seeded-random";

export interface SampleTreeOptions {
  seed: number;
  /** Size of the largest file. */
  largeBytes?: number;
  smallFiles?: number;
}

/** A sentence that occurs nowhere else: if it is found on a card or at the relay, it leaked. */
export const distinctiveText = "The heron stood on one leg in the moonlit vinegar.\n";
export const distinctiveName = "heron-vinegar-moonlight.txt";

export async function makeSampleTree(folder: string, options: SampleTreeOptions): Promise<void> {
  const random = new SeededRandom(options.seed);
  const bytes = (count: number): Uint8Array => {
    const content = new Uint8Array(count);
    random.fill(content);
    return content;
  };
  const sub = join(folder, "Größe 大小", "deep", "deeper");
  await mkdir(sub, { recursive: true });
  await mkdir(join(folder, "empty folder"));
  await writeFile(join(folder, distinctiveName), distinctiveText.repeat(50));
  await writeFile(join(folder, "zero"), "");
  await writeFile(join(folder, "one"), "1");
  await writeFile(join(folder, "large.bin"), bytes(options.largeBytes ?? 3_000_000));
  await writeFile(join(sub, "text.txt"), "a line that repeats and compresses well\n".repeat(20_000));
  await writeFile(join(sub, "caf\u00e9 composed"), "NFC");
  await writeFile(join(sub, "cafe\u0301 decomposed"), "NFD");
  await writeFile(join(folder, "evil\u001b[2Jname\n"), "a name that would clear a terminal");
  await writeFile(Buffer.concat([Buffer.from(`${folder}/latin-`), Buffer.from([0xe9, 0xff])]), "not UTF-8");
  await sparse(join(folder, "sparse.img"), 5_000_000);
  for (let index = 0; index < (options.smallFiles ?? 40); index += 1)
    await writeFile(join(folder, `small-${String(index)}`), bytes(random.below(3000)));
  await symlink("large.bin", join(folder, "link to file"));
  await symlink("../nowhere/at all", join(folder, "dangling link"));
  await chmod(join(folder, "one"), 0o751);
  await chmod(join(folder, "zero"), 0o400);
  await chmod(join(folder, "empty folder"), 0o700);
  await utimes(join(folder, "large.bin"), 1_000_000_000.123, 1_234_567_890.987);
  await lutimes(join(folder, "dangling link"), 1, 86_400.5);
}

async function sparse(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, "w");
  try {
    await file.truncate(sizeBytes);
    await file.write("in the middle of nothing", Math.floor(sizeBytes / 2));
  } finally {
    await file.close();
  }
}
