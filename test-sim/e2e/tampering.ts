// SPDX-License-Identifier: MIT
/** What a relay can do to the frames that it carries, and the proof that it gains nothing by it. */
import { deepEqual, ok } from "node:assert/strict";
import { FrameType } from "../../firmware/protocol/frame";
import { compareTrees } from "../../host-tools/demo/compare-trees";
import { ExitStatus } from "../../host-tools/exit-status";
import type { SeededRandom } from "../seeded-random";
import { makeSampleTree } from "./sample-tree";
import type { FrameTap, TappedRelay } from "./tapped-relay";
import type { World } from "./world";

/** Does something at about the `n`-th frame of data of either direction. */
export type Attack = (n: number, random: SeededRandom) => FrameTap;

const isData = (type: number): boolean => type === FrameType.data;

/** Changes the payload only: a frame's header is the relay's own affair. */
function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  const position = 6 + (at % (bytes.length - 6));
  changed[position] = (changed[position] ?? 0) ^ (1 << (at & 7));
  return changed;
}

/** Does something once, at the `n`-th frame of data of either direction. */
function once(n: number, attack: FrameTap): FrameTap {
  let count = 0;
  return (frame) => (isData(frame.header.type) && count++ === n ? attack(frame) : [frame.bytes]);
}

/** One frame, once: changed, lost, or sent again. */
export const simpleAttacks: Readonly<Record<string, Attack>> = {
  flips: (n, random) => once(n, ({ bytes }) => [flipped(bytes, random.below(4096))]),
  drops: (n) => once(n, () => []),
  repeats: (n) => once(n, ({ bytes }) => [bytes, bytes]),
};

/** The one attack that nothing can come of. */
const everyFrame = "flips every frame";

/** With more thought. */
export const cunningAttacks: Readonly<Record<string, Attack>> = {
  reorders: (n) => {
    let held: Buffer | undefined;
    let connection = -1;
    const hold = once(n, (frame) => {
      held = frame.bytes;
      connection = frame.connection;
      return [];
    });
    return (frame) => {
      if (held === undefined || frame.connection !== connection || !isData(frame.header.type))
        return hold(frame);
      const late = held;
      held = undefined;
      return [frame.bytes, late];
    };
  },
  splices: (n) => {
    let other: Buffer | undefined;
    return (frame) => {
      if (!isData(frame.header.type)) return [frame.bytes];
      const spliced = other;
      if (frame.bytes.length > 60 && other === undefined) other = frame.bytes;
      if (spliced === undefined || n-- !== 0) return [frame.bytes];
      // Another frame's payload under this frame's channel.
      const header = Buffer.from(frame.bytes.subarray(0, 4));
      return [Buffer.concat([header, spliced.subarray(4)])];
    };
  },
  [everyFrame]: (_n, random) => (frame) => [
    isData(frame.header.type) ? flipped(frame.bytes, random.below(4096)) : frame.bytes,
  ],
};

const allowed: readonly number[] = [
  ExitStatus.ok,
  ExitStatus.protocolViolation,
  ExitStatus.connectionLost,
  ExitStatus.deviceOffline,
  ExitStatus.corruptedBlob,
  ExitStatus.pairingFailed,
  ExitStatus.logTampered,
];

/** A world whose relay tampers, with one device `cam1`; counts what it has pushed, so that all of it can be asked for. */
export class TamperedWorld {
  readonly names: string[] = [];
  readonly #world: World;
  readonly #relay: TappedRelay;
  readonly #random: SeededRandom;

  constructor(world: World, relay: TappedRelay, random: SeededRandom) {
    this.#world = world;
    this.#relay = relay;
    this.#random = random;
  }

  /** A push or a pull under attack ends well, or with a refusal that names the cause; no wrong byte arrives. */
  async attack(kind: string, attackAt: Attack, command: "pull" | "push"): Promise<void> {
    const world = this.#world;
    const name = `attacked-${String(this.names.length + 1)}`;
    this.names.push(name);
    const tree = world.path(name);
    const cam1 = ["--device", "cam1"];
    await makeSampleTree(tree, { seed: 100 + this.names.length, largeBytes: 500_000, smallFiles: 5 });
    if (command === "pull") await world.succeed(["push", tree, ...cam1]);
    const to = world.path(`${name}-back`);
    const n = this.#random.below(15);
    const attack = attackAt(n, this.#random);
    let hasAttacked = false;
    this.#relay.onFrame = (frame) => {
      const sent = attack(frame);
      if (sent.length !== 1 || sent[0] !== frame.bytes) hasAttacked = true;
      return sent;
    };
    const words = command === "push" ? ["push", tree, ...cam1] : ["pull", name, "--to", to, ...cam1];
    const { status, stderr } = await world.coffer(words, { environment: { COFFER_PATIENCE: "1" } });
    this.#relay.onFrame = ({ bytes }) => [bytes];
    ok(hasAttacked, `there was no frame ${String(n)}`);
    ok(allowed.includes(status), `frame ${String(n)}: ${String(status)} ${stderr}`);
    if (kind === everyFrame) ok(status !== 0, "that cannot have worked");
    if (command === "pull" && status === 0) deepEqual((await compareTrees(tree, to)).differences, []);
  }

  /** The same pushes work when the relay is honest again, and everything is there. */
  async requireUnharmed(): Promise<void> {
    const world = this.#world;
    const cam1 = ["--device", "cam1"];
    await world.succeed(["push", ...this.names.map((name) => world.path(name)), ...cam1]);
    await world.succeed(["pull", "/", "--to", world.path("everything"), ...cam1]);
    for (const name of this.names)
      deepEqual((await compareTrees(world.path(name), world.path("everything", name))).differences, [], name);
  }
}
