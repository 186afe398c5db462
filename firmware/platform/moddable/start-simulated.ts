// SPDX-License-Identifier: MIT
/** The device in Moddable's simulator: its card and its flash are two folders below one that is named when it is built. */
import config from "mc/config";
import { createBasePorts } from "./base-ports";
import { FolderPreferences } from "./folder-preferences";
import type { TcpClass } from "./guarded-tcp";
import { startDevice } from "./start-device";

export function startSimulated(tcp: TcpClass): void {
  const { cardFolder, firmwareVersion } = config as { cardFolder?: string; firmwareVersion?: string };
  if (cardFolder === undefined) {
    trace("coffer: name a folder that exists: mcconfig ... cardFolder=FOLDER\n");
    return;
  }
  startDevice({
    base: createBasePorts((line) => {
      trace(`${line}\n`);
    }),
    root: `${cardFolder}/card`,
    tcp,
    preferences: new FolderPreferences(`${cardFolder}/flash`),
    host: "simulator",
    firmwareVersion: String(firmwareVersion),
  });
}
