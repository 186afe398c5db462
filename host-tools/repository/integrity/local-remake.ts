// SPDX-License-Identifier: MIT
/**
 * Makes chunks again from local files: reads and cuts them, and encodes their folders, exactly as a push would, and
 * hands on what comes of it. Equal bytes give equal chunks, so whatever is still there as it was pushed is found.
 */

import { toText } from "../byte-names";
import { FileStorer } from "../file-storer";
import { LocalScan } from "../local-scan";
import { TreePusher, pushRoots } from "../push";
import type { Problem, Progress } from "../repository-api";
import type { ChunkKind } from "../repository-keys";
import type { RepositoryParts } from "../repository-parts";

export async function remakeChunks(options: {
  parts: RepositoryParts;
  paths: readonly string[];
  /** Called with every chunk; the plaintext is valid until the promise settles. */
  take: (kind: ChunkKind, id: Uint8Array, plaintext: Uint8Array) => Promise<void>;
  onProgress?: ((progress: Progress) => void) | undefined;
}): Promise<Problem[]> {
  const { parts, paths, take, onProgress } = options;
  const { cipher, chunker, trees } = parts;
  const { signal } = parts.options;
  const scan = new LocalScan(pushRoots(paths));
  const progress = { filesDone: 0, bytesDone: 0, path: "" };
  const tell = (): void => {
    const { files: filesTotal, bytes: bytesTotal, isComplete: isTotalFinal } = scan;
    onProgress?.({
      phase: "transfer",
      ...progress,
      filesTotal,
      bytesTotal,
      isTotalFinal,
      transferredBytes: 0,
    });
  };
  const files = new FileStorer({
    cipher,
    chunker,
    uploader: { offer: take, isStored: () => Promise.resolve(false) },
    journal: { file: () => 0, item: () => undefined },
    known: () => [],
    onBytes: (bytes) => {
      progress.bytesDone += bytes;
      tell();
    },
    signal,
  });
  const pusher = new TreePusher({
    store: trees,
    uploader: { offer: take, isRecorded: () => false },
    files,
    mayReuse: false,
    areTargetsEqual: false,
    folder: [],
    onWarning: parts.onWarning,
    onFile: (path) => {
      progress.filesDone++;
      progress.path = toText(path);
    },
    signal,
  });
  try {
    return (await pusher.push(scan, [])).problems;
  } finally {
    scan.close();
  }
}
