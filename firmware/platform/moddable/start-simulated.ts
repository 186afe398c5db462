// SPDX-License-Identifier: MIT
/**
 * The device in Moddable's simulator: its card and its flash are two folders below one that is named when it is built. With
 * `cardBytes` the card is as large as that.
 */
import config from "mc/config";
import { createBasePorts } from "./base-ports";
import { FolderPreferences } from "./folder-preferences";
import type { TcpClass } from "./guarded-tcp";
import { startDevice } from "./start-device";

export function startSimulated(tcp: TcpClass): void {
  const { cardFolder, cardBytes, firmwareVersion } = config as {
    cardFolder?: string;
    cardBytes?: number | string;
    firmwareVersion?: string;
  };
  if (cardFolder === undefined) {
    trace("coffer: name a folder that exists: mcconfig ... cardFolder=FOLDER\n");
    return;
  }
  // Behind mcconfig it comes as text.
  const capacityBytes = cardBytes === undefined ? undefined : Number(cardBytes);
  if (capacityBytes !== undefined && !(capacityBytes > 0)) {
    trace(
      `coffer: cardBytes: expected a number of bytes, got "${cardBytes}": mcconfig ... cardBytes=16000000\n`,
    );
    return;
  }
  startDevice({
    base: createBasePorts((line) => {
      trace(`${line}\n`);
    }),
    root: `${cardFolder}/card`,
    ...(capacityBytes === undefined ? {} : { capacityBytes }),
    tcp,
    preferences: new FolderPreferences(`${cardFolder}/flash`),
    host: "simulator",
    firmwareVersion: String(firmwareVersion),
  });
}
