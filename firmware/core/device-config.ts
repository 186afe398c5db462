// SPDX-License-Identifier: MIT
/** What provisioning gives a device, and the limits its host chooses. */

import { MAX_FRAME_BYTES, MAX_LISTED_BLOBS, MAX_LOGS } from "../protocol/limits";

export interface RelayAddress {
  host: string;
  port: number;
  /** Of a relay that was found, as in SecureSocketOptions. */
  relayName?: string;
}

export interface DeviceLimits {
  /** Largest frame payload the device takes, 4096..MAX_FRAME_BYTES. One receive buffer of this size exists. */
  maxFrameBytes: number;
  /** Client channels at once, 1..64. */
  maxChannels: number;
  /** Requests in flight a channel, 1..16. Each may hold one open file. */
  maxRequests: number;
  /** Credit granted a channel, bytes: what can be under way towards the device for it, and so what a killed client sends twice. */
  windowBytes: number;
  /**
   * Used-up credit is granted again when it is so much, bytes, at most half of `windowBytes`. Little keeps a distant
   * sender going; on a fast network each grant costs three processes more than the bytes it is for.
   */
  grantBytes: number;
  /** Bytes collected before one write to the card; a multiple of 512. One such buffer per running upload. */
  writeBytes: number;
  /** How much of an upload may be lost to a power cut; a multiple of `writeBytes`. */
  syncBytes: number;
  /**
   * Whether progress waits for a flush. True on a card: power cuts are what ends a device. False on a computer:
   * there a killed process loses nothing the operating system has, and only a power cut may cost the whole upload
   * in progress (never a stored blob).
   */
  flushProgress: boolean;
  /** Logs on the card, 1..MAX_LOGS: the heads of all are in memory. Others stay on the card, unread. */
  maxLogs: number;
  /** Blobs in one page of a listing, 1..MAX_LISTED_BLOBS: on a board each takes ten slots of the heap. */
  listedBlobs: number;
  /** Kept of what the device says of itself, bytes: a line takes some 70. */
  logBytes: number;
  /** Blob size the device likes best, bytes: clients make packs of about this size. */
  preferredBlobBytes: number;
}

/**
 * ESP32 without PSRAM: all channels may upload at once in the heap of the root manifest's `creation`
 * (test-sim/heap.test.ts). Each request more costs 140 slots and an upload buffer for every channel.
 */
export const BOARD_LIMITS: DeviceLimits = {
  maxFrameBytes: 4096,
  maxChannels: 4,
  maxRequests: 1,
  windowBytes: 64 * 1024,
  grantBytes: 16 * 1024,
  writeBytes: 2048,
  syncBytes: 128 * 1024,
  flushProgress: true,
  maxLogs: 8,
  listedBlobs: 12,
  logBytes: 2048,
  preferredBlobBytes: 4 * 1024 * 1024,
};

/** A computer. */
export const HOST_LIMITS: DeviceLimits = {
  maxFrameBytes: MAX_FRAME_BYTES,
  maxChannels: 64,
  maxRequests: 8,
  windowBytes: 256 * 1024,
  grantBytes: 128 * 1024,
  writeBytes: 256 * 1024,
  syncBytes: 256 * 1024,
  flushProgress: false,
  maxLogs: MAX_LOGS,
  listedBlobs: MAX_LISTED_BLOBS,
  logBytes: 64 * 1024,
  preferredBlobBytes: 4 * 1024 * 1024,
};

export interface DeviceConfig {
  /** As in the device's certificate, `coffer:device:<name>`. */
  name: string;
  /** Version of the firmware image, for people and for updates: "0.1.0". */
  firmwareVersion: string;
  /** Undefined: find the relay by discovery. */
  relay?: RelayAddress;
  /** Pairing secrets, 32 bytes each, at most MAX_PAIRINGS. */
  pairings: readonly Uint8Array[];
  limits: DeviceLimits;
}
