// SPDX-License-Identifier: MIT
/** Packets of mDNS: one as the relay's announcement sends it, and such as nobody should be able to do harm with. */

const name = (...labels: string[]): Buffer =>
  Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.of(Buffer.byteLength(label)), Buffer.from(label)])),
    Buffer.of(0),
  ]);
const header = (answers: number, additionals = 0): Buffer =>
  Buffer.of(0, 0, 0x84, 0, 0, 0, 0, answers, 0, 0, 0, additionals);
const record = (owner: Buffer, type: number, data: Buffer): Buffer =>
  Buffer.concat([owner, Buffer.of(0, type, 0, 1, 0, 0, 0, 120, data.length >> 8, data.length & 255), data]);

const SERVICE = name("_coffer", "_tcp", "local");

export interface Announced {
  instance: string;
  address: readonly [number, number, number, number];
  port: number;
  txt: readonly string[];
}

/** PTR, and SRV, TXT, A, as `relay/announce.ts` has them sent. */
export function announcement({ instance, address, port, txt }: Announced): Buffer {
  const owner = name(instance, "_coffer", "_tcp", "local");
  const host = name(`coffer-${instance}`, "local");
  const texts = Buffer.concat(
    txt.map((text) => Buffer.concat([Buffer.of(Buffer.byteLength(text)), Buffer.from(text)])),
  );
  return Buffer.concat([
    header(1, 3),
    record(SERVICE, 12, owner),
    record(owner, 33, Buffer.concat([Buffer.of(0, 0, 0, 0, port >> 8, port & 255), host])),
    record(owner, 16, texts),
    record(host, 1, Buffer.from(address)),
  ]);
}

/** What relay/announce.ts sent on a computer with the addresses 192.0.2.2 and fd00::2, for a relay "relay1" on port 4433. */
export const CAPTURED = Buffer.from(
  "000084000000000100000005075f636f66666572045f746370056c6f63616c00000c00010000708000200b72656c6179312d" +
    "61346471075f636f66666572045f746370056c6f63616c000b72656c6179312d61346471075f636f66666572045f74637005" +
    "6c6f63616c000021000100000078002000000000115112636f666665722d72656c6179312d61346471056c6f63616c000b72" +
    "656c6179312d61346471075f636f66666572045f746370056c6f63616c000010000100001194006c03763d310b6e616d653d" +
    "72656c6179314366703d30373037303730373037303730373037303730373037303730373037303730373037303730373037" +
    "303730373037303730373037303730373037303730373037177361733d613464712d6f6279682d613464712d6f6279681263" +
    "6f666665722d72656c6179312d61346471056c6f63616c0000010001000000780004c000020212636f666665722d72656c61" +
    "79312d61346471056c6f63616c00001c0001000000780010fd00000000000000000000000000000212636f666665722d7265" +
    "6c6179312d61346471056c6f63616c00001c0001000000780010fe8000000000000000fc00fffe000001",
  "hex",
);

const pointerTo = (offset: number): Buffer => Buffer.of(0xc0 | (offset >> 8), offset & 255);
const good = { instance: "r", address: [192, 0, 2, 1], port: 1, txt: ["v=1", "name=r"] } as const;

/** Each with a word on what is wrong. */
export const HOSTILE: readonly (readonly [what: string, packet: Buffer])[] = [
  [
    "a pointer that points at itself",
    Buffer.concat([
      header(2),
      record(SERVICE, 12, SERVICE),
      pointerTo(12 + SERVICE.length + 10 + SERVICE.length),
      Buffer.alloc(10),
    ]),
  ],
  [
    "a label, and a pointer back to it, for ever",
    Buffer.concat([
      header(2),
      record(SERVICE, 12, SERVICE),
      Buffer.from("\x01a"),
      pointerTo(12 + 2 * SERVICE.length + 10),
      Buffer.alloc(10),
    ]),
  ],
  [
    "two pointers that point at each other",
    Buffer.concat([header(1), pointerTo(14), pointerTo(12), Buffer.alloc(10)]),
  ],
  ["a pointer into the header", Buffer.concat([header(1), pointerTo(2), Buffer.alloc(10)])],
  [
    "a name of 40 labels",
    Buffer.concat([header(1), record(name("_coffer", ...Array<string>(40).fill("a")), 12, SERVICE)]),
  ],
  ["a label that is no text", announcement({ ...good, instance: "caf\u00e9" })],
  ["a text that is no text", announcement({ ...good, txt: ["v=1", "name=\u0000"] })],
  ["an address of 3 bytes", Buffer.concat([announcement(good).subarray(0, -6), Buffer.of(0, 3, 1, 2, 3)])],
  [
    "another service",
    Buffer.concat([header(1), record(name("_ipp", "_tcp", "local"), 12, name("p", "_ipp", "_tcp", "local"))]),
  ],
  ["a question", Buffer.from([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...SERVICE, 0, 12, 0, 1])],
  ["33 records", Buffer.concat([header(33), ...Array<Buffer>(33).fill(record(SERVICE, 12, SERVICE))])],
  ["more than a frame of Ethernet", Buffer.concat([announcement(good), Buffer.alloc(1500)])],
];
