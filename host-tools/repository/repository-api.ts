// SPDX-License-Identifier: MIT
/** The shapes that the repository hands to commands. Units are in the names; a `path` is absolute and POSIX. */

import type { ExitStatusName } from "../exit-status";
import type { BlobDevice } from "./blob-device";

export type NodeType = "file" | "directory" | "symlink";

export interface RemoteNode {
  /**
   * The last part of the path, "" for the root. Bytes that are not UTF-8 are the lone surrogates U+DC80..U+DCFF, so
   * that every name has a string and every string leads back to the same bytes; print it with `printable`.
   */
  name: string;
  type: NodeType;
  /** Permission bits, 0o7777 at most. */
  mode: number;
  mtimeNs: bigint;
  /** Of a file its size, of a folder the sum of all files below, of a symbolic link the length of its target. */
  sizeBytes: number;
  /** Everything below a folder, itself not counted; 0 for others. */
  entries: number;
  /** Where a symbolic link points. */
  target?: string;
  /** Equal for equal content within one repository: a fingerprint for comparing, hexadecimal. */
  contentId: string;
}

export interface WalkedNode extends RemoteNode {
  path: string;
}

export interface OpenOptions {
  /** The state folder, $COFFER_HOME. */
  home: string;
  passphrase: string;
  /** What this computer is called: its client's name. It goes into the log and into names of conflicting files. */
  computer: string;
  /** Devices that are connected; pushes store on all of them. */
  devices: BlobDevice[];
  /** Names of devices whose card was replaced or wiped on purpose: what they had before counts as gone, not as taken back. */
  forgetDevices?: readonly string[] | undefined;
  signal?: AbortSignal | undefined;
  /** Something is wrong or was repaired, and the work goes on. One sentence. */
  onWarning?: ((text: string) => void) | undefined;
}

/** "scan": looking at files; "transfer": reading, sealing, sending, or fetching and writing; "commit": making it visible. */
export type Phase = "scan" | "transfer" | "commit" | "done";

export interface Progress {
  phase: Phase;
  filesDone: number;
  /** Files found so far; final when `isTotalFinal`. */
  filesTotal: number;
  /** Bytes of files: of a push looked at and stored, of a pull written or found complete. */
  bytesDone: number;
  bytesTotal: number;
  isTotalFinal: boolean;
  /** Bytes that went to all devices, or came from them. */
  transferredBytes: number;
  /** What is being worked on. */
  path: string;
}

/** A file that was left out, and why; the rest went on. */
export interface Problem {
  path: string;
  reason: string;
  kind: ExitStatusName;
}

export interface PushOptions {
  /** Local files and folders; each arrives under its own name in `to`. */
  sources: readonly string[];
  /** A remote folder, made when missing. */
  to: string;
  /** Reads every file again, also those that look unchanged. */
  force?: boolean | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

export interface PushReport {
  files: number;
  directories: number;
  symlinks: number;
  /** Bytes of all files. */
  bytes: number;
  /** Files recognised by size, times and inode, and not read. */
  unchangedFiles: number;
  /** Bytes read and hashed. */
  hashedBytes: number;
  /** Chunks that no device had. */
  newChunks: number;
  /** Bytes of new packs and index blobs, counted once. */
  storedBytes: number;
  /** Bytes that travelled, to all devices together. */
  sentBytes: number;
  /** False when everything was there already and nothing was written. */
  isChanged: boolean;
  /** Left out: unreadable, vanished or changing while read. */
  problems: Problem[];
  seconds: number;
}

export interface PullOptions {
  remote: string;
  /** Becomes the pulled file or folder itself. */
  to: string;
  /**
   * What happens to a local file that differs: "always" replaces it (as cp and rclone do, the default), "newer" only
   * when the remote one is newer, "never" keeps it. A file never replaces a folder, nor a folder a file.
   */
  overwrite?: "always" | "newer" | "never" | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

export interface PullReport {
  files: number;
  directories: number;
  symlinks: number;
  bytes: number;
  /** Files that were complete already, or kept because of `overwrite`. */
  skippedFiles: number;
  receivedBytes: number;
  /** Left out because their blobs are damaged or missing. */
  problems: Problem[];
  seconds: number;
}

export interface RepositoryUsage {
  files: number;
  directories: number;
  /** Sum of the sizes of all files of the present state. */
  bytes: number;
  chunks: number;
  packs: number;
  /** What the packs of all versions take on one device that has them all. */
  packBytes: number;
  entries: number;
  devices: { name: string; capacityBytes: number; freeBytes: number; packs: number; packBytes: number }[];
}
