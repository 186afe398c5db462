// SPDX-License-Identifier: MIT
/**
 * The device on the XS board: what main.ts of the ESP32 does there, the simulator's host calls do here. Preloaded like
 * everything else, so nothing happens before Node says start.
 */
import type { DeviceConfig } from "../../core/device-config";
import { Device } from "../../core/device";
import { reportException } from "../../core/start-record";
import { HostLink } from "./host-link";
import { HostOp } from "./host-protocol";
import { createXsPorts } from "./xs-ports";

/** The configuration as JSON carries it: pairing secrets in hex. */
type ConfigText = Omit<DeviceConfig, "pairings"> & { pairings: string[] };

export default function start(): void {
  const link = new HostLink();
  const ports = createXsPorts(link);
  globalThis.abort = (message, exception) => {
    reportException(ports, exception ?? message);
  };
  const text = String.fromArrayBuffer(link.start(HostOp.config).call().buffer as ArrayBuffer);
  const { pairings, ...config } = JSON.parse(text) as ConfigText;
  new Device({
    ...ports,
    config: { ...config, pairings: pairings.map(fromHex) },
    host: "xs-board",
    onState(state) {
      link.start(HostOp.state).ascii(state).call();
    },
  });
}

function fromHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
