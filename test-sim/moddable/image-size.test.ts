// SPDX-License-Identifier: MIT
/** The images' sizes, and that none is above its budget in size-budget.json. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { projectRoot } from "../project-root";
import { type ImageSize, measureImage } from "./image-size";
import { moddableSdk } from "./moddable-build";
import { linkImage } from "./moddable-image";

const BUDGET = "test-sim/moddable/size-budget.json";
const BUILD_MS = 600_000;

const sdk = moddableSdk();
const title = "the size of the image";

if (sdk === undefined) describe(title, () => it("not run: no Moddable SDK"));
else
  describe(title, function () {
    this.timeout(BUILD_MS);
    const budgets = JSON.parse(readFileSync(join(projectRoot(), BUDGET), "utf8")) as Record<
      string,
      ImageSize
    >;

    for (const platform of ["esp32", "lin"] as const)
      it(`for ${platform} is within its budget`, async () => {
        const image = await linkImage(sdk, platform);
        assert.equal(image.said, "");
        const { largestName, ...size } = await measureImage(sdk, image, platform);
        const budget = budgets[platform] ?? assert.fail(`${BUDGET} says nothing of ${platform}`);
        const rows = Object.entries(size).map(([name, value]) => {
          const most = budget[name as keyof ImageSize];
          return { name, value, most, isAbove: !(value <= most) };
        });
        const of = (name: string): string => (name === "largestPreloadedModule" ? ` (${largestName})` : "");
        for (const { name, value, most } of rows)
          process.stdout.write(
            `      ${name.padEnd(24)}${String(value).padStart(8)} of ${String(most).padStart(8)}${of(name)}\n`,
          );
        const above = rows.filter(({ isAbove }) => isAbove);
        assert.deepEqual(
          above.map(({ name }) => name),
          [],
          `${above.map(({ name, value, most }) => `${name}${of(name)} is ${value}, ${value - most} above its budget`).join("; ")}: make it smaller, or raise ${BUDGET} and say why in the commit`,
        );
      });
  });
