// SPDX-License-Identifier: MIT
import { deepEqual, equal, rejects } from "node:assert/strict";
import { join } from "node:path";
import { chooseDevices } from "./device-choice";
import { Refusal } from "./refusal";
import { State } from "./state";
import { temporaryFolder } from "./test/temporary-folder";

describe("the choice of devices", () => {
  const folder = temporaryFolder();

  async function paired(...names: string[]): Promise<State> {
    const state = new State(join(folder.path, names.join("-") || "none"));
    for (const name of names)
      await state.saveDevice({
        version: 1,
        name,
        pairingSecret: "00".repeat(32),
        createdAt: "",
        certificateSerial: "",
      });
    return state;
  }

  it("is the only paired device when nothing is said", async () => {
    deepEqual(await chooseDevices(await paired("cam1"), undefined, {}), ["cam1"]);
  });

  it("is $COFFER_DEVICE when that is set, and --device before it", async () => {
    const state = await paired("cam1", "cam2", "attic");
    deepEqual(await chooseDevices(state, undefined, { COFFER_DEVICE: "cam2, attic" }), ["cam2", "attic"]);
    deepEqual(await chooseDevices(state, ["cam1"], { COFFER_DEVICE: "cam2" }), ["cam1"]);
  });

  it("takes several names, in any writing, each once", async () => {
    const state = await paired("cam1", "cam2");
    deepEqual(await chooseDevices(state, ["cam2,cam1", "cam2"], {}), ["cam2", "cam1"]);
  });

  const refusals: readonly (readonly [string, string[], string[] | undefined, string])[] = [
    ["several are paired and none is named", ["cam1", "cam2"], undefined, "usage"],
    ["none is paired", [], undefined, "unknownDevice"],
    ["a name is not paired", ["cam1"], ["cam9"], "unknownDevice"],
    ["a path was taken for a name", ["cam1"], ["cam1", "/photos"], "unknownDevice"],
  ];
  for (const [when, names, named, kind] of refusals)
    it(`is refused with a remedy when ${when}`, async () => {
      const state = await paired(...names);
      await rejects(chooseDevices(state, named, {}), (error) => {
        equal(error instanceof Refusal && error.kind, kind);
        equal(error instanceof Refusal && error.hint !== undefined, true);
        return true;
      });
    });
});
