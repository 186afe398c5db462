// SPDX-License-Identifier: MIT
/**
 * The firmware on the real SDK as the device "cam1", the real relay, and a client: what pushes and pulls to it measure and
 * test the whole path of a board. Relay and client run in this process.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { BOARD_LIMITS, type DeviceLimits } from "../../firmware/core/device-config";
import { DeviceClient } from "../../host-tools/remote/device-client";
import { RealRelay } from "../../host-tools/remote/testing/real-devices";
import { testCertificates, testLeaf } from "../../host-tools/remote/testing/test-identities";
import { projectRoot } from "../project-root";
import type { ModdableBuild } from "./moddable-build";
import { type FixedMemory, ModdableProgram } from "./moddable-program";

export interface BoardOptions {
  /** Of the folder that the run is kept in. */
  name: string;
  /** Absent: memory that grows. */
  memory?: FixedMemory;
  limits?: DeviceLimits;
  /** Between the device and the relay, whose port it is given: returns the port that the device dials. */
  through?: (relayPort: number) => Promise<number>;
  /** A program that runs it, with its arguments: valgrind. */
  under?: readonly string[];
  /** Of the client, for a board that is slowed down. */
  patienceMs?: number;
}

/**
 * What the root manifest gives a board's engine, TLS included. The same numbers are less here: a slot's references and a
 * chunk's header are twice as long on 64 bits.
 */
export function boardMemory(): FixedMemory {
  const { creation } = JSON.parse(readFileSync(join(projectRoot(), "manifest.json"), "utf8")) as {
    creation: { chunk: { initial: number }; heap: { initial: number }; stack: number };
  };
  return {
    chunkBytes: creation.chunk.initial,
    slots: creation.heap.initial,
    stackSlots: creation.stack,
  };
}

/** As the SDK's TLS is asked for on a board. */
const FRAGMENT_BYTES = 4096;

export class BoardBehindRelay {
  readonly relay: RealRelay;
  readonly program: ModdableProgram;
  readonly client: DeviceClient;

  private constructor(relay: RealRelay, program: ModdableProgram, client: DeviceClient) {
    this.relay = relay;
    this.program = program;
    this.client = client;
  }

  /** Resolves when the device is online and the client has a session with it. */
  static async start(build: ModdableBuild, options: BoardOptions): Promise<BoardBehindRelay> {
    const { name, memory, limits = BOARD_LIMITS, through, under, patienceMs } = options;
    const relay = await RealRelay.start();
    const { relayAuthority, deviceAuthority, client: identity } = await testCertificates();
    const leaf = await testLeaf("device", "cam1");
    const pairingSecret = randomBytes(32);
    const { host, port } = relay.address;
    const program = await ModdableProgram.start(
      build,
      {
        name,
        suite: "device",
        identity: {
          key: leaf.key,
          cert: leaf.certificate + deviceAuthority.certificate,
          ca: relayAuthority.certificate,
        },
        device: {
          name: "cam1",
          relay: { host, port: through ? await through(port) : port },
          pairingSecret: pairingSecret.toString("hex"),
          limits,
          maxFragmentBytes: FRAGMENT_BYTES,
        },
      },
      memory,
      under,
    );
    try {
      await program.line("state online");
      const client = await DeviceClient.open({
        relay: relay.address,
        identity,
        device: "cam1",
        pairingSecret,
        ...(patienceMs === undefined ? {} : { patienceMs, timeoutMs: patienceMs, stallMs: patienceMs }),
      });
      return new BoardBehindRelay(relay, program, client);
    } catch (error) {
      await program.stop();
      await relay.stop();
      relay.remove();
      throw error;
    }
  }

  /** Stores random bytes as one blob; returns its id. Throws when the device does not say that it is new and kept. */
  async push(blob: Uint8Array): Promise<Buffer> {
    const id = createHash("sha256").update(blob).digest();
    const { wasStored } = await this.client.put(id, [blob]);
    if (wasStored) throw new Error("the device had this blob already");
    return id;
  }

  async close(): Promise<void> {
    await this.client.close();
    await this.program.stop();
    await this.relay.stop();
    this.relay.remove();
  }
}
