// SPDX-License-Identifier: MIT
/**
 * Making a card Coffer's: folders, upload table, and the marker last, so that a card with a whole marker has everything.
 * A first attempt that was cut short is cleared away and begun again; nothing can have been stored on it.
 */
import { SECTOR_BYTES, cardMarker } from "../protocol/card-format";
import { CARD_VERSION } from "../protocol/limits";
import { attempt } from "./attempt";
import { writeSector } from "./card-sector";
import type { Entropy, Storage, StorageError, StorageFile, Timers } from "./io";
import { inSlices } from "./slices";
import { BLOBS_FOLDER, LOGS_FOLDER, blobFolder } from "./store-parts";
import { UPLOADS_BYTES, UPLOADS_PATH } from "./upload-table";

export const MARKER_PATH = "card";
const BLOB_FOLDERS = 256;
/** Folders made in one timer turn: some 20 ms each on a card. */
const SLICE_FOLDERS = 8;

export interface LayoutParts {
  storage: Storage;
  timers: Timers;
  entropy: Entropy;
}

/** Whether Coffer's folder holds something that is not Coffer's. */
export function isForeign(storage: Storage): boolean {
  const ours = [MARKER_PATH, UPLOADS_PATH, BLOBS_FOLDER, LOGS_FOLDER];
  return entriesOf(storage, "").some((entry) => !ours.includes(entry));
}

/** Whether anything is stored, whatever the marker says. */
export function isEmpty(storage: Storage): boolean {
  const present = entriesOf(storage, "");
  if (present.includes(LOGS_FOLDER) && entriesOf(storage, LOGS_FOLDER).length > 0) return false;
  if (!present.includes(BLOBS_FOLDER)) return true;
  return entriesOf(storage, BLOBS_FOLDER).every(
    (name) => entriesOf(storage, `${BLOBS_FOLDER}/${name}`).length === 0,
  );
}

/** Of a card on which nothing is stored. `done` when the marker is durable. */
export function initialise(parts: LayoutParts, done: (error?: unknown) => void): void {
  const { storage, timers } = parts;
  const present = entriesOf(storage, "");
  for (const path of [MARKER_PATH, UPLOADS_PATH]) if (present.includes(path)) storage.remove(path);
  const leftover = present.includes(BLOBS_FOLDER)
    ? entriesOf(storage, BLOBS_FOLDER).map((name) => `${BLOBS_FOLDER}/${name}`)
    : [];
  // A folder whose making was cut short may lie in clusters that count as free: none is kept.
  for (const path of [BLOBS_FOLDER, LOGS_FOLDER]) if (present.includes(path)) leftover.push(path);
  let made = -1;
  const step = (): boolean => {
    for (let i = 0; i < SLICE_FOLDERS; i++) {
      const old = leftover.shift();
      if (old !== undefined) storage.remove(old);
      else if (made < 0) {
        storage.createDirectory(BLOBS_FOLDER);
        storage.createDirectory(LOGS_FOLDER);
        made = 0;
      } else if (made < BLOB_FOLDERS) storage.createDirectory(blobFolder(made++));
    }
    return made < BLOB_FOLDERS;
  };
  inSlices(timers, step, (error) => {
    if (error) done(error);
    else {
      attempt(() => {
        makeFile(
          storage,
          UPLOADS_PATH,
          UPLOADS_BYTES,
          () => undefined,
          (failure) => {
            if (failure) done(failure);
            else
              attempt(() => {
                makeFile(
                  storage,
                  MARKER_PATH,
                  SECTOR_BYTES,
                  (file) => {
                    writeMarker(parts, file);
                  },
                  done,
                );
              }, done);
          },
        );
      }, done);
    }
  });
}

/** The marker of a card that has lost its own. */
export function repairMarker(parts: LayoutParts, done: (error?: unknown) => void): void {
  const file = parts.storage.openFile(MARKER_PATH, "update");
  finishFile(
    file,
    () => {
      writeMarker(parts, file);
    },
    done,
  );
}

function writeMarker(parts: LayoutParts, file: StorageFile): void {
  const cardId = new Uint8Array(16);
  parts.entropy.fill(cardId);
  writeSector(file, 0, cardMarker, { version: CARD_VERSION, cardId });
}

function makeFile(
  storage: Storage,
  path: string,
  sizeBytes: number,
  fill: (file: StorageFile) => void,
  done: (error?: StorageError) => void,
): void {
  const file = storage.openFile(path, "create");
  finishFile(
    file,
    () => {
      file.allocate(sizeBytes);
      file.write(new Uint8Array(sizeBytes), 0);
      fill(file);
    },
    done,
  );
}

function finishFile(file: StorageFile, fill: () => void, done: (error?: StorageError) => void): void {
  try {
    fill();
  } catch (error) {
    file.close();
    throw error;
  }
  file.flush((error) => {
    file.close();
    done(error);
  });
}

function entriesOf(storage: Storage, path: string): string[] {
  const names: string[] = [];
  const scan = storage.scan(path);
  try {
    // Enough to tell what is there; Coffer's own folders have 256 entries where this is asked.
    for (let entry = scan.next(); entry && names.length < 300; entry = scan.next()) names.push(entry.name);
  } finally {
    scan.close();
  }
  return names;
}
