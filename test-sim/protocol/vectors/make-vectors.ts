// SPDX-License-Identifier: MIT
/**
 * Makes the vector files beside it: `node --import tsx test-sim/protocol/vectors/make-vectors.ts`.
 *
 * Independent of firmware/protocol on purpose: bytes are laid by hand below from what SPEC.md says, and all
 * cryptography is node:crypto used directly (hkdfSync, createCipheriv, createHash) and zlib's CRC-32.
 */
import { createCipheriv, createHash, hkdfSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import type {
  CardVectors,
  FrameVectors,
  Json,
  LogVectors,
  MessageVector,
  MessageVectors,
  SessionVector,
  SessionVectors,
  TextVectors,
  VectorHeader,
} from "../protocol-vectors";

type Part = [what: string, hex: string];

function uint(bytes: number) {
  return (what: string, value: number): Part => [
    `u${String(bytes * 8)} ${what}`,
    value.toString(16).padStart(bytes * 2, "0"),
  ];
}
const u8 = uint(1);
const u16 = uint(2);
const u32 = uint(4);
const u64 = uint(8);
const raw = (what: string, hex: string): Part => [what, hex];
const utf8 = (text: string): string => Buffer.from(text, "utf8").toString("hex");
const text = (what: string, value: string): Part[] => [
  u16(`bytes of ${what}`, Buffer.byteLength(value)),
  [what, utf8(value)],
];
const variable = (what: string, hex: string): Part[] => [
  u16(`bytes of ${what}`, hex.length / 2),
  [what, hex],
];
const hexOf = (parts: Part[]): string => parts.map(([, hex]) => hex).join("");
/** Recognisable bytes: `pattern(32, 0xa0)` is a0 a1 a2 ... */
const pattern = (count: number, from: number): string =>
  Buffer.from(Array.from({ length: count }, (_, i) => (from + i) & 0xff)).toString("hex");
const sha256 = (...hex: string[]): string =>
  createHash("sha256")
    .update(Buffer.from(hex.join(""), "hex"))
    .digest("hex");
const bytes = (hex: string): { hex: string } => ({ hex });

const header = (about: string): VectorHeader => ({
  format: "coffer protocol vectors",
  version: 1,
  wireVersion: 1,
  about,
});

const ID = pattern(32, 0x20);
const OTHER = pattern(32, 0xc0);
const ZERO = "00".repeat(32);

const messageVectors: MessageVector[] = [];
function message(name: string, codec: string, value: { [name: string]: Json }, parts: Part[]): void {
  messageVectors.push({ name, codec, value, parts });
}

// ---- link

// 01 01 1000 0004 0007 "coffer1": written out once by hand: 0101 1000 0004 0007 636f66666572 31
message(
  "hello of a board",
  "link.hello",
  { minVersion: 1, maxVersion: 1, maxFrameBytes: 4096, maxChannels: 4, software: "coffer1" },
  [raw("all of it, by hand", "01011000000400" + "07" + "636f6666657231")],
);
message(
  "hello, everything at its limit",
  "link.hello",
  { minVersion: 0, maxVersion: 255, maxFrameBytes: 65535, maxChannels: 65535, software: "é".repeat(100) },
  [
    u8("minVersion", 0),
    u8("maxVersion", 255),
    u16("maxFrameBytes", 65535),
    u16("maxChannels", 65535),
    ...text("software", "é".repeat(100)),
  ],
);
message(
  "welcome",
  "link.welcome",
  { version: 1, maxFrameBytes: 16378, heartbeatSeconds: 30, unixMs: 1767225600123, relay: "home" },
  [
    u8("version", 1),
    u16("maxFrameBytes", 16378),
    u16("heartbeatSeconds", 30),
    u64("unixMs", 1767225600123),
    ...text("relay", "home"),
  ],
);
message("ping and pong", "link.heartbeat", { token: bytes("0102030405060708") }, [
  raw("token", "0102030405060708"),
]);
message("go away", "link.goAway", { reason: 5, retryMs: 1500 }, [u16("reason", 5), u32("retryMs", 1500)]);
message("devices from the start", "link.listDevices", { after: "" }, [raw("by hand", "0000")]);
message("devices after cam1", "link.listDevices", { after: "cam1" }, text("after", "cam1"));
message("no devices", "link.devices", { more: 0, devices: [] }, [raw("by hand", "000000")]);
message(
  "two devices and more to come",
  "link.devices",
  {
    more: 1,
    devices: [
      { name: "cam1", since: 1767225600, software: "coffer 0.1.0" },
      { name: "nas", since: 9007199254740991, software: "" },
    ],
  },
  [
    u8("more", 1),
    u16("count", 2),
    ...text("name", "cam1"),
    u64("since", 1767225600),
    ...text("software", "coffer 0.1.0"),
    ...text("name", "nas"),
    raw("u64 since, 2^53 - 1 by hand", "001fffffffffffff"),
    ...text("software", ""),
  ],
);
message("a line to cam1", "link.askLine", { peer: "cam1" }, text("peer", "cam1"));
message(
  "tickets of a line",
  "link.line",
  { reason: 0, clientTicket: bytes(pattern(32, 0x10)), deviceTicket: bytes(pattern(32, 0x30)) },
  [u16("reason", 0), raw("clientTicket", pattern(32, 0x10)), raw("deviceTicket", pattern(32, 0x30))],
);
message(
  "no line: too many",
  "link.line",
  { reason: 3, clientTicket: bytes("00".repeat(32)), deviceTicket: bytes("00".repeat(32)) },
  [u16("reason", 3), raw("no tickets", "00".repeat(64))],
);
message("an end of a line", "link.join", { ticket: bytes(pattern(32, 0x30)) }, [
  raw("ticket", pattern(32, 0x30)),
]);
message("open", "link.open", { peer: "cam1", creditBytes: 1048576, maxFrameBytes: 16378 }, [
  ...text("peer", "cam1"),
  u32("creditBytes", 1048576),
  u16("maxFrameBytes", 16378),
]);
message("accept", "link.accept", { creditBytes: 65536, maxFrameBytes: 4096 }, [
  raw("by hand", "00010000" + "1000"),
]);
message("close: busy", "link.close", { reason: 3 }, [raw("by hand", "0003")]);
message("credit", "link.credit", { bytes: 4294967295 }, [raw("by hand", "ffffffff")]);

// ---- session, as messages; session.json has whole conversations

message(
  "session init",
  "session.init",
  { minVersion: 1, maxVersion: 1, pairing: bytes(pattern(8, 0x10)), nonce: bytes(ID) },
  [u8("minVersion", 1), u8("maxVersion", 1), raw("pairing", pattern(8, 0x10)), raw("nonce", ID)],
);
message("session reply", "session.reply", { version: 1, maxRequests: 8, nonce: bytes(OTHER) }, [
  u8("version", 1),
  u8("maxRequests", 8),
  raw("nonce", OTHER),
]);
message("session proof", "session.proof", { proof: bytes(ID) }, [raw("proof", ID)]);

// ---- verbs

message("status request", "status.request", {}, []);
message(
  "status of a board",
  "status.answer",
  {
    device: "cam1",
    firmware: "0.1.0",
    host: "esp32",
    uptimeSeconds: 86400,
    unixMs: 1767225600123,
    card: 0,
    capacityBytes: 31914983424,
    freeBytes: 31000000000,
    heapUsedBytes: 40000,
    heapPeakBytes: 60000,
    heapLimitBytes: 131072,
    bootCount: 7,
    resetReason: 1,
    channels: 1,
    maxChannels: 4,
    maxRequests: 2,
    uploads: 3,
    logs: 2,
    preferredBlobBytes: 4194304,
  },
  [
    ...text("device", "cam1"),
    ...text("firmware", "0.1.0"),
    ...text("host", "esp32"),
    u64("uptimeSeconds", 86400),
    u64("unixMs", 1767225600123),
    u8("card", 0),
    u64("capacityBytes", 31914983424),
    u64("freeBytes", 31000000000),
    u64("heapUsedBytes", 40000),
    u64("heapPeakBytes", 60000),
    u64("heapLimitBytes", 131072),
    u32("bootCount", 7),
    u8("resetReason", 1),
    u16("channels", 1),
    u16("maxChannels", 4),
    u8("maxRequests", 2),
    u8("uploads", 3),
    u16("logs", 2),
    u64("preferredBlobBytes", 4194304),
  ],
);
message("has none", "has.request", { ids: [] }, [raw("by hand", "0000")]);
message("has two", "has.request", { ids: [bytes(ID), bytes(OTHER)] }, [
  u16("count", 2),
  raw("id", ID),
  raw("id", OTHER),
]);
message("has the first and the tenth of ten", "has.answer", { bits: bytes("8040") }, [
  raw("by hand", "0002" + "8040"),
]);
message("put", "put.request", { id: bytes(ID), sizeBytes: 1048576 }, [
  raw("id", ID),
  u64("sizeBytes", 1048576),
]);
message("put: had it", "put.answer", { wasStored: true }, [raw("by hand", "01")]);
message("put: stored now", "put.answer", { wasStored: false }, [raw("by hand", "00")]);
message("put: ready", "putReady", { offsetBytes: 262144 }, [u64("offsetBytes", 262144)]);
message("get", "get.request", { id: bytes(ID), offsetBytes: 65536, lengthBytes: 4096 }, [
  raw("id", ID),
  u64("offsetBytes", 65536),
  u64("lengthBytes", 4096),
]);
message("get: sent", "get.answer", { sentBytes: 4096, sizeBytes: 1048576 }, [
  u64("sentBytes", 4096),
  u64("sizeBytes", 1048576),
]);
message("list from the start", "list.request", { after: bytes(ZERO), limit: 90 }, [
  raw("after", ZERO),
  u16("limit", 90),
]);
message(
  "list: two blobs",
  "list.answer",
  {
    more: true,
    blobs: [
      { id: bytes(ID), sizeBytes: 1 },
      { id: bytes(OTHER), sizeBytes: 2147418112 },
    ],
  },
  [
    u8("more", 1),
    u16("count", 2),
    raw("id", ID),
    u64("sizeBytes", 1),
    raw("id", OTHER),
    u64("sizeBytes", 2147418112),
  ],
);
message("delete", "delete.request", { ids: [bytes(OTHER)] }, [u16("count", 1), raw("id", OTHER)]);
message("delete: one", "delete.answer", { deleted: 1 }, [raw("by hand", "0001")]);
message("log head", "logHead.request", { log: bytes(ID) }, [raw("log", ID)]);
message("log head: none yet", "logHead.answer", { count: 0, head: bytes(ZERO) }, [
  u64("count", 0),
  raw("head", ZERO),
]);
message(
  "log append",
  "logAppend.request",
  { log: bytes(ID), previous: bytes(OTHER), entry: bytes("00ff10") },
  [raw("log", ID), raw("previous", OTHER), ...variable("entry", "00ff10")],
);
message(
  "log append, empty entry",
  "logAppend.request",
  { log: bytes(ID), previous: bytes(ZERO), entry: bytes("") },
  [raw("log", ID), raw("previous", ZERO), ...variable("entry", "")],
);
message("log append: done", "logAppend.answer", { count: 5, head: bytes(OTHER) }, [
  u64("count", 5),
  raw("head", OTHER),
]);
message("log read", "logRead.request", { log: bytes(ID), from: 3, limitBytes: 65536 }, [
  raw("log", ID),
  u64("from", 3),
  u32("limitBytes", 65536),
]);
message("log read: sent", "logRead.answer", { count: 5, head: bytes(OTHER), entries: 2 }, [
  u64("count", 5),
  raw("head", OTHER),
  u32("entries", 2),
]);
message("log list", "logList.request", { after: bytes(ZERO) }, [raw("after", ZERO)]);
message(
  "log list: one",
  "logList.answer",
  { more: false, logs: [{ log: bytes(ID), count: 5, head: bytes(OTHER) }] },
  [u8("more", 0), u16("count", 1), raw("log", ID), u64("count", 5), raw("head", OTHER)],
);
message("log trim", "logTrim.request", { log: bytes(ID), before: 4096, head: bytes(OTHER) }, [
  raw("log", ID),
  u64("before", 4096),
  raw("head", OTHER),
]);
message("log trim: what is left", "logTrim.answer", { first: 4090 }, [u64("first", 4090)]);
message(
  "log skip",
  "logSkip.request",
  { log: bytes(ID), first: 4096, previous: bytes(OTHER), entry: bytes("00ff10") },
  [raw("log", ID), u64("first", 4096), raw("previous", OTHER), ...variable("entry", "00ff10")],
);
message("log skip: done", "logSkip.answer", { count: 4097, head: bytes(OTHER) }, [
  u64("count", 4097),
  raw("head", OTHER),
]);
message("device log", "deviceLog.request", { from: 258 }, [u32("from", 258)]);
message(
  "device log: two lines",
  "deviceLog.answer",
  {
    start: 7,
    uptimeMs: 65_536,
    unixMs: 1_763_683_200_000,
    more: true,
    lines: [
      { sequence: 258, repeats: 0, uptimeMs: 1, unixMs: 0, level: 0, text: "card: ready" },
      { sequence: 261, repeats: 2, uptimeMs: 65_535, unixMs: 1_763_683_199_999, level: 1, text: "" },
    ],
  },
  [
    u32("start", 7),
    u64("uptimeMs", 65_536),
    u64("unixMs", 1_763_683_200_000),
    u8("more", 1),
    u16("lines", 2),
    u32("sequence", 258),
    u16("repeats", 0),
    u64("uptimeMs", 1),
    u64("unixMs", 0),
    u8("level", 0),
    ...text("text", "card: ready"),
    u32("sequence", 261),
    u16("repeats", 2),
    u64("uptimeMs", 65_535),
    u64("unixMs", 1_763_683_199_999),
    u8("level", 1),
    ...text("text", ""),
  ],
);
message("health request", "health.request", {}, []);
message(
  "health of a device in safe mode",
  "health.answer",
  {
    isSafe: true,
    cause: 3,
    failedStarts: 5,
    exceptions: 9,
    watchdogs: 1,
    exceptionStart: 41,
    exception: "TypeError: x",
    freeBytes: 98_304,
    leastFreeBytes: 65_536,
  },
  [
    u8("isSafe", 1),
    u8("cause", 3),
    u8("failedStarts", 5),
    u32("exceptions", 9),
    u32("watchdogs", 1),
    u32("exceptionStart", 41),
    ...text("exception", "TypeError: x"),
    u64("freeBytes", 98_304),
    u64("leastFreeBytes", 65_536),
  ],
);
message(
  "to a line as the client of TLS",
  "line.request",
  { ticket: bytes(pattern(32, 0x30)), key: bytes(pattern(32, 0xc0)), isServer: false },
  [raw("ticket", pattern(32, 0x30)), raw("key", pattern(32, 0xc0)), u8("isServer", 0)],
);
message("on the way to a line", "line.answer", {}, []);
message("troubles request", "troubles.request", {}, []);
message(
  "troubles of a device that had a wrong password, and whose relay was away",
  "troubles.answer",
  {
    troubles: [
      { code: 1, wasEarlier: true, count: 0, lastSeconds: 0 },
      { code: 5, wasEarlier: false, count: 258, lastSeconds: 65_537 },
    ],
  },
  [
    u16("troubles", 2),
    u8("code", 1),
    u8("wasEarlier", 1),
    u16("count", 0),
    u32("lastSeconds", 0),
    u8("code", 5),
    u8("wasEarlier", 0),
    u16("count", 258),
    u32("lastSeconds", 65_537),
  ],
);
message("failure: card full", "failure", { code: 4, text: "the card is full" }, [
  u16("code", 4),
  ...text("text", "the card is full"),
]);

// ---- discovery

const NONCE = "a1a2a3a4a5a6a7a8";
const cofd = raw('magic "cofd"', "636f6664");
message("discovery request", "discovery.request", { nonce: bytes(NONCE) }, [
  cofd,
  u8("version", 1),
  u8("kind", 1),
  raw("nonce", NONCE),
  raw("padding to 96 bytes", "00".repeat(82)),
]);
message(
  "discovery answer",
  "discovery.answer",
  { nonce: bytes(NONCE), port: 4433, name: "home", fingerprint: bytes(OTHER) },
  [
    cofd,
    u8("version", 1),
    u8("kind", 2),
    raw("nonce", NONCE),
    u16("port", 4433),
    ...text("name", "home"),
    raw("fingerprint", OTHER),
  ],
);

const ff = (count: number): string => "ff".repeat(count);
const messages: MessageVectors = {
  ...header("Payloads of link frames and the fields of handshake and control messages, one codec each."),
  vectors: messageVectors,
  invalid: [
    {
      name: "text longer than its limit",
      codec: "link.open",
      bytes: "0021" + utf8("a".repeat(33)) + "00000000" + "1000",
      error: "range",
    },
    {
      name: "text with a control character",
      codec: "link.open",
      bytes: "0001" + "0a" + "00000000" + "1000",
      error: "text",
    },
    {
      name: "text with a C1 control character",
      codec: "link.open",
      bytes: "0002" + "c29b" + "00000000" + "1000",
      error: "text",
    },
    {
      name: "text that is not UTF-8",
      codec: "link.open",
      bytes: "0001" + "ff" + "00000000" + "1000",
      error: "text",
    },
    {
      name: "text that promises more than is there",
      codec: "link.listDevices",
      bytes: "0020" + "61",
      error: "short",
    },
    { name: "length bomb: text", codec: "link.listDevices", bytes: "ffff", error: "range" },
    { name: "length bomb: list", codec: "has.request", bytes: "ffff" + ID, error: "range" },
    { name: "length bomb: list within its limit", codec: "has.request", bytes: "0064" + ID, error: "short" },
    { name: "length bomb: entry", codec: "logAppend.request", bytes: ID + OTHER + "ffff", error: "range" },
    {
      name: "length bomb: entry within its limit",
      codec: "logAppend.request",
      bytes: ID + OTHER + "0c00" + "00",
      error: "short",
    },
    { name: "101 ids", codec: "delete.request", bytes: "0065" + ID.repeat(101), error: "range" },
    { name: "65 devices", codec: "link.devices", bytes: "00" + "0041" + ff(100), error: "range" },
    {
      name: "log trim before 2^53",
      codec: "logTrim.request",
      bytes: ID + "0020000000000000" + OTHER,
      error: "range",
    },
    {
      name: "log skip to 2^53",
      codec: "logSkip.request",
      bytes: ID + "0020000000000000" + OTHER + "0000",
      error: "range",
    },
    {
      name: "length bomb: entry to skip to",
      codec: "logSkip.request",
      bytes: ID + "00".repeat(8) + OTHER + "ffff",
      error: "range",
    },
    {
      name: "length bomb: lines of a device's log",
      codec: "deviceLog.answer",
      bytes: "00".repeat(20) + "00" + "ffff",
      error: "range",
    },
    {
      name: "a line of a device's log that is too long",
      codec: "deviceLog.answer",
      bytes: "00".repeat(20) + "00" + "0001" + "00".repeat(23) + "00a1" + "41".repeat(161),
      error: "range",
    },
    {
      name: "a control character in a device's exception",
      codec: "health.answer",
      bytes: "00".repeat(15) + "0001" + "1b" + "00".repeat(16),
      error: "text",
    },
    { name: "17 troubles", codec: "troubles.answer", bytes: "0011" + "00".repeat(17 * 8), error: "range" },
    { name: "a line with a role of 2", codec: "line.request", bytes: "00".repeat(64) + "02", error: "range" },
    { name: "a ticket of 31 bytes", codec: "link.join", bytes: "00".repeat(31), error: "short" },
    { name: "a flag of 2", codec: "put.answer", bytes: "02", error: "range" },
    { name: "a number of 2^53", codec: "putReady", bytes: "0020000000000000", error: "range" },
    { name: "one byte too many", codec: "link.close", bytes: "000300", error: "long" },
    { name: "nothing", codec: "link.close", bytes: "", error: "short" },
    {
      name: "discovery: another magic",
      codec: "discovery.answer",
      bytes: "636f6665" + "0102" + "00".repeat(8) + "1151" + "0000" + OTHER,
      error: "checksum",
    },
    {
      name: "discovery: another version",
      codec: "discovery.answer",
      bytes: "636f6664" + "0202" + "00".repeat(8) + "1151" + "0000" + OTHER,
      error: "version",
    },
    {
      name: "discovery: a request of the size of an answer",
      codec: "discovery.answer",
      bytes: "636f6664" + "0101" + "00".repeat(8) + "1151" + "0000" + OTHER,
      error: "type",
    },
    {
      name: "discovery: port 0",
      codec: "discovery.answer",
      bytes: "636f6664" + "0102" + "00".repeat(8) + "0000" + "0000" + OTHER,
      error: "range",
    },
    {
      name: "discovery: a short request",
      codec: "discovery.request",
      bytes: "636f6664" + "0101" + "00".repeat(81),
      error: "short",
    },
  ],
};

// ---- frames

const frameOf = (type: number, channel: number, payload: string): string =>
  hexOf([
    u8("type", type),
    u8("reserved", 0),
    u16("channel", channel),
    u16("payload bytes", payload.length / 2),
    raw("payload", payload),
  ]);
const payloadOf = (name: string): string => {
  const found = messageVectors.find((vector) => vector.name === name);
  if (!found) throw new Error(name);
  return hexOf(found.parts);
};
const frame = (
  name: string,
  type: number,
  channel: number,
  payload: string,
): FrameVectors["vectors"][number] => ({
  name,
  type,
  channel,
  payload,
  bytes: frameOf(type, channel, payload),
});
const frames: FrameVectors = {
  ...header("Link frames with their headers, bulk payloads and control messages with theirs."),
  vectors: [
    {
      name: "hello, all by hand",
      type: 1,
      channel: 0,
      payload: "010110000004000763" + "6f6666657231",
      bytes: "01" + "00" + "0000" + "000f" + "0101" + "1000" + "0004" + "0007" + "636f6666657231",
    },
    frame("welcome", 2, 0, payloadOf("welcome")),
    frame("ping", 3, 0, "0102030405060708"),
    frame("pong", 4, 0, "0102030405060708"),
    frame("goAway", 5, 0, payloadOf("go away")),
    frame("listDevices", 6, 0, "0000"),
    frame("devices", 7, 0, payloadOf("two devices and more to come")),
    frame("askLine", 8, 0, payloadOf("a line to cam1")),
    frame("line", 9, 0, payloadOf("tickets of a line")),
    frame("join", 10, 0, payloadOf("an end of a line")),
    frame("open", 16, 1, payloadOf("open")),
    frame("accept", 17, 1, payloadOf("accept")),
    frame("close", 18, 256, "0003"),
    frame("data", 19, 65535, "02" + "0001" + "00000000" + "ab"),
    frame("data, the largest", 19, 1, "02" + pattern(16377, 0)),
    frame("credit", 20, 1, "00010000"),
    frame("a type nobody knows", 99, 1, ""),
  ],
  invalid: [
    { name: "reserved byte set", bytes: "130100010000", maxPayloadBytes: 16378, error: "range" },
    { name: "payload above 16378", bytes: "130000013ffb", maxPayloadBytes: 16378, error: "range" },
    { name: "payload above what was agreed", bytes: "130000011001", maxPayloadBytes: 4096, error: "range" },
  ],
  bulk: [
    {
      name: "bulk, by hand",
      request: 1,
      offsetBytes: 0,
      data: "ab",
      payload: "02" + "0001" + "00000000" + "ab",
    },
    {
      name: "bulk, far into the largest blob",
      request: 65535,
      offsetBytes: 4294967295,
      data: "00",
      payload: "02" + "ffff" + "ffffffff" + "00",
    },
    {
      name: "bulk",
      request: 258,
      offsetBytes: 2147418111,
      data: pattern(40, 0),
      payload: "02" + "0102" + "7ffeffff" + pattern(40, 0),
    },
  ],
  control: [
    { name: "status request 1", type: 1, request: 1, body: "", message: "01" + "0001" },
    {
      name: "put request 513",
      type: 3,
      request: 513,
      body: payloadOf("put"),
      message: "03" + "0201" + payloadOf("put"),
    },
    { name: "put answer", type: 0x83, request: 513, body: "00", message: "83" + "0201" + "00" },
    {
      name: "put ready",
      type: 0x70,
      request: 513,
      body: payloadOf("put: ready"),
      message: "70" + "0201" + payloadOf("put: ready"),
    },
    {
      name: "failure",
      type: 0xff,
      request: 65535,
      body: payloadOf("failure: card full"),
      message: "ff" + "ffff" + payloadOf("failure: card full"),
    },
  ],
};

// ---- session

function hkdfExtract(salt: string, secret: string): string {
  // RFC 5869: PRK = HMAC-Hash(salt, IKM). hkdfSync does not show it, so it is made here and the keys by hkdfSync.
  const block = Buffer.alloc(64);
  Buffer.from(salt, "hex").copy(block);
  const inner = createHash("sha256")
    .update(block.map((byte) => byte ^ 0x36))
    .update(Buffer.from(secret, "hex"))
    .digest();
  return createHash("sha256")
    .update(block.map((byte) => byte ^ 0x5c))
    .update(inner)
    .digest("hex");
}

function session(
  name: string,
  secret: string,
  deviceName: string,
  initNonce: string,
  replyNonce: string,
): SessionVector {
  const pairing = sha256(utf8("coffer pairing 1"), secret).slice(0, 16);
  const init = "01" + "01" + pairing + initNonce;
  const reply = "01" + "04" + replyNonce;
  const transcript = sha256(
    utf8("coffer session 1"),
    hexOf([u8("length", Buffer.byteLength(deviceName))]),
    utf8(deviceName),
    init,
    reply,
  );
  const expand = (info: string): string =>
    Buffer.from(
      hkdfSync(
        "sha256",
        Buffer.from(secret, "hex"),
        Buffer.from(transcript, "hex"),
        Buffer.from(info, "utf8"),
        32,
      ),
    ).toString("hex");
  const deviceProof = expand("device proof");
  const clientProof = expand("client proof");
  return {
    name,
    secret,
    pairingId: pairing,
    deviceName,
    init: { minVersion: 1, maxVersion: 1, nonce: initNonce },
    reply: { version: 1, maxRequests: 4, nonce: replyNonce },
    transcript,
    prk: hkdfExtract(transcript, secret),
    deviceProof,
    clientProof,
    clientToDevice: expand("client to device"),
    deviceToClient: expand("device to client"),
    payloads: {
      init: "00" + "01" + init,
      reply: "00" + "02" + reply + deviceProof,
      finish: "00" + "03" + clientProof,
    },
  };
}

function cipher(name: string, key: string, messagesSealed: string[]): SessionVectors["ciphers"][number] {
  return {
    name,
    key,
    frames: messagesSealed.map((sealed, number) => {
      const nonce = number.toString(16).padStart(24, "0");
      const gcm = createCipheriv("aes-256-gcm", Buffer.from(key, "hex"), Buffer.from(nonce, "hex"));
      gcm.setAAD(Buffer.from("01", "hex"));
      const body = Buffer.concat([gcm.update(Buffer.from(sealed, "hex")), gcm.final(), gcm.getAuthTag()]);
      return { number, nonce, message: sealed, payload: "01" + body.toString("hex") };
    }),
  };
}

const first = session("a session with cam1", pattern(32, 0x00), "cam1", pattern(32, 0x40), pattern(32, 0x80));
const sessions: SessionVectors = {
  ...header("Handshakes with every key and proof, and sealed control frames."),
  vectors: [
    first,
    session("the longest name", sha256("01"), "a".repeat(32), sha256("02"), sha256("03")),
    session("another secret, all zero nonces", sha256("04"), "nas", ZERO, ZERO),
  ],
  ciphers: [
    cipher("client to device", first.clientToDevice, ["010001", "03" + "0002" + payloadOf("put"), "", "ff"]),
    cipher("device to client", first.deviceToClient, [
      "81" + "0001" + payloadOf("status of a board"),
      "830002" + "00",
    ]),
  ],
};

// ---- card

const cardVectors: MessageVector[] = [];
function sector(
  name: string,
  codec: string,
  magic: string,
  value: { [name: string]: Json },
  fields: Part[],
): void {
  const parts: Part[] = [raw(`magic "${magic}"`, utf8(magic)), ...fields];
  parts.push(u32("CRC-32 of all before", crc32(Buffer.from(hexOf(parts), "hex"))));
  cardVectors.push({ name, codec, value, parts });
}
const UPLOAD = pattern(16, 0x70);
sector("card marker", "card.marker", "CFcd", { version: 1, cardId: bytes(UPLOAD) }, [
  u8("version", 1),
  raw("cardId", UPLOAD),
]);
sector("upload slot", "card.uploadSlot", "CFup", { id: bytes(ID), sizeBytes: 1048576, generation: 9 }, [
  raw("id", ID),
  u64("sizeBytes", 1048576),
  u64("generation", 9),
]);
sector(
  "blob identity",
  "card.blobIdentity",
  "CFid",
  { version: 1, id: bytes(ID), sizeBytes: 2147418112, upload: bytes(UPLOAD) },
  [u8("version", 1), raw("id", ID), u64("sizeBytes", 2147418112), raw("upload", UPLOAD)],
);
sector(
  "blob progress",
  "card.blobProgress",
  "CFpr",
  { upload: bytes(UPLOAD), generation: 3, durableBytes: 393216 },
  [raw("upload", UPLOAD), u32("generation", 3), u64("durableBytes", 393216)],
);
sector("blob commit", "card.blobCommit", "CFok", { upload: bytes(UPLOAD), id: bytes(ID), sizeBytes: 0 }, [
  raw("upload", UPLOAD),
  raw("id", ID),
  u64("sizeBytes", 0),
]);
sector(
  "log segment",
  "card.logSegment",
  "CFls",
  { version: 1, log: bytes(ID), segment: bytes(UPLOAD), firstSequence: 17, previous: bytes(OTHER) },
  [
    u8("version", 1),
    raw("log", ID),
    raw("segment", UPLOAD),
    u64("firstSequence", 17),
    raw("previous", OTHER),
  ],
);
sector(
  "log record",
  "card.logRecord",
  "CFlr",
  { segment: bytes(UPLOAD), sequence: 17, hash: bytes(OTHER), entryBytes: 3072, entryCrc: 3421780262 },
  [
    raw("segment", UPLOAD),
    u64("sequence", 17),
    raw("hash", OTHER),
    u16("entryBytes", 3072),
    u32('entryCrc: zlib\'s CRC-32 of "123456789"', crc32(Buffer.from("123456789"))),
  ],
);
sector("log segment being removed", "card.logTrim", "CFtr", { log: bytes(ID), segment: 258 }, [
  raw("log", ID),
  raw("u32 segment, by hand", "00000102"),
]);
sector(
  "log segment that begins anew",
  "card.logSkip",
  "CFsk",
  { version: 1, log: bytes(ID), segment: bytes(UPLOAD), firstSequence: 4096, previous: bytes(OTHER) },
  [
    u8("version", 1),
    raw("log", ID),
    raw("segment", UPLOAD),
    u64("firstSequence", 4096),
    raw("previous", OTHER),
  ],
);
const withCrc = (hex: string): string => hex + hexOf([u32("", crc32(Buffer.from(hex, "hex")))]);
const card: CardVectors = {
  ...header("Sectors of the card."),
  vectors: cardVectors,
  invalid: [
    { name: "a free slot", codec: "card.uploadSlot", bytes: "00".repeat(512), error: "checksum" },
    {
      name: "another structure's magic",
      codec: "card.blobCommit",
      bytes: withCrc(utf8("CFpr") + UPLOAD + ID + "00".repeat(8)),
      error: "checksum",
    },
    {
      name: "a card of the future",
      codec: "card.marker",
      bytes: withCrc(utf8("CFcd") + "02" + UPLOAD),
      error: "version",
    },
    {
      name: "a blob above the limit",
      codec: "card.blobCommit",
      bytes: withCrc(utf8("CFok") + UPLOAD + ID + "000000007fff0001"),
      error: "range",
    },
    {
      name: "an entry above the limit",
      codec: "card.logRecord",
      bytes: withCrc(utf8("CFlr") + UPLOAD + "0000000000000000" + OTHER + "0c01" + "00000000"),
      error: "range",
    },
    {
      name: "a segment that goes on, where one that begins anew is meant",
      codec: "card.logSkip",
      bytes: withCrc(utf8("CFls") + "01" + ID + UPLOAD + "00".repeat(8) + OTHER),
      error: "checksum",
    },
    { name: "no segment being removed", codec: "card.logTrim", bytes: "00".repeat(512), error: "checksum" },
    { name: "nothing", codec: "card.marker", bytes: "", error: "short" },
  ],
};

// ---- log and text

function chain(name: string, entries: string[]): LogVectors["chains"][number] {
  let previous = ZERO;
  return {
    name,
    entries: entries.map((entry) => {
      const hash = sha256(previous, entry);
      const link = { entry, previous, hash };
      previous = hash;
      return link;
    }),
  };
}
const log: LogVectors = {
  ...header("Log chains: hash = SHA-256(previous | entry), previous of the first is 32 zero bytes."),
  chains: [chain("three entries", [utf8("first"), "", pattern(3072, 0)]), chain("one empty entry", [""])],
};

const point = (name: string, ...codePoints: number[]): TextVectors["valid"][number] => ({
  name,
  codePoints,
  bytes: utf8(String.fromCodePoint(...codePoints)),
});
const textVectors: TextVectors = {
  ...header("UTF-8 as RFC 3629 has it."),
  valid: [
    { name: "nothing", codePoints: [], bytes: "" },
    {
      name: "by hand: A, e acute, euro, grinning face",
      codePoints: [0x41, 0xe9, 0x20ac, 0x1f600],
      bytes: "41" + "c3a9" + "e282ac" + "f09f9880",
    },
    point("the edges of each length", 0, 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x10000, 0x10ffff),
    point("either side of the surrogates", 0xd7ff, 0xe000),
    point("byte order mark is kept", 0xfeff, 0x61),
  ],
  invalid: [
    { name: "a continuation alone", bytes: "80" },
    { name: "two bytes cut", bytes: "c3" },
    { name: "three bytes cut", bytes: "e282" },
    { name: "four bytes cut", bytes: "f09f98" },
    { name: "overlong two bytes", bytes: "c080" },
    { name: "overlong two bytes, C1", bytes: "c1bf" },
    { name: "overlong three bytes", bytes: "e09fbf" },
    { name: "overlong four bytes", bytes: "f08fbfbf" },
    { name: "a high surrogate", bytes: "eda080" },
    { name: "a low surrogate", bytes: "edbfbf" },
    { name: "past U+10FFFF", bytes: "f4908080" },
    { name: "F5", bytes: "f5808080" },
    { name: "FF", bytes: "ff" },
    { name: "a lead byte where a continuation should be", bytes: "c3c3" },
    { name: "ASCII where a continuation should be", bytes: "e28241" },
  ],
};

const files: Record<string, VectorHeader> = {
  messages,
  frames,
  session: sessions,
  card,
  log,
  text: textVectors,
};
for (const [name, content] of Object.entries(files)) {
  writeFileSync(
    fileURLToPath(new URL(`${name}.json`, import.meta.url)),
    `${JSON.stringify(content, null, 1)}\n`,
  );
}
