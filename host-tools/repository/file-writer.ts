// SPDX-License-Identifier: MIT
/**
 * Writes pulled files: each to a temporary name beside its place, renamed when it is whole, so that nothing half-written
 * ever has the name of the real thing. Holes stay holes. Never follows a symbolic link.
 */

import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  ftruncateSync,
  futimesSync,
  lutimesSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  write,
  writeSync,
} from "node:fs";
import { type ByteString, toBytes } from "./byte-names";
import type { TreeEntry } from "./tree";

/** Written without waiting: the page cache takes it in no time. */
const AT_ONCE_BYTES = 64 * 1024;
const temporaryName = /^\.coffer-(\d+)-[0-9a-f]{12}\.part$/;

export class FileWriter {
  readonly #path: ByteString;
  readonly #temporary: Buffer;
  readonly #file: number;
  #offset = 0;
  #isAtHole = false;

  constructor(path: ByteString) {
    this.#path = path;
    this.#temporary = toBytes(temporaryBeside(path));
    this.#file = openSync(
      this.#temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
  }

  hole(lengthBytes: number): void {
    this.#offset += lengthBytes;
    this.#isAtHole = true;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const count =
        bytes.length <= AT_ONCE_BYTES
          ? writeSync(this.#file, bytes, at, bytes.length - at, this.#offset)
          : await this.#write(bytes, at);
      at += count;
      this.#offset += count;
    }
    this.#isAtHole = false;
  }

  /** Gives the file its mode, time and name. */
  finish(entry: TreeEntry): void {
    if (this.#isAtHole) ftruncateSync(this.#file, this.#offset);
    fchmodSync(this.#file, entry.mode);
    futimesSync(this.#file, ...times(entry));
    closeSync(this.#file);
    renameSync(this.#temporary, toBytes(this.#path));
  }

  /** Leaves nothing behind. */
  abandon(): void {
    try {
      closeSync(this.#file);
    } catch {
      // Closed by `finish` already.
    }
    rmSync(this.#temporary, { force: true });
  }

  #write(bytes: Uint8Array, at: number): Promise<number> {
    return new Promise((resolve, reject) => {
      write(this.#file, bytes, at, bytes.length - at, this.#offset, (error, count) => {
        if (error) reject(error);
        else resolve(count);
      });
    });
  }
}

/** Puts a symbolic link at `path`, in one step, also over an older file or link. */
export function writeSymlink(path: ByteString, entry: TreeEntry): void {
  const temporary = toBytes(temporaryBeside(path));
  symlinkSync(toBytes(entry.target), temporary);
  try {
    lutimesSync(temporary, ...times(entry));
    renameSync(temporary, toBytes(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

export function setModeAndTime(path: ByteString, entry: TreeEntry): void {
  chmodSync(toBytes(path), entry.mode);
  utimesSync(toBytes(path), ...times(entry));
}

/** Removes what pulls that are no more have left in a folder. */
export function removeLeftovers(folder: ByteString): void {
  for (const name of readdirSync(toBytes(folder), { encoding: "latin1" })) {
    const pid = Number(temporaryName.exec(name)?.[1]);
    if (Number.isInteger(pid) && pid !== process.pid && !isAlive(pid))
      rmSync(toBytes(`${folder}/${name}`), { force: true });
  }
}

/** Random once and then counted: asking for randomness for each of many small files takes longer than sealing them. */
let nextNumber = randomBytes(6).readUIntBE(0, 6);

function temporaryBeside(path: ByteString): ByteString {
  nextNumber = (nextNumber + 1) % 2 ** 48;
  const folder = path.slice(0, path.lastIndexOf("/"));
  return `${folder}/.coffer-${String(process.pid)}-${nextNumber.toString(16).padStart(12, "0")}.part`;
}

/**
 * Seconds as Node takes them. It cuts them down to microseconds, and a double is only exact to a quarter of one: a
 * little is added so that the microsecond is the right one.
 */
function times(entry: TreeEntry): [number, number] {
  const seconds = entry.mtimeSeconds + (Math.floor(entry.mtimeNanos / 1000) + 0.4) / 1e6;
  return [seconds, seconds];
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
