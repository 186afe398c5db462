// SPDX-License-Identifier: MIT
/** The devices of other tests keep what BlobDevice says of `logSkip`; the real one is tried in ../remote. */
import { FolderDevice } from "./testing/folder-device";
import { logSkipCases } from "./testing/log-skip-cases";
import { MemoryDevice } from "./testing/memory-device";
import { Scratch } from "./testing/scratch";

describe("skipping in a log of a device in memory", () => {
  logSkipCases(() => Promise.resolve(new MemoryDevice()));
});

describe("skipping in a log of a device in a folder", () => {
  let scratch: Scratch;
  before(() => {
    scratch = new Scratch();
  });
  after(() => scratch.remove());
  logSkipCases(() => Promise.resolve(new FolderDevice({ folder: scratch.path("device") })));
});
