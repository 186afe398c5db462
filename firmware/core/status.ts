// SPDX-License-Identifier: MIT
/** What `status` and `health` answer: the device as seen from inside. */
import { ResetCause } from "../protocol/verbs";
import type { DeviceHealth, DeviceStatus } from "../protocol/verbs";
import type { Card } from "./card";
import type { DeviceConfig } from "./device-config";
import type { Ports } from "./io";
import type { StartRecord } from "./start-record";

export interface StatusParts {
  ports: Ports;
  config: DeviceConfig;
  host: string;
  starts: StartRecord;
  card: Card;
  channelCount: number;
}

export function deviceStatus({ ports, config, host, starts, card, channelCount }: StatusParts): DeviceStatus {
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
    bootCount: starts.start,
    resetReason: ResetCause[starts.reason],
    channels: channelCount,
    maxChannels: limits.maxChannels,
    maxRequests: limits.maxRequests,
    uploads: card.uploadCount,
    logs: card.logCount,
    preferredBlobBytes: limits.preferredBlobBytes,
  };
}

export function deviceHealth({ ports, starts }: Pick<StatusParts, "ports" | "starts">): DeviceHealth {
  const { isSafe, failedStarts, exceptions, watchdogs, exceptionStart, exception, reason } = starts;
  const system = ports.memory.readSystem?.();
  return {
    isSafe,
    cause: isSafe ? ResetCause[reason] : ResetCause.unknown,
    failedStarts,
    exceptions,
    watchdogs,
    exceptionStart,
    exception,
    freeBytes: system?.freeBytes ?? 0,
    leastFreeBytes: system?.leastFreeBytes ?? 0,
  };
}
