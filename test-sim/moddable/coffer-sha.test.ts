// SPDX-License-Identifier: MIT
/** The SHA-256 of boards against Node's: whole, in pieces, two at once, after one that was given up. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";

import { compileCheck } from "./c-checks/compile-check";
import { moddableSdk } from "./moddable-build";

const sdk = moddableSdk();
const title = "the SHA-256 of boards";

if (sdk === undefined) describe(title, () => it("not run: no Moddable SDK, whose SHA-256 it uses"));
else
  describe(title, function () {
    this.timeout(60_000);

    for (const target of ["linux", "esp32"] as const)
      it(`hashes as Node does (${target === "esp32" ? "ESP32, its engine played" : target})`, async () => {
        const program = await compileCheck(sdk, "sha", target);
        const cases: [number, number, number][] = [[20_000, 2048, 0]];
        for (let length = 0; length < 200; length++)
          for (const piece of [1, 63, 64, 1000])
            for (const shift of [0, 1]) cases.push([length, piece, shift]);
        const input = cases.map((one) => one.join(" ")).join("\n");
        const expected = cases.flatMap(([length]) => {
          const bytes = Buffer.from(Array.from({ length }, (_, i) => (i * 7 + 3) & 255));
          return new Array<string>(3).fill(createHash("sha256").update(bytes).digest("hex"));
        });
        const found = execFileSync(program, { input, encoding: "utf8" }).trim().split("\n");
        assert.deepEqual(found, expected);
      });
  });
