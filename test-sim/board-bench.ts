// SPDX-License-Identifier: MIT
/** A real relay with boards and clients of its authorities, for tests. What a test made ends with it, the newest first. */
import assert from "node:assert/strict";

import { DeviceClient } from "../host-tools/remote/device-client";
import type { TestAuthority } from "../relay/test-authority";
import { TestRelay } from "../relay/test-relay";
import { Board, type BoardOptions } from "./board";
import { xsBoardProgram } from "./xs-build";

/** The first run compiles the engine. */
export const BUILD_MS = 180_000;
export const SECRET = new Uint8Array(32).fill(7);
const DEVICE = "cam1";
const PATIENCE_MS = 15_000;

export interface IdentityOptions {
  /** Signs it; else the one that the relay trusts. */
  authority?: TestAuthority;
  fromMs?: number;
  toMs?: number;
  /** PEM of whom the device trusts; else the relay's own authority. */
  ca?: string;
}

export class BoardBench {
  readonly relay: TestRelay;
  readonly #ends: (() => unknown)[] = [];

  private constructor(relay: TestRelay) {
    this.relay = relay;
  }

  static async start(): Promise<BoardBench> {
    await xsBoardProgram();
    return new BoardBench(await TestRelay.start());
  }

  /** After each test. */
  async clear(): Promise<void> {
    for (const end of this.#ends.splice(0).reverse()) await end();
  }

  async stop(): Promise<void> {
    await this.clear();
    await this.relay.stop();
  }

  /** To be called after the test. */
  atEnd(end: () => unknown): void {
    this.#ends.push(end);
  }

  identity(options: IdentityOptions = {}): BoardOptions["identity"] {
    const {
      authority = TestRelay.deviceAuthority,
      ca = TestRelay.relayAuthority.certificate,
      ...dates
    } = options;
    const issued = authority.issue({ uris: [`coffer:device:${DEVICE}`], usage: "client", ...dates });
    return { key: issued.key, cert: issued.certificate + authority.certificate, ca };
  }

  /** Of the device "cam1" and paired with `client`. `relay` null: it has no address and looks for one. */
  board({
    relay,
    ...changes
  }: Partial<Omit<BoardOptions, "relay">> & { relay?: BoardOptions["relay"] | null } = {}): Board {
    const board = new Board({
      name: DEVICE,
      identity: changes.identity ?? this.identity(),
      ...(relay === null ? {} : { relay: relay ?? { host: "127.0.0.1", port: this.relay.port } }),
      pairings: [SECRET],
      seed: 1,
      ...changes,
    });
    this.atEnd(() => board.cutPower());
    return board;
  }

  async client(port = this.relay.port): Promise<DeviceClient> {
    const issued = TestRelay.deviceAuthority.issue({ uris: ["coffer:client:ann"], usage: "client" });
    const client = await DeviceClient.open({
      relay: { host: "127.0.0.1", port },
      identity: {
        key: issued.key,
        chain: issued.certificate + TestRelay.deviceAuthority.certificate,
        ca: TestRelay.relayAuthority.certificate,
      },
      device: DEVICE,
      pairingSecret: SECRET,
      patienceMs: 10_000,
      channels: 1,
    });
    this.atEnd(() => client.close());
    return client;
  }
}

/** In real time. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; !condition();) {
    assert.ok(Date.now() < end, `${what} did not happen`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** In a board's virtual time, second by second; its connections and its machine are real, and get a moment for each. */
export async function passUntil(board: Board, condition: () => boolean, seconds = 60): Promise<void> {
  for (let second = 0; !condition() && second < seconds; second++) {
    await board.advance(1000);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
