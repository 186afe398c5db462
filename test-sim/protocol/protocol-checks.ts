// SPDX-License-Identifier: MIT
/**
 * Every check of firmware/protocol against the vectors, in plain portable code: the same suite runs on Node and
 * inside the XS engine. Vectors, cryptography and the place to report come from outside.
 *
 * What is proven of each decoder: the vector whole, re-encoded, at every truncation and with every single bit
 * flipped; bytes too many; and a seeded fuzz. Any bytes give a value, "need more" or a DataError, and nothing else.
 * A value that was decoded encodes to the very bytes it came from: there is one encoding of everything.
 */
import {
  blobCommit,
  blobIdentity,
  blobProgress,
  cardMarker,
  decodeSector,
  encodeSector,
  logRecord,
  logSegment,
  logSkip,
  logTrim,
  uploadSlot,
} from "../../firmware/protocol/card-format";
import { DataError } from "../../firmware/protocol/data-error";
import {
  decodeDiscoveryAnswer,
  decodeDiscoveryRequest,
  encodeDiscoveryAnswer,
  encodeDiscoveryRequest,
} from "../../firmware/protocol/discovery";
import type { RelayAnnouncement } from "../../firmware/protocol/discovery";
import { FRAME_HEADER_BYTES, encodeFrame, readFrameHeader } from "../../firmware/protocol/frame";
import { MAX_FRAME_BYTES } from "../../firmware/protocol/limits";
import * as link from "../../firmware/protocol/link-messages";
import { NO_ENTRY, entryHash } from "../../firmware/protocol/log-chain";
import { decode, encode, fitText } from "../../firmware/protocol/message";
import type { Field } from "../../firmware/protocol/message";
import {
  ControlCipher,
  deriveSessionKeys,
  init,
  isEqual,
  pairingId,
  proof,
  readBulkHeader,
  reply,
  writeBulkHeader,
} from "../../firmware/protocol/session";
import type { SessionCrypto } from "../../firmware/protocol/session";
import { decodeUtf8, encodeUtf8 } from "../../firmware/protocol/utf8";
import { decodeControl, encodeControl, failure, putReady, verbs } from "../../firmware/protocol/verbs";
import { VECTOR_FORMAT, VECTOR_VERSION } from "./protocol-vectors";
import type {
  CardVectors,
  FrameVectors,
  Json,
  LogVectors,
  MessageVector,
  MessageVectors,
  ProtocolVectors,
  SessionVectors,
  TextVectors,
} from "./protocol-vectors";

/** Called once for each check; without `problem` it passed. */
export type Report = (check: string, problem?: string) => void;

export interface CheckOptions {
  /** Seed of the fuzz, printed in the name of its checks. */
  seed?: number;
  /** Inputs for each decoder. */
  fuzzRounds?: number;
}

interface Codec {
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
  /** Some bytes do not matter: what is decoded does not encode to the same ones. */
  isLossy?: boolean;
}

function ofField<T>(field: Field<T>): Codec {
  return { encode: (value) => encode(field, value as T), decode: (bytes) => decode(field, bytes) };
}

function ofSector<T>(kind: Parameters<typeof encodeSector<T>>[0]): Codec {
  return { encode: (value) => encodeSector(kind, value as T), decode: (bytes) => decodeSector(kind, bytes) };
}

/** Every codec by the name that the vectors use. */
function allCodecs(): Map<string, Codec> {
  const codecs = new Map<string, Codec>([
    ["link.hello", ofField(link.hello)],
    ["link.welcome", ofField(link.welcome)],
    ["link.heartbeat", ofField(link.heartbeat)],
    ["link.goAway", ofField(link.goAway)],
    ["link.listDevices", ofField(link.listDevices)],
    ["link.devices", ofField(link.devices)],
    ["link.askLine", ofField(link.askLine)],
    ["link.line", ofField(link.line)],
    ["link.join", ofField(link.join)],
    ["link.open", ofField(link.open)],
    ["link.accept", ofField(link.accept)],
    ["link.close", ofField(link.close)],
    ["link.credit", ofField(link.credit)],
    ["session.init", ofField(init)],
    ["session.reply", ofField(reply)],
    ["session.proof", ofField(proof)],
    ["putReady", ofField(putReady)],
    ["failure", ofField(failure)],
    [
      "discovery.request",
      {
        encode: (value) => encodeDiscoveryRequest((value as { nonce: Uint8Array }).nonce),
        decode: (bytes) => ({ nonce: decodeDiscoveryRequest(bytes) }),
        // Later versions may put something where this one has padding.
        isLossy: true,
      },
    ],
    [
      "discovery.answer",
      {
        encode: (value) => encodeDiscoveryAnswer(value as RelayAnnouncement),
        decode: (bytes) => decodeDiscoveryAnswer(bytes),
      },
    ],
    ["card.marker", ofSector(cardMarker)],
    ["card.uploadSlot", ofSector(uploadSlot)],
    ["card.blobIdentity", ofSector(blobIdentity)],
    ["card.blobProgress", ofSector(blobProgress)],
    ["card.blobCommit", ofSector(blobCommit)],
    ["card.logSegment", ofSector(logSegment)],
    ["card.logRecord", ofSector(logRecord)],
    ["card.logTrim", ofSector(logTrim)],
    ["card.logSkip", ofSector(logSkip)],
  ]);
  for (const verb of Object.values(verbs)) {
    codecs.set(`${verb.name}.request`, ofField(verb.request as Field<unknown>));
    codecs.set(`${verb.name}.answer`, ofField(verb.answer as Field<unknown>));
  }
  return codecs;
}

export function fromHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

export function toHex(bytes: Uint8Array): string {
  let hex = "";
  for (const byte of bytes) hex += (byte < 16 ? "0" : "") + byte.toString(16);
  return hex;
}

/** What a vector's value means: `{ hex }` becomes bytes. */
function revive(value: Json): unknown {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.hex === "string") return fromHex(value.hex);
  const object: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) object[name] = revive(field);
  return object;
}

/** Values as text that can be compared: bytes as hex. */
function show(value: unknown): string {
  if (value instanceof Uint8Array) return `<${toHex(value)}>`;
  if (Array.isArray(value)) return `[${value.map(show).join()}]`;
  if (value === null || typeof value !== "object")
    return typeof value === "string" ? JSON.stringify(value) : String(value);
  const fields = Object.entries(value).map(([name, field]) => `${name}:${show(field)}`);
  return `{${fields.sort().join()}}`;
}

function expect(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(what);
}

function same(actual: unknown, expected: unknown, what: string): void {
  if (show(actual) !== show(expected))
    throw new Error(`${what}: expected ${show(expected)}, got ${show(actual)}`);
}

/** The code of the DataError that `action` throws, undefined when it throws none. Any other exception goes on. */
function codeOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    if (error instanceof DataError) return error.code;
    throw error;
  }
  return undefined;
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice();
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** mulberry32: small, fast, the same on every engine. */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export function runProtocolChecks(
  vectors: ProtocolVectors,
  crypto: SessionCrypto,
  report: Report,
  options: CheckOptions = {},
): void {
  const check = (name: string, action: () => void): void => {
    try {
      action();
    } catch (error) {
      report(name, error instanceof Error ? `${error.name}: ${error.message}` : String(error));
      return;
    }
    report(name);
  };
  const codecs = allCodecs();
  for (const [name, file] of Object.entries(vectors) as [string, { format: string; version: number }][]) {
    check(`${name}: file header`, () => {
      same([file.format, file.version], [VECTOR_FORMAT, VECTOR_VERSION], "header");
    });
  }
  checkMessages(check, codecs, vectors.messages);
  checkFrames(check, vectors.frames);
  checkSessions(check, crypto, vectors.session);
  checkSectors(check, codecs, vectors.card);
  checkLogs(check, crypto, vectors.log);
  checkText(check, vectors.text);
  fuzz(check, codecs, vectors, crypto, options.seed ?? 1, options.fuzzRounds ?? 2000);
  check("every codec has a vector", () => {
    const covered = new Set([...vectors.messages.vectors, ...vectors.card.vectors].map(({ codec }) => codec));
    same(
      [...codecs.keys()].filter((name) => !covered.has(name)),
      [],
      "without a vector",
    );
  });
}

type Check = (name: string, action: () => void) => void;

function codecOf(codecs: Map<string, Codec>, name: string): Codec {
  const codec = codecs.get(name);
  if (!codec) throw new Error(`no codec ${name}`);
  return codec;
}

function bytesOf(vector: MessageVector): Uint8Array {
  return fromHex(vector.parts.map(([, hex]) => hex).join(""));
}

function checkMessages(check: Check, codecs: Map<string, Codec>, file: MessageVectors): void {
  for (const vector of file.vectors) {
    const bytes = bytesOf(vector);
    check(`${vector.name}: decodes and encodes`, () => {
      const codec = codecOf(codecs, vector.codec);
      same(codec.decode(bytes), revive(vector.value), "value");
      same(codec.encode(revive(vector.value)), bytes, "bytes");
    });
    check(`${vector.name}: every truncation is a DataError`, () => {
      const codec = codecOf(codecs, vector.codec);
      for (let i = 0; i < bytes.length; i++) {
        expect(
          codeOf(() => codec.decode(bytes.subarray(0, i))) !== undefined,
          `${String(i)} bytes were taken for a value`,
        );
      }
      same(
        codeOf(() => codec.decode(joined(bytes, Uint8Array.of(0)))),
        "long",
        "a byte too many",
      );
    });
    check(`${vector.name}: every flipped bit is a DataError or another value`, () => {
      const codec = codecOf(codecs, vector.codec);
      for (let bit = 0; bit < bytes.length * 8; bit++) isTotal(codec, flipped(bytes, bit));
    });
  }
  for (const { name, codec, bytes, error } of file.invalid) {
    check(`${name}: refused`, () => {
      same(
        codeOf(() => codecOf(codecs, codec).decode(fromHex(bytes))),
        error,
        "code",
      );
    });
  }
}

/** Decodes or throws a DataError; what it decodes encodes to the same bytes. */
function isTotal(codec: Codec, bytes: Uint8Array): void {
  let value: unknown;
  try {
    value = codec.decode(bytes);
  } catch (error) {
    if (error instanceof DataError) return;
    throw error;
  }
  if (codec.isLossy !== true) same(codec.encode(value), bytes, "re-encoded");
}

function checkFrames(check: Check, file: FrameVectors): void {
  for (const vector of file.vectors) {
    const bytes = fromHex(vector.bytes);
    const payload = fromHex(vector.payload);
    check(`frame ${vector.name}: header reads, whole frame encodes`, () => {
      const { type, channel } = vector;
      same(
        readFrameHeader(bytes, 0, MAX_FRAME_BYTES),
        { type, channel, payloadBytes: payload.length },
        "header",
      );
      same(bytes.subarray(FRAME_HEADER_BYTES), payload, "payload");
      same(encodeFrame(type, channel, payload), bytes, "bytes");
    });
    check(`frame ${vector.name}: every truncated header needs more`, () => {
      for (let i = 0; i < FRAME_HEADER_BYTES; i++) {
        same(readFrameHeader(bytes.subarray(0, i), 0, MAX_FRAME_BYTES), undefined, `${String(i)} bytes`);
      }
      for (let bit = 0; bit < FRAME_HEADER_BYTES * 8; bit++) {
        codeOf(() => readFrameHeader(flipped(bytes, bit), 0, MAX_FRAME_BYTES));
      }
    });
  }
  check("frames: one stream, byte by byte and in pieces", () => {
    const stream = joined(...file.vectors.map(({ bytes }) => fromHex(bytes)));
    const expected = file.vectors.map(({ bytes }) => bytes);
    const pending = new Uint8Array(2 * (FRAME_HEADER_BYTES + MAX_FRAME_BYTES));
    for (const step of [1, 7, 4096]) {
      const found: string[] = [];
      let used = 0;
      for (let at = 0; at < stream.length; at += step) {
        const piece = stream.subarray(at, at + step);
        pending.set(piece, used);
        used += piece.length;
        for (;;) {
          const header = readFrameHeader(pending.subarray(0, used), 0, MAX_FRAME_BYTES);
          const end = FRAME_HEADER_BYTES + (header?.payloadBytes ?? 0);
          if (!header || used < end) break;
          found.push(toHex(pending.subarray(0, end)));
          pending.copyWithin(0, end, used);
          used -= end;
        }
      }
      same(found, expected, `in steps of ${String(step)}`);
    }
  });
  for (const { name, bytes, maxPayloadBytes, error } of file.invalid) {
    check(`frame ${name}: refused`, () => {
      same(
        codeOf(() => readFrameHeader(fromHex(bytes), 0, maxPayloadBytes)),
        error,
        "code",
      );
    });
  }
  for (const { name, request, offsetBytes, data, payload } of file.bulk) {
    check(`${name}: header reads and writes`, () => {
      const bytes = fromHex(payload);
      same(readBulkHeader(bytes), { request, offsetBytes }, "header");
      const again = joined(new Uint8Array(7), fromHex(data));
      writeBulkHeader(again, 0, { request, offsetBytes });
      same(again, bytes, "bytes");
      for (let i = 0; i <= 7; i++)
        same(
          codeOf(() => readBulkHeader(bytes.subarray(0, i))),
          "short",
          `${String(i)} bytes`,
        );
    });
  }
  for (const { name, type, request, body, message } of file.control) {
    check(`control ${name}: reads and writes`, () => {
      same(decodeControl(fromHex(message)), { type, request, body: fromHex(body) }, "control");
      const rest: Field<Uint8Array> = {
        size: (value) => value.length,
        write: (writer, value) => {
          writer.put(value);
        },
        read: (reader) => reader.take(reader.remaining),
      };
      same(encodeControl(type, request, rest, fromHex(body)), fromHex(message), "bytes");
      for (let i = 0; i < 3; i++)
        same(
          codeOf(() => decodeControl(fromHex(message).subarray(0, i))),
          "short",
          `${String(i)} bytes`,
        );
    });
  }
}

function checkSessions(check: Check, crypto: SessionCrypto, file: SessionVectors): void {
  for (const vector of file.vectors) {
    const secret = fromHex(vector.secret);
    const initMessage = {
      minVersion: vector.init.minVersion,
      maxVersion: vector.init.maxVersion,
      pairing: fromHex(vector.pairingId),
      nonce: fromHex(vector.init.nonce),
    };
    const replyMessage = { ...vector.reply, nonce: fromHex(vector.reply.nonce) };
    check(`${vector.name}: pairing id, keys and proofs`, () => {
      same(pairingId(crypto, secret), fromHex(vector.pairingId), "pairing id");
      const keys = deriveSessionKeys(crypto, secret, vector.deviceName, initMessage, replyMessage);
      same(toHex(keys.deviceProof), vector.deviceProof, "device proof");
      same(toHex(keys.clientProof), vector.clientProof, "client proof");
      same(toHex(keys.clientToDevice), vector.clientToDevice, "client to device");
      same(toHex(keys.deviceToClient), vector.deviceToClient, "device to client");
      expect(isEqual(keys.deviceProof, fromHex(vector.deviceProof)), "isEqual of equal proofs");
      expect(!isEqual(keys.deviceProof, keys.clientProof), "isEqual of different proofs");
      expect(!isEqual(keys.deviceProof, keys.deviceProof.subarray(0, 31)), "isEqual of a prefix");
    });
    check(`${vector.name}: every input changes every key`, () => {
      const proofOf = (
        name: string,
        one: typeof initMessage,
        two: typeof replyMessage,
        key: Uint8Array,
      ): string => toHex(deriveSessionKeys(crypto, key, name, one, two).deviceProof);
      const others = [
        proofOf(`${vector.deviceName.slice(1)}b`, initMessage, replyMessage, secret),
        proofOf(
          vector.deviceName,
          { ...initMessage, nonce: flipped(initMessage.nonce, 0) },
          replyMessage,
          secret,
        ),
        proofOf(vector.deviceName, { ...initMessage, maxVersion: 2 }, replyMessage, secret),
        proofOf(
          vector.deviceName,
          initMessage,
          { ...replyMessage, nonce: flipped(replyMessage.nonce, 255) },
          secret,
        ),
        proofOf(vector.deviceName, initMessage, { ...replyMessage, maxRequests: 5 }, secret),
        proofOf(vector.deviceName, initMessage, replyMessage, flipped(secret, 100)),
      ];
      expect(
        !others.includes(vector.deviceProof) && new Set(others).size === others.length,
        "a key did not change",
      );
    });
    check(`${vector.name}: payloads of the handshake`, () => {
      const { payloads } = vector;
      same(joined(Uint8Array.of(0, 1), encode(init, initMessage)), fromHex(payloads.init), "init");
      const answer = joined(Uint8Array.of(0, 2), encode(reply, replyMessage), fromHex(vector.deviceProof));
      same(answer, fromHex(payloads.reply), "reply");
      same(joined(Uint8Array.of(0, 3), fromHex(vector.clientProof)), fromHex(payloads.finish), "finish");
    });
  }
  for (const { name, key, frames } of file.ciphers) {
    check(`cipher ${name}: seals and opens in order`, () => {
      const sealer = new ControlCipher({ crypto, key: fromHex(key) });
      const opener = new ControlCipher({ crypto, key: fromHex(key) });
      for (const { message, payload } of frames) {
        same(sealer.seal(fromHex(message)), fromHex(payload), "payload");
        same(opener.open(fromHex(payload)), fromHex(message), "message");
      }
    });
    check(`cipher ${name}: repeated, skipped, cut and flipped frames are forged`, () => {
      const opener = (): ControlCipher => new ControlCipher({ crypto, key: fromHex(key) });
      const [first, second] = frames.map(({ payload }) => fromHex(payload));
      if (!first || !second) throw new Error("needs two frames");
      same(
        codeOf(() => opener().open(second)),
        "forged",
        "the second frame first",
      );
      const once = opener();
      once.open(first);
      same(
        codeOf(() => once.open(first)),
        "forged",
        "the first frame again",
      );
      for (let i = 0; i < first.length; i++) {
        const code = codeOf(() => opener().open(first.subarray(0, i)));
        same(code, i < 17 ? "short" : "forged", `cut to ${String(i)} bytes`);
      }
      // Bit 0..7 is the kind, which decides whether a frame gets here at all.
      for (let bit = 8; bit < first.length * 8; bit++) {
        same(
          codeOf(() => opener().open(flipped(first, bit))),
          "forged",
          `bit ${String(bit)}`,
        );
      }
    });
  }
}

function checkSectors(check: Check, codecs: Map<string, Codec>, file: CardVectors): void {
  for (const vector of file.vectors) {
    const bytes = bytesOf(vector);
    check(`${vector.name}: decodes and encodes, whatever follows it`, () => {
      const codec = codecOf(codecs, vector.codec);
      same(codec.encode(revive(vector.value)), bytes, "bytes");
      for (const rest of [
        new Uint8Array(0),
        new Uint8Array(512 - bytes.length),
        new Uint8Array(100).fill(0xff),
      ]) {
        same(codec.decode(joined(bytes, rest)), revive(vector.value), "value");
      }
    });
    check(`${vector.name}: every truncation and every flipped bit is a DataError`, () => {
      const codec = codecOf(codecs, vector.codec);
      for (let i = 0; i < bytes.length; i++) {
        same(
          codeOf(() => codec.decode(bytes.subarray(0, i))),
          "short",
          `${String(i)} bytes`,
        );
        const torn = bytes.slice();
        torn.fill(0, i);
        if (show(torn) !== show(bytes))
          expect(codeOf(() => codec.decode(torn)) !== undefined, `torn at ${String(i)}`);
      }
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        expect(
          codeOf(() => codec.decode(flipped(bytes, bit))) !== undefined,
          `bit ${String(bit)} was not noticed`,
        );
      }
    });
  }
  for (const { name, codec, bytes, error } of file.invalid) {
    check(`card, ${name}: refused`, () => {
      same(
        codeOf(() => codecOf(codecs, codec).decode(fromHex(bytes))),
        error,
        "code",
      );
    });
  }
}

function checkLogs(check: Check, crypto: SessionCrypto, file: LogVectors): void {
  for (const { name, entries } of file.chains) {
    check(`log of ${name}: every hash follows from the one before`, () => {
      let previous = NO_ENTRY;
      for (const link of entries) {
        same(toHex(previous), link.previous, "previous");
        previous = entryHash(crypto, previous, fromHex(link.entry));
        same(toHex(previous), link.hash, "hash");
      }
    });
  }
}

function checkText(check: Check, file: TextVectors): void {
  for (const { name, codePoints, bytes } of file.valid) {
    check(`text, ${name}: decodes and encodes`, () => {
      const text = codePoints.map((point) => String.fromCodePoint(point)).join("");
      same(toHex(encodeUtf8(text)), bytes, "bytes");
      same(decodeUtf8(fromHex(bytes)), text, "text");
    });
  }
  for (const { name, bytes } of file.invalid) {
    check(`text, ${name}: refused`, () => {
      same(
        codeOf(() => decodeUtf8(fromHex(bytes))),
        "text",
        "code",
      );
    });
  }
  check("text: whatever it was, it is made to fit", () => {
    same(fitText("plain", 5), "plain", "fits");
    same(fitText("plain", 4), "plai", "cut");
    same(fitText("a\n\u009b\ud800b", 9), "a  ?b", "control characters and lone surrogates");
    same(fitText("éé", 3), "é", "cut between characters");
    same(fitText("\u{1f600}\u{1f600}", 7), "\u{1f600}", "cut between surrogate pairs");
  });
  check("text: a lone surrogate cannot be written", () => {
    for (const text of ["\ud800", "a\udfff", "\udc00\ud800"]) {
      let isRefused = false;
      try {
        encodeUtf8(text);
      } catch (error) {
        isRefused = error instanceof RangeError;
      }
      expect(isRefused, "a lone surrogate was encoded");
    }
  });
}

/** Random bytes, and vectors with a few bytes changed, cut or doubled, into every decoder. */
function fuzz(
  check: Check,
  codecs: Map<string, Codec>,
  vectors: ProtocolVectors,
  crypto: SessionCrypto,
  seed: number,
  rounds: number,
): void {
  const random = seededRandom(seed);
  const samples = [...vectors.messages.vectors, ...vectors.card.vectors].map(bytesOf);
  const input = (): Uint8Array => {
    if (random(3) === 0) return Uint8Array.from({ length: random(80) }, () => random(256));
    const sample = samples[random(samples.length)] ?? new Uint8Array(0);
    const bytes = sample.slice(0, random(4) === 0 ? random(sample.length + 1) : sample.length);
    for (let i = random(4); i > 0 && bytes.length > 0; i--)
      bytes[random(bytes.length)] = random(2) ? random(256) : 255 * random(2);
    return random(8) === 0 ? joined(bytes, bytes.subarray(random(bytes.length + 1))) : bytes;
  };
  const each = (name: string, action: (bytes: Uint8Array) => void): void => {
    check(`fuzz of ${name}, seed ${String(seed)}, ${String(rounds)} rounds`, () => {
      for (let round = 0; round < rounds; round++) {
        const bytes = input();
        try {
          action(bytes);
        } catch (error) {
          throw new Error(`round ${String(round)}, input ${toHex(bytes)}: ${String(error)}`, {
            cause: error,
          });
        }
      }
    });
  };
  for (const [name, codec] of codecs) {
    const isSector = name.startsWith("card.");
    each(name, (bytes) => {
      if (isSector) codeOf(() => codec.decode(bytes));
      else isTotal(codec, bytes);
    });
  }
  each("frame header", (bytes) => codeOf(() => readFrameHeader(bytes, random(8), MAX_FRAME_BYTES)));
  each("bulk header", (bytes) => codeOf(() => readBulkHeader(bytes)));
  each("control header", (bytes) => codeOf(() => decodeControl(bytes)));
  each("text", (bytes) => {
    let text: string | undefined;
    if (codeOf(() => (text = decodeUtf8(bytes))) === undefined)
      same(encodeUtf8(text ?? ""), bytes, "re-encoded");
  });
  each("control cipher", (bytes) => {
    const cipher = new ControlCipher({ crypto, key: new Uint8Array(32) });
    expect(codeOf(() => cipher.open(bytes)) !== undefined, "garbage was taken for a control frame");
  });
}
