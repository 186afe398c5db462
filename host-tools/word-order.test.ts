// SPDX-License-Identifier: MIT
import { equal } from "node:assert/strict";
import { arrangeWords } from "./word-order";

describe("the order of words", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["ls -l a b", "ls -l a b"],
    ["push a --device cam1 cam2", "push a --device cam1 cam2"],
    ["push a --device cam1 photos", "push a --device cam1 photos"],
    ["push --device cam1 photos", "push photos --device cam1"],
    ["push --device cam1 cam2 photos more", "push photos more --device cam1 cam2"],
    ["push --device cam1,cam2 photos", "push photos --device cam1,cam2"],
    ["push --device nobody", "push --device nobody"],
    ["push --to x --device cam1 photos", "push --to x photos --device cam1"],
    ["--json push --device cam1 photos", "--json push photos --device cam1"],
    ["push --device cam1 --to x photos", "push --to x photos --device cam1"],
    ["push --device cam1 cam2 -- photos", "push photos --device cam1 cam2"],
    ["push --device cam1 cam9 -- photos", "push photos --device cam1 cam9"],
    ["push --device=cam1 photos", "push photos --device cam1"],
    ["repair --read-data photos", "repair --read-data=100 photos"],
    ["verify --read-data=5", "verify --read-data=5"],
    ["push --device cam1 --device cam2 photos", "push photos --device cam1 cam2"],
    ["push photos --device cam1 --to x --device cam2", "push photos --to x --device cam1 cam2"],
    ["push photos --device --to x", "push photos --device --to x"],
    ["rm -r -- -odd --names a", "rm -r ./-odd ./--names a"],
    ["mv a -- -b", "mv a ./-b"],
    ["ls --", "ls"],
    ["ls --device", "ls --device"],
    ["", ""],
  ];
  for (const [typed, arranged] of cases)
    it(`${typed || "nothing"} is ${arranged || "nothing"}`, () => {
      const words = typed.split(" ").filter((word) => word !== "");
      equal(arrangeWords(words, () => ["cam1", "cam2"]).join(" "), arranged);
    });
});
