// SPDX-License-Identifier: MIT
/** The device on ESP32. Wi-Fi and the clock are up when this starts (the SDK's setup/network). */
import TCP from "embedded:io/socket/tcp";
import config from "mc/config";
import type { TcpClass } from "../guarded-tcp";
import { ModdableWatchdog } from "../moddable-system";
import { startDevice } from "../start-device";
import { FlashPreferences } from "./flash-preferences";

/** The mount point of the SD card. Nothing mounts it yet: the device says that it has no card. */
const ROOT = "/sd/coffer";

startDevice({
  root: ROOT,
  tcp: TCP as unknown as TcpClass,
  preferences: new FlashPreferences(),
  watchdog: new ModdableWatchdog(),
  host: "esp32",
  firmwareVersion: String((config as { firmwareVersion?: string }).firmwareVersion),
});
