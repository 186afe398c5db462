// SPDX-License-Identifier: MIT
/** The AES-GCM of boards against Node's, at every length around a block, aligned and not. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createCipheriv } from "node:crypto";

import { SeededRandom } from "../seeded-random";
import { moddableSdk } from "./moddable-build";
import { compileCheck } from "./c-checks/compile-check";

const sdk = moddableSdk();
const title = "the AES-GCM of boards";

if (sdk === undefined) describe(title, () => it("not run: no Moddable SDK, whose AES it uses"));
else
  describe(title, function () {
    this.timeout(60_000);

    for (const target of ["linux", "esp32"] as const)
      it(`seals what Node seals, opens it, and nothing that was changed (${target === "esp32" ? "ESP32, its AES played" : target})`, async () => {
        const program = await compileCheck(sdk, "gcm", target);
        const seed = Date.now() >>> 0;
        const random = new SeededRandom(seed);
        const bytes = (count: number): Buffer => {
          const made = Buffer.alloc(count);
          random.fill(made);
          return made;
        };
        const hex = (of: Buffer): string => (of.length === 0 ? "-" : of.toString("hex"));
        const cases = [];
        for (const keyBytes of [16, 32])
          for (let length = 0; length < 70; length++)
            for (const shift of [0, 1])
              cases.push({
                key: bytes(keyBytes),
                nonce: bytes(12),
                additional: bytes((length * 7) % 40),
                length,
                shift,
              });
        for (const length of [4095, 4096])
          cases.push({ key: bytes(16), nonce: bytes(12), additional: bytes(13), length, shift: 0 });
        const lines: string[] = [];
        const expected: string[] = [];
        for (const { key, nonce, additional, length, shift } of cases) {
          const plain = bytes(length);
          lines.push([key, nonce, additional, plain].map(hex).join(" ") + ` ${shift}\n`);
          const cipher = createCipheriv(key.length === 16 ? "aes-128-gcm" : "aes-256-gcm", key, nonce);
          cipher.setAAD(additional);
          const sealed = [cipher.update(plain), cipher.final(), cipher.getAuthTag()];
          expected.push(Buffer.concat(sealed).toString("hex"));
        }
        const found = execFileSync(program, { input: lines.join(""), encoding: "utf8" })
          .trim()
          .split("\n");
        assert.deepEqual(found, expected, `seed ${seed}`);
      });
  });
