// SPDX-License-Identifier: MIT
/** A process of its own that pushes to a FolderDevice, to be killed: HOME FOLDER SOURCE PAUSE_MS. Prints the report. */

import { readFileSync } from "node:fs";
import { Repository } from "../repository";
import { FolderDevice } from "./folder-device";
import { PASSPHRASE } from "./scratch";

const [home = "", folder = "", source = "", pauseMs = "0"] = process.argv.slice(2);
const device = new FolderDevice({ folder, pauseMs: Number(pauseMs) });
const repository = await Repository.open({
  home,
  passphrase: PASSPHRASE,
  computer: "computer",
  devices: [device],
});
const report = await repository.push({ sources: [source], to: "/" });
process.stdout.write(JSON.stringify({ ...report, peakBytes: peakBytes() }));
await repository.close();

/** Of this process since it runs this program: Linux's `maxRSS` counts what its parent had, too, when it forked. */
function peakBytes(): number {
  if (process.platform !== "linux") return process.resourceUsage().maxRSS * 1024;
  return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
}
