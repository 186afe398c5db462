// SPDX-License-Identifier: MIT
/** A process of its own that pushes to a FolderDevice, to be killed: HOME FOLDER SOURCE PAUSE_MS. Prints the report. */

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
process.stdout.write(JSON.stringify({ ...report, peakBytes: process.resourceUsage().maxRSS * 1024 }));
await repository.close();
