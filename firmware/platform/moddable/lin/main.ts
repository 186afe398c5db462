// SPDX-License-Identifier: MIT
/** The device in the Moddable simulator on Linux: the card is a folder, `config.cardFolder` of the manifest. */
import config from "mc/config";
import { createBasePorts } from "../base-ports";
import { FolderPreferences } from "../folder-preferences";
import { startDevice } from "../start-device";
import CofferTcp from "./coffer-tcp";

const { cardFolder, firmwareVersion } = config as { cardFolder?: string; firmwareVersion?: string };
if (cardFolder === undefined) trace("coffer: name a folder that exists: mcconfig ... cardFolder=FOLDER\n");
else {
  startDevice({
    base: createBasePorts((line) => {
      trace(`${line}\n`);
    }),
    root: `${cardFolder}/card`,
    tcp: CofferTcp,
    preferences: new FolderPreferences(`${cardFolder}/flash`),
    host: "simulator",
    firmwareVersion: String(firmwareVersion),
  });
}
