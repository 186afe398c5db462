// SPDX-License-Identifier: MIT
/**
 * What every boot does before any room is given out: each blob that a slot names is looked at. Stored: the slot is
 * free. Partial and confirmed: it can be resumed. Anything else was never confirmed, so its clusters may be marked
 * free: it is removed now, because removing it later could free somebody else's. firmware/DESIGN.md "Boot".
 */
import { HASH_BYTES, MAX_UPLOADS } from "../protocol/limits";
import { attempt } from "./attempt";
import { readBlobState } from "./blob-header";
import { isAlias } from "./fat-alias";
import { fromHex } from "./hex";
import { StorageError } from "./io";
import type { StorageFile } from "./io";
import { blobPath } from "./store-parts";
import type { StoreParts } from "./store-parts";
import type { Slot } from "./upload-table";

export function recoverBlobs(parts: StoreParts, isWritable: boolean, done: (error?: unknown) => void): void {
  const { storage, table } = parts;
  const named = table.slots.filter((slot) => slot.state !== "free");
  const removed: Slot[] = [];

  const next = (): void => {
    const slot = named.shift();
    if (slot)
      attempt(() => {
        look(slot);
      }, done);
    else if (removed.length === 0) done();
    else if (!isWritable) done();
    else {
      table.sync((error) => {
        if (!error) for (const gone of removed) table.release(gone);
        done(error);
      });
    }
  };

  const look = (slot: Slot): void => {
    const path = blobPath(slot.hexId);
    let file: StorageFile;
    try {
      file = storage.openFile(path, isWritable ? "update" : "read");
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== "notFound") throw error;
      if (isWritable) removeAliases(slot);
      removed.push(slot);
      parts.timers.set(0, next);
      return;
    }
    const state = readBlobState(file, fromHex(slot.hexId, HASH_BYTES) ?? new Uint8Array(0));
    if (state.kind === "stored" && isWritable) {
      // A commit that a killed process left to the operating system is not durable yet, and nobody was told it is.
      file.flush((error) => {
        file.close();
        if (error) done(error);
        else {
          table.release(slot);
          next();
        }
      });
      return;
    }
    file.close();
    if (state.kind === "stored") table.release(slot);
    else if (state.kind === "invalid" && isWritable) {
      storage.remove(path);
      removed.push(slot);
    }
    parts.timers.set(0, next);
  };

  /** The file may be there under its short alias. */
  const removeAliases = (slot: Slot): void => {
    const folder = blobPath(slot.hexId).slice(0, -slot.hexId.length - 1);
    const aliases: string[] = [];
    const scan = storage.scan(folder);
    try {
      for (let entry = scan.next(); entry; entry = scan.next()) {
        if (isAlias(entry) && aliases.length < MAX_UPLOADS) aliases.push(entry.name);
      }
    } finally {
      scan.close();
    }
    for (const name of aliases) storage.remove(`${folder}/${name}`);
  };

  parts.timers.set(0, next);
}
