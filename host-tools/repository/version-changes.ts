// SPDX-License-Identifier: MIT
/** The operations of a version as people see them. */

import { formatRemotePath, fromBytes } from "./byte-names";
import type { Operation } from "./log-entry";
import type { VersionChange } from "./repository-api";
import { decodeEntry } from "./tree";

/** None for an operation that leaves the tree alone. */
export function toVersionChange(operation: Operation): VersionChange[] {
  const path = (parts: readonly Uint8Array[]): string => formatRemotePath(parts.map(fromBytes));
  switch (operation.op) {
    case "put": {
      const names = [...operation.folder.map(fromBytes), decodeEntry(operation.node).name];
      return [{ change: "put", path: formatRemotePath(names) }];
    }
    case "mkdir":
    case "remove":
      return [{ change: operation.op, path: path(operation.path) }];
    case "move":
      return [{ change: "move", path: path(operation.from), to: path(operation.to) }];
    case "set":
      return [{ change: "restore", path: path(operation.path) }];
    default:
      return [];
  }
}
