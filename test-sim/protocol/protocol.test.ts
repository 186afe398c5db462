// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { nodeCrypto } from "../../host-tools/remote/node-crypto";
import { decodeUtf8, encodeUtf8 } from "../../firmware/protocol/utf8";
import { DataError } from "../../firmware/protocol/data-error";
import { join } from "../../firmware/protocol/link-messages";
import { decode, record, variable } from "../../firmware/protocol/message";
import { verbs } from "../../firmware/protocol/verbs";
import { runProtocolChecks, seededRandom } from "./protocol-checks";
import { loadProtocolVectors } from "./load-vectors";

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 2 ** 31);

describe(`protocol on Node (FUZZ_SEED=${String(seed)})`, () => {
  it("passes every check of vectors, truncations, flipped bits and fuzz", function () {
    this.timeout(60_000);
    const problems: string[] = [];
    let checks = 0;
    runProtocolChecks(
      loadProtocolVectors(),
      nodeCrypto,
      (name, problem) => {
        checks++;
        if (problem !== undefined) problems.push(`${name}: ${problem}`);
      },
      { seed },
    );
    assert.deepEqual(problems, []);
    assert.ok(checks > 250, `only ${String(checks)} checks ran`);
  });

  it("judges every text as the platform's own UTF-8 codec does", () => {
    const random = seededRandom(seed);
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    // Bytes near the edges of the encoding, so that random strings are often well-formed.
    const edges = [
      0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4,
      0xf5,
    ];
    for (let round = 0; round < 50_000; round++) {
      const bytes = Uint8Array.from({ length: random(7) }, () => edges[random(edges.length)] ?? 0);
      let expected: string | undefined;
      try {
        expected = strict.decode(bytes);
      } catch {
        expected = undefined;
      }
      let actual: string | undefined;
      try {
        actual = decodeUtf8(bytes);
      } catch (error) {
        assert.ok(error instanceof DataError);
      }
      assert.equal(actual, expected, `${Buffer.from(bytes).toString("hex")}, seed ${String(seed)}`);
      if (actual !== undefined)
        assert.deepEqual([...encodeUtf8(actual)], [...new TextEncoder().encode(actual)]);
    }
  });

  it("gives values that stay as they are when the bytes they came from are used again, also from a Buffer", () => {
    for (const bytes of [Buffer.alloc(34, 7), new Uint8Array(34).fill(7)]) {
      const { ticket } = decode(join, bytes.subarray(0, 32));
      bytes.set([0, 32]);
      const { entry } = decode(record({ entry: variable(40) }), bytes);
      bytes.fill(9);
      assert.deepEqual([...ticket], new Array(32).fill(7));
      assert.deepEqual([...entry], new Array(32).fill(7));
    }
  });

  it("allocates nothing for a length that the bytes do not back", () => {
    const bomb = new Uint8Array(68);
    bomb.set([0x0c, 0x00], 64); // an entry of 3072 bytes, none of which follows
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 20_000; i++) {
      assert.throws(() => decode(verbs.logAppend.request, bomb), DataError);
    }
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 20_000 * 512, `${String(grown)} bytes of buffers for 20,000 refused messages`);
  });
});
