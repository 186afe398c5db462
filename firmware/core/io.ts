// SPDX-License-Identifier: MIT
/**
 * Every port of the firmware: what the portable core needs from the hardware or the operating system.
 *
 * The shapes follow ECMA-419: an options dictionary, construct/read/write/close, `onReadable(count)` and
 * `onWritable(count)` that say how much and never carry data. For every port:
 * - no callback is called from inside the call that registers it, nor after `close()`;
 * - `onError` is called at most once, and the object is closed when it is called;
 * - `close()` twice is harmless;
 * - a caller may reuse a buffer as soon as the call that took it returns.
 * The core imports nothing but `protocol/` and this file.
 */

export interface Clock {
  /** Milliseconds since boot. Never runs backwards. */
  monotonicMs(): number;
  /** Unix time in milliseconds, or undefined while no source has set the clock. */
  unixMs(): number | undefined;
}

/** Opaque: what `Timers.set` gave. */
export type TimerHandle = object;

export interface Timers {
  /** Calls `callback` once, `delayMs` (>= 0) from now, never inside this call. */
  set(delayMs: number, callback: () => void): TimerHandle;
  /** Clearing a timer that has fired or was cleared is harmless. */
  clear(handle: TimerHandle): void;
}

export interface Entropy {
  /** Fills `into` with cryptographically secure random bytes. */
  fill(into: Uint8Array): void;
}

/** The two levels a device needs: what happened, and what an operator should look at. */
export type LogLevel = "info" | "warn";

export interface Log {
  /** One line, no secrets, at most 200 characters kept. Never throws. The core's keeps it too (`DeviceLog`). */
  write(level: LogLevel, message: string): void;
}

export type ResetReason = "powerOn" | "software" | "exception" | "watchdog" | "brownout" | "unknown";

export interface Reset {
  /** Why the device started this time. */
  readonly reason: ResetReason;
  /** Restarts the device; on hosts that cannot restart, ends the process. */
  restart(): void;
}

/** What resets the device when its loop is blocked. It watches from the first call on. */
export interface Watchdog {
  /** Unless the next call comes within so many milliseconds the device is reset, with reason "watchdog". */
  feed(withinMs: number): void;
}

/** Non-volatile settings in the board's own flash, not on the card. Keys: 1..15 characters of [a-z0-9]. */
export interface Preferences {
  /** At most 1024 bytes, or undefined when never set. */
  get(key: string): Uint8Array | undefined;
  /** Durable when it returns. */
  set(key: string, value: Uint8Array): void;
}

/** Memory of the JavaScript machine, bytes; undefined where the host cannot tell. */
export interface MemoryMeter {
  read(): { usedBytes: number; peakBytes: number; limitBytes: number } | undefined;
  /** Memory outside of it, now and at the worst moment since the start. Absent where it is no concern of the device. */
  readSystem?(): { freeBytes: number; leastFreeBytes: number };
}

// ---------------------------------------------------------------- storage

/** `unformatted`: no file system that the device knows. `io` covers everything that is none of the others. */
export type StorageErrorCode = "notFound" | "exists" | "full" | "readOnly" | "noCard" | "unformatted" | "io";

export class StorageError extends Error {
  /** A field and not an assignment: on a device the prototypes of the engine are read-only. */
  override readonly name = "StorageError";
  readonly code: StorageErrorCode;
  constructor(code: StorageErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export interface StorageFile {
  /** Bytes, as `allocate` or writing left it. */
  readonly sizeBytes: number;
  /**
   * Reserves room so that the file is `sizeBytes` long; what the new bytes hold is unspecified (on FAT: whatever
   * the clusters held). Throws StorageError "full" and leaves the file as it was when there is not enough room.
   */
  allocate(sizeBytes: number): void;
  /** Reads into `into` from `positionBytes`; returns how many bytes, less than `into.length` only at the end. */
  read(into: Uint8Array, positionBytes: number): number;
  /** Writes all of `bytes` inside the allocated size. Not durable before a flush that starts later has ended. */
  write(bytes: Uint8Array, positionBytes: number): void;
  /**
   * Makes everything written so far, the size, and the file's own name durable, then calls `done` (never inside
   * this call) with nothing, or with what went wrong. One flush at a time a file.
   * After a power cut: what an ended flush covered is whole; what was written since is, sector of 512 bytes by
   * sector, old, new or a mixture of both, in any order. The same holds for the size and name of a file that
   * was never flushed, and for the clusters behind them.
   */
  flush(done: (error?: StorageError) => void): void;
  close(): void;
}

export interface DirectoryScan {
  /** The next entry in the directory's own order, or undefined at the end. */
  next(): { name: string; isDirectory: boolean; sizeBytes: number } | undefined;
  close(): void;
}

/**
 * The card (or a host folder). Paths are relative to Coffer's own folder on it: names of 1..80 characters of
 * [a-z0-9.-] joined by "/", no "." or "..", at most 3 deep. Throws StorageError. There is deliberately no rename: on
 * FAT it is not atomic.
 */
export interface Storage {
  /** "create" fails with "exists" when it is there; "read" and "update" with "notFound" when it is not. */
  openFile(path: string, mode: "create" | "read" | "update"): StorageFile;
  /** Fails with "exists". Durable when a flush of any file that started later has ended. */
  createDirectory(path: string): void;
  /**
   * Removes a file that nobody has open, or an empty directory; takes any name that `scan` gave. A removed name may come
   * back after a power cut, with its clusters marked free, until a flush of any file that started after the removal has
   * ended.
   */
  remove(path: string): void;
  /** "" is Coffer's own folder. Names that Coffer did not give are told too, such as the short alias of a torn long name. */
  scan(path: string): DirectoryScan;
  /** Room on the medium. */
  space(): { capacityBytes: number; freeBytes: number };
}

// ---------------------------------------------------------------- cryptography

export interface Sha256 {
  write(bytes: Uint8Array): void;
  /** The 32-byte digest; the object is closed. */
  close(): Uint8Array;
}

export interface Crypto {
  createSha256(): Sha256;
  /** HMAC-SHA-256, 32 bytes. Key of any length. */
  hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array;
  /** AES-256-GCM: 32-byte key, 12-byte nonce; returns ciphertext followed by the 16-byte tag. */
  seal(key: Uint8Array, nonce: Uint8Array, additional: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** The plaintext, or undefined when the tag does not match. */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    additional: Uint8Array,
    sealed: Uint8Array,
  ): Uint8Array | undefined;
}

// ---------------------------------------------------------------- network

/**
 * Why a secure socket ended. "certificate": the peer's certificate was refused (authority, role, name, date);
 * "rejected": the peer refused ours or ended the handshake; "unreachable": no connection or no address;
 * "closed": the peer closed; "lost": the connection broke.
 */
export type ConnectionErrorCode = "unreachable" | "certificate" | "rejected" | "closed" | "lost";

export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: ConnectionErrorCode;
  constructor(code: ConnectionErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export interface SecureSocketOptions {
  /** DNS name or numeric address. */
  host: string;
  port: number;
  /** Of a relay found by discovery: its certificate has to name this relay, and not to be valid for `host`. */
  relayName?: string;
  /** `count` bytes can be read now. Called again when more arrives after a read. */
  onReadable(count: number): void;
  /** The handshake is done, or room came back: `count` (> 0) bytes can be written now. */
  onWritable(count: number): void;
  /** Behind bytes that nobody reads it may never come. */
  onError(error: ConnectionError): void;
}

/**
 * A mutual-TLS connection to the relay. The adapter holds identity and trust: it presents the device's certificate,
 * accepts only a certificate of the relay authority with a `coffer:relay:` URI name that is valid for `host` (with
 * `relayName`: whose URI name is that one), and never throws from a callback.
 */
export interface SecureSocket {
  /** Reads up to `into.length` bytes; returns how many, 0 when nothing is there. */
  read(into: Uint8Array): number;
  /**
   * The next `count` bytes as they lie there, good until the caller returns to the socket; undefined when they are not there in
   * one piece: then `read`. Absent where nothing lies in one piece.
   */
  view?(count: number): Uint8Array | undefined;
  /** How many bytes `write` takes now. */
  readonly writableBytes: number;
  /** Takes all of `bytes`; RangeError when more than `writableBytes`. */
  write(bytes: Uint8Array): void;
  close(): void;
}

export interface LineOptions extends SecureSocketOptions {
  /** 32 bytes, shown to the relay in plain text before anything else. */
  ticket: Uint8Array;
  /** 32 bytes that prove both ends to each other. */
  key: Uint8Array;
  /** Of TLS: else the client. */
  isServer: boolean;
}

export interface Network {
  connect(options: SecureSocketOptions): SecureSocket;
  /**
   * The device's end of a line over the relay at that address. TLS 1.3 with `key` as the external key of
   * LINE_IDENTITY (RFC 8446 section 4.2.11, psk_dhe_ke). Absent where the platform cannot.
   */
  join?(options: LineOptions): SecureSocket;
}

export interface FoundRelay {
  host: string;
  port: number;
  /** From the announcement, which anybody can make: the relay's certificate has to prove it. */
  name: string;
}

/** UDP broadcast and, where the platform has it, mDNS `_coffer._tcp`. */
export interface Discovery {
  /** Looks for relays for `timeoutMs`; `onFound` for each (at most 16), then `onDone` once. */
  find(options: { timeoutMs: number; onFound(relay: FoundRelay): void; onDone(): void }): { close(): void };
}

/** Everything a device is composed of. */
export interface Ports {
  clock: Clock;
  timers: Timers;
  entropy: Entropy;
  log: Log;
  reset: Reset;
  /** Absent where somebody else watches, or nobody: a process on a computer. */
  watchdog?: Watchdog;
  preferences: Preferences;
  memory: MemoryMeter;
  storage: Storage;
  crypto: Crypto;
  network: Network;
  /** Absent where the platform has none: then a relay address must be configured. */
  discovery?: Discovery;
}
