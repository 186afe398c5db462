// SPDX-License-Identifier: MIT
/** The device on ESP32: the card, Wi-Fi, the clock, and then the device itself. */
import TCP from "embedded:io/socket/tcp";
import UDP from "embedded:io/socket/udp";
import DNSSD from "embedded:network/dnssd";
import WiFi from "embedded:network/interface/wifi";
import config from "mc/config";
import { createBasePorts } from "../base-ports";
import type { UdpClass } from "../filtered-udp";
import type { TcpClass } from "../guarded-tcp";
import { type DnssdClass, ModdableDiscovery } from "../moddable-discovery";
import { ModdableEntropy, ModdableWatchdog } from "../moddable-system";
import { lacksIdentity, startDevice } from "../start-device";
import { cardBusOf, textOf } from "./board-config";
import { SdmmcDriver } from "./coffer-card";
import { setPowerSave } from "./coffer-radio";
import { FlashPreferences } from "./flash-preferences";
import { KnownTime } from "./known-time";
import { resolve } from "./name-server";
import { RadioPower, wakingTcp } from "./radio-power";
import { SdCard } from "./sd-card";
import { askServer, setClock } from "./time-server";
import { wifiCredentials } from "./wifi-credentials";
import { type WifiClass, WifiKeeper } from "./wifi-keeper";

const MOUNT_POINT = "/sd";
/** Of the network that the board is in; a router passes it to no other. */
const BROADCAST = ["255.255.255.255"];
const settings = config as Readonly<Record<string, unknown>>;

function start(): void {
  const base = createBasePorts((line) => {
    trace(`${line}\n`);
  }, new FlashPreferences());
  const { clock, timers, log, preferences, troubles } = base;
  // At once, and not when there is a network: whoever has just flashed it is looking now.
  if (lacksIdentity(base)) return;
  const formatSerial = textOf(settings, "formatCard");
  const medium = new SdCard({
    driver: new SdmmcDriver(),
    path: MOUNT_POINT,
    bus: cardBusOf(settings),
    ...(formatSerial === undefined ? {} : { formatSerial }),
    clock,
    log,
    preferences,
  });
  const built: { ssid?: string; password?: string } = {};
  const ssid = textOf(settings, "ssid");
  const password = textOf(settings, "password");
  if (ssid !== undefined) built.ssid = ssid;
  if (password !== undefined) built.password = password;
  const credentials = wifiCredentials(built, preferences);
  if (!credentials) {
    troubles.note("wifiUnknown");
    log.write("warn", "Wi-Fi: none is known; build with mcconfig ... ssid=NAME password=SECRET");
    return;
  }
  const power = new RadioPower({ setPowerSave, clock, timers });
  const timeServer = textOf(settings, "sntp") ?? "pool.ntp.org";
  const time = new KnownTime({
    askServer: (done) => {
      askServer(timeServer, done);
    },
    setClock,
    clock,
    preferences,
    log,
  });
  new WifiKeeper({
    credentials,
    Wifi: WiFi as unknown as WifiClass,
    askTime: (done) => {
      time.ask(done);
    },
    clock,
    timers,
    log,
    onTrouble: (name) => {
      troubles.note(name);
    },
    onReady: () => {
      attempt(() => {
        startDevice({
          base,
          root: `${MOUNT_POINT}/coffer`,
          medium,
          tcp: wakingTcp(TCP as unknown as TcpClass, power),
          resolve,
          discovery: new ModdableDiscovery({
            udp: UDP as unknown as UdpClass,
            dnssd: DNSSD as unknown as DnssdClass,
            targets: BROADCAST,
            entropy: new ModdableEntropy(),
            timers,
          }),
          watchdog: new ModdableWatchdog(),
          onOnline: () => {
            time.confirm();
          },
          host: "esp32",
          firmwareVersion: String(settings.firmwareVersion),
        });
      });
    },
  });
}

/** A wrong build, such as pins that are none, is said, and not said again and again by restarting. */
function attempt(step: () => void): void {
  try {
    step();
  } catch (error) {
    trace(`coffer: ${String(error)}\n`);
  }
}

attempt(start);
