// SPDX-License-Identifier: MIT
/* eslint-disable @typescript-eslint/require-await -- a case that has nothing to wait for has the same shape */
/** The cryptography port against published vectors: FIPS 180-4, RFC 4231, NIST's AES-256-GCM set. */
import type { Crypto } from "../../firmware/core/io";
import { type PortCase, check, equal, equalBytes, fromHex, pattern } from "./case";

const ascii = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

const KEY = fromHex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
const NONCE = fromHex("cafebabefacedbaddecaf888");
const ADDITIONAL = fromHex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
const PLAINTEXT = fromHex(
  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
);
const SEALED = fromHex(
  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
    "76fc6ece0f4e1768cddf8853bb2d551b",
);

export const cryptoCases: PortCase<Crypto>[] = [
  {
    name: "SHA-256 of a text, of nothing, and of pieces",
    async run(crypto) {
      const one = crypto.createSha256();
      one.write(ascii("abc"));
      const abc = fromHex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
      equalBytes(one.close(), abc, "abc");
      const none = fromHex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
      equalBytes(crypto.createSha256().close(), none, "nothing");
      const whole = crypto.createSha256();
      const pieces = crypto.createSha256();
      whole.write(pattern(10_000));
      for (let at = 0; at < 10_000; at += 997)
        pieces.write(pattern(10_000).subarray(at, Math.min(10_000, at + 997)));
      equalBytes(pieces.close(), whole.close(), "pieces");
    },
  },
  {
    name: "HMAC-SHA-256 with a short and a long key",
    async run(crypto) {
      equalBytes(
        crypto.hmacSha256(ascii("Jefe"), ascii("what do ya want for nothing?")),
        fromHex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        "RFC 4231 case 2",
      );
      equalBytes(
        crypto.hmacSha256(
          new Uint8Array(131).fill(0xaa),
          ascii("Test Using Larger Than Block-Size Key - Hash Key First"),
        ),
        fromHex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
        "RFC 4231 case 6",
      );
    },
  },
  {
    name: "AES-256-GCM seals as the vector says, and opens it",
    async run(crypto) {
      equalBytes(crypto.seal(KEY, NONCE, ADDITIONAL, PLAINTEXT), SEALED, "sealed");
      const opened = crypto.open(KEY, NONCE, ADDITIONAL, SEALED);
      check(opened !== undefined, "not opened");
      equalBytes(opened, PLAINTEXT, "opened");
    },
  },
  {
    name: "any changed bit, key, nonce or additional data opens nothing",
    async run(crypto) {
      for (let i = 0; i < SEALED.length; i += 7) {
        const changed = SEALED.slice();
        changed[i] = (changed[i] ?? 0) ^ 1;
        equal(crypto.open(KEY, NONCE, ADDITIONAL, changed), undefined, `byte ${String(i)}`);
      }
      equal(crypto.open(KEY, NONCE, ADDITIONAL.subarray(1), SEALED), undefined, "additional data");
      equal(crypto.open(KEY.slice().reverse(), NONCE, ADDITIONAL, SEALED), undefined, "key");
      equal(crypto.open(KEY, NONCE.slice().reverse(), ADDITIONAL, SEALED), undefined, "nonce");
      equal(crypto.open(KEY, NONCE, ADDITIONAL, SEALED.subarray(0, 15)), undefined, "less than a tag");
    },
  },
  {
    name: "an empty plaintext is sealed and opened",
    async run(crypto) {
      const sealed = crypto.seal(KEY, NONCE, new Uint8Array(0), new Uint8Array(0));
      equal(sealed.length, 16, "length");
      equal(crypto.open(KEY, NONCE, new Uint8Array(0), sealed)?.length, 0, "length opened");
    },
  },
];
