// SPDX-License-Identifier: MIT
/** What may come and go beneath the storage port: a card. Where there is none, on a host, the folder is always there. */
export interface StorageMedium {
  /**
   * Makes what is on it reachable, if it is not. Throws StorageError: "noCard" when nothing is there, "unformatted", "io"
   * when it cannot be used. Cheap while it is attached; when it is not, tries now and then only, and says the same in
   * between.
   */
  attach(): void;
  /** Whether it still answers. Asked after failures only. */
  isThere(): boolean;
  /** After everything on it was closed. Harmless when it is not attached. */
  detach(): void;
}
