// SPDX-License-Identifier: MIT
/** Largest resident set of the client, command by command, with ever more files (each is a chunk) in the repository. */
import { mkdirSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Cluster, memoryFolder } from "./cluster";

const FILES_A_FOLDER = 1000;
const FILE_BYTES = 64;

export async function benchMemory(options: {
  counts: readonly number[];
  print: (line: string) => void;
}): Promise<void> {
  options.print(
    `client's peak in MiB (and seconds) with files of ${FILE_BYTES} bytes, ${FILES_A_FOLDER} in a folder`,
  );
  for (const count of options.counts) {
    const cluster = new Cluster(memoryFolder());
    try {
      await cluster.start();
      await cluster.startNode("bench");
      const tree = join(cluster.folder, "tree");
      makeTree(tree, count);
      options.print(`  ${count} files`);
      const measure = async (...words: string[]): Promise<void> => {
        const { seconds, figures } = await cluster.run([...words, "--quiet"]);
        const name = words.join(" ").replaceAll(`${cluster.folder}/`, "");
        options.print(`    ${name.padEnd(28)} ${figures.peakMiB.toFixed(0)} (${seconds.toFixed(1)})`);
      };
      await measure("push", tree);
      await measure("push", tree);
      await measure("push", tree, "--force");
      await measure("ls", "/tree/folder0");
      await measure("pull", "/tree", "--to", join(cluster.folder, "back"));
      await measure("verify");
      await measure("prune", "--dry-run");
    } finally {
      cluster.close();
    }
  }
}

function makeTree(folder: string, count: number): void {
  for (let i = 0; i < count; i++) {
    const parent = join(folder, `folder${Math.floor(i / FILES_A_FOLDER)}`);
    if (i % FILES_A_FOLDER === 0) mkdirSync(parent, { recursive: true });
    writeFileSync(join(parent, `file${i}`), randomBytes(FILE_BYTES));
  }
}
