// SPDX-License-Identifier: MIT
/**
 * The device in Moddable's simulator: its card and its flash are two folders below one that is named when it is built. With
 * `cardBytes` the card is as large as that.
 */
import UDP from "embedded:io/socket/udp";
import config from "mc/config";
import { createBasePorts } from "./base-ports";
import { FolderPreferences } from "./folder-preferences";
import type { UdpClass } from "./filtered-udp";
import type { TcpClass } from "./guarded-tcp";
import { ModdableDiscovery } from "./moddable-discovery";
import { ModdableEntropy } from "./moddable-system";
import { startDevice } from "./start-device";

/** The SDK's sockets neither broadcast nor join groups on every computer: a relay is found beside the simulator only. */
const THIS_COMPUTER = ["127.0.0.1"];

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
  const base = createBasePorts(
    (line) => {
      trace(`${line}\n`);
    },
    new FolderPreferences(`${cardFolder}/flash`),
  );
  startDevice({
    base,
    root: `${cardFolder}/card`,
    ...(capacityBytes === undefined ? {} : { capacityBytes }),
    tcp,
    discovery: new ModdableDiscovery({
      udp: UDP as unknown as UdpClass,
      targets: THIS_COMPUTER,
      entropy: new ModdableEntropy(),
      timers: base.timers,
    }),
    host: "simulator",
    firmwareVersion: String(firmwareVersion),
  });
}
