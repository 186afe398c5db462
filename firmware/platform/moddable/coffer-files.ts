// SPDX-License-Identifier: MIT
/** The natives of coffer-files.c and coffer-folders.c. A negative number is `-(errno * 8 + kind)`. */

export const FileMode = { read: 0, update: 1, create: 2 } as const;

/** `NativeFile.open` comes before everything else, and once. */
export class NativeFile extends Native("xs_coffer_file_destructor") {
  open(path: string, mode: number): number {
    return native("xs_coffer_file_open").call(this, path, mode) as number;
  }
  size(): number {
    return native("xs_coffer_file_size").call(this) as number;
  }
  read(into: Uint8Array, position: number): number {
    return native("xs_coffer_file_read").call(this, into, position) as number;
  }
  write(bytes: Uint8Array, position: number): number {
    return native("xs_coffer_file_write").call(this, bytes, position) as number;
  }
  allocate(size: number): number {
    return native("xs_coffer_file_allocate").call(this, size) as number;
  }
  flush(): number {
    return native("xs_coffer_file_flush").call(this) as number;
  }
  /** A failure when bytes that no flush covered are lost; it is closed in any case. */
  close(): number {
    return native("xs_coffer_file_close").call(this) as number;
  }
}

export class NativeScan extends Native("xs_coffer_scan_destructor") {
  open(path: string): number {
    return native("xs_coffer_scan_open").call(this, path) as number;
  }
  /** The next name, undefined at the end, or a failure. */
  next(): string | number | undefined {
    return native("xs_coffer_scan_next").call(this) as string | number | undefined;
  }
  /** Bytes of a file, -1 for what is none. */
  size(name: string): number {
    return native("xs_coffer_scan_size").call(this, name) as number;
  }
  close(): void {
    native("xs_coffer_scan_close").call(this);
  }
}

export function createDirectory(this: unknown, path: string): number {
  return native("xs_coffer_files_createDirectory").call(this, path) as number;
}

export function syncDirectory(this: unknown, path: string): number {
  return native("xs_coffer_files_syncDirectory").call(this, path) as number;
}

/** 0 nothing, 1 file, 2 directory. */
export function kindOf(this: unknown, path: string): number {
  return native("xs_coffer_files_kind").call(this, path) as number;
}

/** A file or an empty directory. */
export function remove(this: unknown, path: string): number {
  return native("xs_coffer_files_remove").call(this, path) as number;
}

/** Atomic on a host's file system, never to be used on FAT. */
export function replace(this: unknown, from: string, to: string): number {
  return native("xs_coffer_files_replace").call(this, from, to) as number;
}

/** Another card is behind the paths than before. */
export function forgetCard(this: unknown): void {
  native("xs_coffer_files_forgetCard").call(this);
}

/** Capacity and free bytes as two doubles. */
export function space(this: unknown, path: string, into: ArrayBuffer): number {
  return native("xs_coffer_files_space").call(this, path, into) as number;
}
