// SPDX-License-Identifier: MIT
/** What `status` answers: the device as seen from inside. */
import type { DeviceStatus } from "../protocol/verbs";
import type { Card } from "./card";
import type { ChannelTable } from "./channel-table";
import type { DeviceConfig } from "./device-config";
import type { Ports, Preferences, ResetReason } from "./io";

const RESET_REASONS: Record<ResetReason, number> = {
  unknown: 0,
  powerOn: 1,
  software: 2,
  exception: 3,
  watchdog: 4,
  brownout: 5,
};

export interface StatusParts {
  ports: Ports;
  config: DeviceConfig;
  host: string;
  bootCount: number;
  card: Card;
  channels: ChannelTable;
}

export function deviceStatus({ ports, config, host, bootCount, card, channels }: StatusParts): DeviceStatus {
  const memory = ports.memory.read();
  const { limits } = config;
  return {
    device: config.name,
    firmware: config.firmwareVersion,
    host,
    uptimeSeconds: Math.floor(ports.clock.monotonicMs() / 1000),
    unixMs: Math.floor(ports.clock.unixMs() ?? 0),
    card: card.state,
    ...card.space(),
    heapUsedBytes: memory?.usedBytes ?? 0,
    heapPeakBytes: memory?.peakBytes ?? 0,
    heapLimitBytes: memory?.limitBytes ?? 0,
    bootCount,
    resetReason: RESET_REASONS[ports.reset.reason],
    channels: channels.count,
    maxChannels: limits.maxChannels,
    maxRequests: limits.maxRequests,
    uploads: card.uploadCount,
    logs: card.logCount,
    preferredBlobBytes: limits.preferredBlobBytes,
  };
}

/** How often this device has started, this time included; 1 where that cannot be kept. */
export function countBoot(preferences: Preferences): number {
  try {
    const before = preferences.get(BOOT_COUNT_KEY);
    let count = 0;
    if (before?.length === 4) for (const byte of before) count = count * 256 + byte;
    count = (count + 1) % 2 ** 32;
    preferences.set(
      BOOT_COUNT_KEY,
      Uint8Array.of(count >>> 24, (count >>> 16) & 255, (count >>> 8) & 255, count & 255),
    );
    return count;
  } catch {
    return 1;
  }
}

const BOOT_COUNT_KEY = "boots";
