// SPDX-License-Identifier: MIT
/** How long a person waits for the small commands, also with many files in the repository. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Cluster, median, memoryFolder } from "./cluster";

const FILES_A_FOLDER = 500;

export async function benchLatency(options: {
  files: number;
  runs: number;
  print: (line: string) => void;
}): Promise<void> {
  const { files, runs, print } = options;
  const cluster = new Cluster(memoryFolder());
  try {
    await cluster.start();
    await cluster.startNode("bench");
    const tree = join(cluster.folder, "tree");
    for (let i = 0; i < files; i++) {
      const parent = join(tree, `folder${Math.floor(i / FILES_A_FOLDER)}`);
      if (i % FILES_A_FOLDER === 0) mkdirSync(parent, { recursive: true });
      writeFileSync(join(parent, `file${i}`), `this is file ${i}\n`);
    }
    const push = await cluster.run(["push", tree, "--quiet"]);
    print(
      `${files} files in ${Math.ceil(files / FILES_A_FOLDER)} folders, pushed in ${push.seconds.toFixed(2)} s`,
    );
    const commands: [string, string[]][] = [
      ["coffer --help", ["--help"]],
      ["coffer ls (the top)", ["ls"]],
      ["coffer ls (a folder)", ["ls", "/tree/folder7"]],
      ["coffer ls -R (everything)", ["ls", "-R"]],
      ["coffer push (unchanged)", ["push", tree, "--quiet"]],
    ];
    for (const [name, words] of commands) {
      const seconds: number[] = [];
      for (let run = 0; run < runs; run++) seconds.push((await cluster.run(words)).seconds);
      print(`  ${name.padEnd(28)}${median(seconds).toFixed(3)} s`);
    }
  } finally {
    cluster.close();
  }
}
