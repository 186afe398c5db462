// SPDX-License-Identifier: MIT
/** The preferences port of a host: one file a setting, replaced as a whole. Not for FAT, where replacing is not atomic. */
import type { Preferences } from "../../core/io";
import { FileMode, NativeFile, createDirectory, remove, replace, syncDirectory } from "./coffer-files";
import { MAX_SETTING_BYTES, checkSetting } from "./settings-limits";

export class FolderPreferences implements Preferences {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    createDirectory(folder); // "exists" is as good
  }

  get(key: string): Uint8Array | undefined {
    checkSetting(key);
    const file = new NativeFile();
    if (file.open(`${this.#folder}/${key}`, FileMode.read) < 0) return undefined;
    const bytes = new Uint8Array(MAX_SETTING_BYTES);
    const count = file.read(bytes, 0);
    file.close();
    return count < 0 ? undefined : bytes.slice(0, count);
  }

  set(key: string, value: Uint8Array): void {
    checkSetting(key, value);
    const path = `${this.#folder}/${key}`;
    const fresh = `${path}.new`;
    remove(fresh);
    const file = new NativeFile();
    const isWritten =
      file.open(fresh, FileMode.create) >= 0 &&
      (value.length === 0 || file.write(value, 0) >= 0) &&
      file.flush() >= 0;
    file.close();
    if (!isWritten || replace(fresh, path) < 0 || syncDirectory(this.#folder) < 0) {
      throw new Error(`preference ${key}: cannot be written`);
    }
  }
}
