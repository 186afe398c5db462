// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { projectRoot } from "../project-root";
import { ESP32_C_FILES, LINUX_C_FILES, WINDOWS_C_FILES } from "./moddable-c";

const root = projectRoot();

interface Manifest {
  preload: string[];
  creation: { static: number };
  config: { tlsReserveBytes: number };
  platforms: { esp32: { preload: string[] } };
}

describe("the root manifest", () => {
  const manifest = JSON.parse(readFileSync(join(root, "manifest.json"), "utf8")) as Manifest;

  it("preloads every portable module by name, because mcconfig's wildcards pass TypeScript over", () => {
    const folders = ["protocol", "core", "platform/moddable"];
    const modules = folders.flatMap((folder) =>
      readdirSync(join(root, "firmware", folder))
        .filter((name) => name.endsWith(".ts"))
        .map((name) => `coffer/${folder}/${name.slice(0, -3)}`),
    );
    // It is "rng" there, in the place of the SDK's.
    const expected = modules.filter((name) => name !== "coffer/platform/moddable/rng");
    const found = manifest.preload.filter((name) => name.startsWith("coffer/"));
    assert.deepEqual([...found].sort(), [...expected].sort());
  });

  it("preloads every module of ESP32 by name, but for its main and what takes the place of the SDK's", () => {
    const expected = readdirSync(join(root, "firmware/platform/moddable/esp32"))
      .filter((name) => name.endsWith(".ts") && name !== "main.ts" && name !== "network-setup.ts")
      .map((name) => `coffer/platform/moddable/esp32/${name.slice(0, -3)}`);
    const found = manifest.platforms.esp32.preload.filter((name) => name.startsWith("coffer/"));
    assert.deepEqual([...found].sort(), expected.sort());
  });

  it("keeps tests out of the folders that it takes whole", () => {
    for (const folder of [
      "protocol",
      "core",
      "platform/moddable",
      "platform/moddable/lin",
      "platform/moddable/mac",
      "platform/moddable/posix",
      "platform/moddable/win",
      "platform/moddable/esp32",
    ])
      for (const name of readdirSync(join(root, "firmware", folder)))
        assert.ok(!name.includes(".test.") && !name.endsWith(".json"), `${folder}/${name}`);
  });

  it("has no C file that is left out of the check for warnings, and no two of a name", () => {
    const checked = [...new Set([...LINUX_C_FILES, ...ESP32_C_FILES, ...WINDOWS_C_FILES])];
    const names = ["", "/lin", "/mac", "/posix", "/win", "/esp32"].flatMap((folder) =>
      readdirSync(join(root, "firmware/platform/moddable", folder))
        .filter((name) => name.endsWith(".c"))
        .map((name) => `firmware/platform/moddable${folder}/${name}`),
    );
    assert.deepEqual(names.sort(), checked.filter((name) => name.startsWith("firmware/")).sort());
    assert.equal(new Set(checked.map((name) => name.split("/").at(-1))).size, checked.length);
  });

  it("fixes the memory, and what of it is TLS's, for the simulated board, too", () => {
    assert.ok(
      manifest.creation.static > manifest.config.tlsReserveBytes && manifest.config.tlsReserveBytes > 0,
    );
  });
});
