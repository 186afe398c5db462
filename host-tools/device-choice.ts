// SPDX-License-Identifier: MIT
/** Which devices a command works with: `--device`, else $COFFER_DEVICE, else the only one that is paired. */

import { isName } from "./names";
import { Refusal } from "./refusal";
import type { State } from "./state";

/** As yargs wants it: several names after one `--device`, several times, or with commas. */
export const deviceOption = {
  type: "string",
  array: true,
  requiresArg: true,
  describe: "Devices to use (default: $COFFER_DEVICE, else the only one)",
} as const;

/** The names of paired devices, each once, in the order given. */
export async function chooseDevices(
  state: State,
  named: readonly string[] | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string[]> {
  const paired = await state.listDevices();
  const wanted = splitNames(named ?? []);
  const chosen = wanted.length > 0 ? wanted : splitNames([environment["COFFER_DEVICE"] ?? ""]);
  for (const name of chosen) if (!paired.includes(name)) throw unknownDevice(name, paired);
  if (chosen.length > 0) return chosen;
  const [only] = paired;
  if (only === undefined)
    throw new Refusal("unknownDevice", "no device is paired with this computer yet", {
      hint: "Add one with `coffer device add NAME`.",
    });
  if (paired.length > 1)
    throw new Refusal("usage", `several devices are paired: ${paired.join(", ")}`, {
      hint: `Choose with --device, for example \`--device ${only}\`, or set $COFFER_DEVICE.`,
    });
  return [only];
}

function splitNames(texts: readonly string[]): string[] {
  return [...new Set(texts.flatMap((text) => text.split(/[\s,]+/)).filter((name) => name !== ""))];
}

function unknownDevice(name: string, paired: readonly string[]): Refusal {
  if (!isName(name))
    return new Refusal("unknownDevice", `${JSON.stringify(name)} is no name of a device`, {
      hint: "Put paths in front of --device, or write -- before them.",
    });
  return new Refusal("unknownDevice", `no device named ${name} is paired with this computer`, {
    hint:
      paired.length > 0
        ? `Paired are: ${paired.join(", ")}. Add another with \`coffer device add ${name}\`.`
        : `Add it with \`coffer device add ${name}\`.`,
  });
}
