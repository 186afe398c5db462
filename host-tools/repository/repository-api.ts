// SPDX-License-Identifier: MIT
/** The shapes that the repository hands to commands. Units are in the names; a `path` is absolute and POSIX. */

import type { ExitStatusName } from "../exit-status";
import type { BlobDevice } from "./blob-device";
import type { KeySecret } from "./key-secret";
import type { Unlocking } from "./unlock";

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

/** Something of the past: a version named by the beginning of its id, by a tag, by a time, or "latest". */
export interface AtOptions {
  /** Without it, what is there now. */
  at?: string | undefined;
}

/** One change of a version, as its writer made it. */
export interface VersionChange {
  change: "put" | "mkdir" | "remove" | "move" | "restore";
  path: string;
  /** Of a move, where it went. */
  to?: string;
}

export interface VersionInfo {
  /** 64 hexadecimal digits, the same on every computer. */
  id: string;
  /** As many of its first digits as tell it from all others, at least 8. */
  shortId: string;
  /** By the clock of the computer that made it. */
  timeMs: number;
  /** The computer that made it. */
  writer: string;
  /** The first of them, and how many there are. */
  changes: VersionChange[];
  changeCount: number;
  tags: string[];
  /** Of everything that was in the repository then. */
  sizeBytes: number;
  entries: number;
}

/** A difference at one path. "type": a file became a folder or link, or the other way round. */
export interface NodeChange {
  path: string;
  change: "added" | "removed" | "modified" | "type" | "mode";
  before?: RemoteNode;
  after?: RemoteNode;
}

export interface ForgetPolicy {
  last?: number | undefined;
  daily?: number | undefined;
  weekly?: number | undefined;
  monthly?: number | undefined;
  yearly?: number | undefined;
  /** Tagged versions are kept anyway; this alone lets go of all others. "any" stands for every tag. */
  tags?: readonly string[] | undefined;
}

export interface ForgetOptions {
  /** Versions by name, or a policy for all of them. */
  versions?: readonly string[] | undefined;
  policy?: ForgetPolicy | undefined;
  isDryRun?: boolean | undefined;
}

export interface ForgetReport {
  /** With the reasons; only those that a policy looked at. */
  kept: { version: VersionInfo; reasons: string[] }[];
  forgotten: VersionInfo[];
}

export interface OpenOptions {
  /** The state folder, $COFFER_HOME. */
  home: string;
  /** A passphrase, a recovery code, or the content of a keyfile or keychain. */
  passphrase: KeySecret;
  /** When `startUnlocking` was called with it already. */
  unlocking?: Promise<Unlocking> | undefined;
  /** What this computer is called: its client's name. It goes into the log and into names of conflicting files. */
  computer: string;
  /** Devices that are connected; pushes store on all of them. */
  devices: BlobDevice[];
  /** Names of devices whose card was replaced or wiped on purpose: what they had before counts as gone, not as taken back. */
  forgetDevices?: readonly string[] | undefined;
  signal?: AbortSignal | undefined;
  /** Something is wrong or was repaired, and the work goes on. One sentence. */
  onWarning?: ((text: string) => void) | undefined;
  /** How many entries make a checkpoint worth while, and how old its last one has to be: see checkpoint-maker.ts. */
  checkpointEntries?: number | undefined;
  checkpointAgeMs?: number | undefined;
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

export interface PullOptions extends AtOptions {
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

export interface PruneOptions {
  /** Nothing is changed. */
  isDryRun?: boolean | undefined;
  /** Share of the packs' bytes that may stay without being needed, 0..1; 0.05 when not given. */
  maxUnused?: number | undefined;
  /** Between condemning and deleting; when not given an hour, or 0 when this computer is the only writer. */
  holdMs?: number | undefined;
  /** Called before anything is changed. */
  onPlan?: ((summary: PruneSummary) => void) | undefined;
  /** Bytes of the packs that are put together anew. */
  onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

export interface PruneSummary {
  /** All packs on the devices, each counted once. */
  packBytes: number;
  /** Nothing kept needs them. */
  deadPacks: number;
  deadBytes: number;
  /** Badly used ones, and how much of them is needed and goes to new packs. */
  repackedPacks: number;
  repackedBytes: number;
  keptOfRepackedBytes: number;
  /** In no index: left by interrupted pushes, or being pushed now. */
  unreferencedBlobs: number;
  unreferencedBytes: number;
  /** Condemned by an earlier prune. */
  condemnedPacks: number;
  condemnedBytes: number;
  /** Stays in packs without being needed. */
  unusedBytes: number;
  holdMs: number;
}

export interface PruneReport extends PruneSummary {
  /** Summed over all devices. */
  freedBytes: number;
  deletedBlobs: number;
  seconds: number;
}
