// SPDX-License-Identifier: MIT
/**
 * What the firmware on the XS board and Node around it say to each other, one request or event a message. First
 * byte: the number here. Numbers little endian: handles and counts 32 bit, sizes, positions and times as doubles.
 * The simulator's side is test-sim/board-host.ts. Both are built from one checkout: nothing here is versioned.
 */

/** Requests (`hostCall`). In brackets what follows the number; then what is answered. */
export const HostOp = {
  config: 1, // [] JSON
  monotonicMs: 2, // [] time
  unixMs: 3, // [] time, NaN while unknown
  setTimer: 4, // [timer, delay]
  clearTimer: 5, // [timer]
  entropy: 6, // [count] bytes
  resetReason: 7, // [] text
  restart: 8, // [] never answered
  getPreference: 9, // [key] nothing when never set, else 1 and the value
  setPreference: 10, // [key length, key, value]
  state: 11, // [text] the uplink's, for people
  feedWatchdog: 12, // [time]
  openFile: 20, // [mode, path] file, size
  allocate: 21, // [file, size]
  readFile: 22, // [file, position, count] bytes
  writeFile: 23, // [file, position, bytes]
  flushFile: 24, // [file]
  closeFile: 25, // [file]
  createDirectory: 26, // [path]
  remove: 27, // [path]
  scan: 28, // [path] scan
  scanNext: 29, // [scan] nothing at the end, else is-directory, size, name
  scanClose: 30, // [scan]
  space: 31, // [] capacity, free
  sha256Create: 40, // [] digest
  sha256Write: 41, // [digest, bytes]
  sha256Close: 42, // [digest] bytes
  hmacSha256: 43, // [key length, key, message] bytes
  seal: 44, // [key, nonce, additional length, additional, plaintext] bytes
  open: 45, // [key, nonce, additional length, additional, sealed] bytes, or refused with "tag"
  connect: 50, // [socket, port, length of host, host, name of the relay if it was found]
  readSocket: 51, // [socket, count] bytes
  writeSocket: 52, // [socket, bytes]
  closeSocket: 53, // [socket]
  find: 54, // [search, timeout]
  findClose: 55, // [search]
} as const;

/** Events (`onHostEvent`). */
export const HostEvent = {
  timer: 1, // [timer]
  flushed: 2, // [file, text: empty or why not]
  readable: 3, // [socket, count]
  writable: 4, // [socket, count]
  socketError: 5, // [socket, text]
  found: 6, // [search, port, host length, host, name]
  findDone: 7, // [search]
} as const;

/** A refusal is "code: message", with the codes of StorageError or ConnectionError. */
export const REFUSAL_SEPARATOR = ": ";
