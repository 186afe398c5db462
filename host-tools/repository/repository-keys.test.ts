// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { ChunkCipher } from "./chunk-cipher";
import {
  ChunkKind,
  KEY_BYTES,
  REPOSITORY_ID_BYTES,
  RepositoryKeys,
  WRITER_ID_BYTES,
} from "./repository-keys";

describe("keys of a repository that was closed", () => {
  it("name, seal and find nothing any more, instead of doing it under zeros", () => {
    const keys = new RepositoryKeys(randomBytes(KEY_BYTES), randomBytes(REPOSITORY_ID_BYTES));
    const cipher = new ChunkCipher(keys);
    const id = randomBytes(32);
    const uses: Record<string, () => unknown> = {
      id: () => cipher.id(ChunkKind.data, id),
      seal: () => cipher.seal(ChunkKind.data, id, id, Buffer.alloc(100), 0),
      current: () => keys.current,
      gearKey: () => keys.gearKey,
      localKey: () => keys.localKey,
      logId: () => keys.logId(randomBytes(WRITER_ID_BYTES)),
      checkpointLogId: () => keys.checkpointLogId,
    };
    for (const [name, use] of Object.entries(uses)) assert.doesNotThrow(use, name);
    const { chunkKey } = keys.current;
    keys.zero();
    assert.ok(chunkKey.every((byte) => byte === 0));
    for (const [name, use] of Object.entries(uses)) assert.throws(use, /its keys are zeroed/, name);
  });
});
