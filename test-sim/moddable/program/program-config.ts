// SPDX-License-Identifier: MIT
/** What the test tells the program: a JSON file, whose path is its argument. Shared by both sides. */
import type { NetworkPeer } from "../../conformance/network-cases";
import type { DeviceLimits } from "../../../firmware/core/device-config";
import type { ProtocolVectors } from "../../protocol/protocol-vectors";

export interface ProgramConfig {
  suite:
    | "storage"
    | "crypto"
    | "system"
    | "network"
    | "protocol"
    | "store"
    | "medium"
    | "connections"
    | "throughput"
    | "discovery"
    | "identity"
    | "device";
  /** A folder that exists and is empty. */
  folder: string;
  /** Of DER files named as `coffer device add` names them. */
  identity: { relayAuthority: string; certificate: string; key: string };
  peer?: NetworkPeer;
  vectors?: ProtocolVectors;
  fuzzRounds?: number;
  /** connections: ports of 127.0.0.1, tried one after the other. */
  ports?: number[];
  /** connections: the name of the relay, instead of its address; the only one that the name server knows. */
  host?: string;
  /** connections: what comes is read until the relay or the connection ends it. */
  listens?: boolean;
  /** throughput: bytes stored and read again. */
  sizeBytes?: number;
  /** Ports of 127.0.0.1, in the place of the broadcast and of the multicast group; and how long to look. */
  discovery?: { port: number; mdnsPort: number; timeoutMs: number };
  device?: {
    name: string;
    /** Absent: by discovery. */
    relay?: { host: string; port: number };
    pairingSecret: string;
    limits: DeviceLimits;
    maxFragmentBytes?: number;
    /** It ends by an exception that nobody catches, after so long. */
    failAfterMs?: number;
  };
}
