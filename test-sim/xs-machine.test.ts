// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { bundleFirmware } from "./firmware-bundle";
import { xsBoardProgram } from "./xs-build";
import { DEFAULT_CREATION } from "./xs-creation";
import type { XsExit } from "./xs-exit";
import { XsMachine, type XsMachineOptions } from "./xs-machine";

const BUILD_MS = 180_000; // the first run compiles the engine

describe("XsMachine", () => {
  before(async function () {
    this.timeout(BUILD_MS);
    await xsBoardProgram();
  });

  const machines: XsMachine[] = [];
  afterEach(async () => {
    await Promise.all(machines.splice(0).map((machine) => machine.kill()));
  });

  async function run(body: string, options: Partial<XsMachineOptions> = {}): Promise<XsMachine> {
    const onCall = (request: Uint8Array) => request;
    const machine = await XsMachine.start({ name: "test", source: firmware(body), onCall, ...options });
    machines.push(machine);
    return machine;
  }
  const firmware = (body: string) =>
    /\bexport\b/.test(body) ? body : `export default function start() {${body}}`;
  const endOf = async (body: string, options: Partial<XsMachineOptions> = {}): Promise<XsExit> =>
    (await run(body, options)).exited;

  it("runs the firmware's start and tells the counters", async () => {
    const counters = await (await run("")).idle();
    assert.ok(counters.slots > 0 && counters.slots < 200, `${String(counters.slots)} slots for nothing`);
    assert.equal(counters.slotsLimit, DEFAULT_CREATION.heap.initial - 1); // one slot is the heap's own
    assert.equal(counters.stackSlotsLimit, DEFAULT_CREATION.stack);
    assert.equal(counters.keysLimit, DEFAULT_CREATION.keys.available);
    assert.ok(counters.instructions > 0);
  });

  it("passes a host call's bytes both ways", async () => {
    const seen: string[] = [];
    const machine = await run(
      `const into = new Uint8Array(8);
       const given = hostCall(Uint8Array.of(1, 2), undefined, Uint8Array.of(3));
       hostTrace(new Uint8Array(given).join());
       hostTrace(hostCall(Uint8Array.of(7, 8, 9).subarray(1), into) + ":" + into.join());`,
      { onTrace: (text) => seen.push(text) },
    );
    await machine.idle();
    assert.deepEqual(seen, ["1,2,3", "2:8,9,0,0,0,0,0,0"]);
  });

  it("waits for an asynchronous answer", async () => {
    const seen: string[] = [];
    const machine = await run(`hostTrace(String(new Uint8Array(hostCall(Uint8Array.of(1)))[0]));`, {
      onCall: async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return Uint8Array.of(42);
      },
      onTrace: (text) => seen.push(text),
    });
    await machine.idle();
    assert.deepEqual(seen, ["42"]);
  });

  it("throws a refused host call inside the firmware", async () => {
    const seen: string[] = [];
    const machine = await run(`try { hostCall(Uint8Array.of(1)) } catch (e) { hostTrace(e.message) }`, {
      onCall: () => {
        throw new Error("full: no room");
      },
      onTrace: (text) => seen.push(text),
    });
    await machine.idle();
    assert.match(seen.join(), /full: no room$/);
  });

  it("refuses an answer that does not fit the caller's buffer", async () => {
    const seen: string[] = [];
    const machine = await run(
      `try { hostCall(new Uint8Array(9), new Uint8Array(8)) } catch (e) { hostTrace(e.constructor.name) }
       hostTrace(String(hostCall(new Uint8Array(3), new Uint8Array(8))));`,
      { onTrace: (text) => seen.push(text) },
    );
    await machine.idle();
    assert.deepEqual(seen, ["RangeError", "3"]);
  });

  it("delivers events one by one, promise jobs between them", async () => {
    const seen: string[] = [];
    const machine = await run(
      `globalThis.onHostEvent = (bytes) => {
         const n = new Uint8Array(bytes)[0];
         hostTrace("event " + n);
         Promise.resolve().then(() => hostTrace("job " + n));
       };`,
      { onTrace: (text) => seen.push(text) },
    );
    for (const n of [1, 2]) machine.send(Uint8Array.of(n));
    await machine.idle();
    assert.deepEqual(seen, ["event 1", "job 1", "event 2", "job 2"]);
  });

  it("ends with outOfMemory when the slots are used up", async () => {
    const exit = await endOf("const all = []; for (;;) all.push({});");
    assert.equal(exit.reason, "outOfMemory");
    assert.match(exit.text, /[Ss]lot/);
    assert.equal(exit.counters?.slots, exit.counters?.slotsLimit);
  });

  it("ends with outOfMemory when the chunks are used up, and cannot be caught", async () => {
    const exit = await endOf("const all = []; try { for (;;) all.push(new ArrayBuffer(1000)); } catch {}");
    assert.equal(exit.reason, "outOfMemory");
    assert.match(exit.text, /Chunk/);
  });

  it("ends with stackOverflow", async () => {
    assert.equal(
      (await endOf("export default function start() { return start() + 1; }")).reason,
      "stackOverflow",
    );
  });

  it("ends with outOfKeys", async () => {
    assert.equal((await endOf("for (let i = 0; ; i++) ({})['key' + i] = i;")).reason, "outOfKeys");
  });

  it("ends with the exception and where it came from", async () => {
    const exit = await endOf("throw new TypeError('no good');");
    assert.equal(exit.reason, "unhandledException");
    assert.match(exit.text, /TypeError: .*no good/);
  });

  it("ends when a module throws while it is loaded", async () => {
    const exit = await endOf("throw new Error('at load'); export default function start() {}");
    assert.equal(exit.reason, "unhandledException");
    assert.match(exit.text, /at load/);
  });

  it("ends with an unhandled rejection, but not with a handled one", async () => {
    assert.match((await endOf("Promise.reject(new Error('lost'));")).text, /lost/);
    await (await run("Promise.reject(new Error('kept')).catch(() => {});")).idle();
  });

  it("ends an event that takes too many instructions", async () => {
    const exit = await endOf("globalThis.onHostEvent = () => {}; for (;;);", {
      watchdogInstructions: 1_000_000,
    });
    assert.equal(exit.reason, "watchdog");
  });

  it("freezes what flash would freeze", async () => {
    const seen: string[] = [];
    const machine = await run(
      `const table = new Map(), list = [1], bytes = new Uint8Array(1);
       let count = 0;
       class Thing {}
       const attempt = (name, f) => { try { f(); hostTrace(name); } catch (e) { hostTrace("not " + name); } };
       export default function start() {
         attempt("map", () => table.set(1, 1));
         attempt("bytes", () => (bytes[0] = 1));
         attempt("class", () => (Thing.x = 1));
         attempt("prototype", () => (Array.prototype.x = 1));
         attempt("own name", () => (new Error().name = "X"));
         attempt("array", () => list.push(2));
         attempt("variable", () => count++);
       }`,
      { onTrace: (text) => seen.push(text) },
    );
    await machine.idle();
    const expected = [
      "not map",
      "not bytes",
      "not class",
      "not prototype",
      "not own name",
      "array",
      "variable",
    ];
    assert.deepEqual(seen, expected);
  });

  it("survives many garbage collections with preloaded objects in use", async () => {
    const seen: string[] = [];
    const machine = await run(
      `const list = ["a", 2n ** 70n, "c".repeat(3)], pattern = /x(y)/, names = { key: "value" };
       class Counter { #count = 0; next() { return ++this.#count; } }
       const counter = new Counter();
       export default function start() {
         names.other = "late";
         let kept = [];
         for (let i = 0; i < 20000; i++) {
           "z".repeat(i % 400); pattern.exec("ab" + i); counter.next();
           if (i % 7 === 0) kept.push("k" + i, [i, "b" + i]);
           if (kept.length > 60) kept = [];
         }
         list[0] = "A" + kept.length;
         hostTrace([list.join(), pattern.exec("xy")[1], names.key, names.other, counter.next()].join(" "));
       }`,
      { onTrace: (text) => seen.push(text) },
    );
    const counters = await machine.idle();
    assert.deepEqual(seen, ["A12,1180591620717411303424,ccc y value late 20001"]);
    assert.ok(counters.collections > 50, `${String(counters.collections)} collections`);
  });

  it("gives every dropped slot and byte back to a collection", async () => {
    const machine = await run(
      `globalThis.onHostEvent = () => { for (let i = 0; i < 500; i++) [i, "s" + i]; };`,
    );
    const before = await machine.collectGarbage();
    for (let i = 0; i < 20; i++) machine.send(new Uint8Array(100));
    await machine.idle();
    const after = await machine.collectGarbage();
    assert.deepEqual([after.slots, after.chunkBytes], [before.slots, before.chunkBytes]);
  });

  it("stops at once when the plug is pulled", async () => {
    let calls = 0;
    const machine = await run("for (;;) hostCall(Uint8Array.of(1));", {
      onCall: () => {
        if (++calls === 5) void machine.kill();
        return new Uint8Array(0);
      },
    });
    assert.equal((await machine.exited).reason, "powerCut");
    assert.equal(calls, 5);
    assert.doesNotThrow(() => {
      machine.send(new Uint8Array(1));
    });
    await assert.rejects(machine.idle(), /powerCut/);
  });

  it("names the .ts file and line of an error in a bundle", async () => {
    const folder = await mkdtemp(join(tmpdir(), "coffer-bundle-"));
    try {
      await writeFile(
        join(folder, "part.ts"),
        "// one\nexport function fail(at: string): never {\n\n  throw new Error(`failed ${at}`);\n}\n",
      );
      await writeFile(
        join(folder, "entry.ts"),
        'import { fail } from "./part";\nexport default function start() {\n  fail("here");\n}\n',
      );
      const exit = await endOf(await bundleFirmware(join(folder, "entry.ts"), { absoluteNames: true }));
      assert.match(exit.text, /failed here\n at fail \(.*part\.ts:4\)\n at start \(.*entry\.ts:3\)/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("speaks to a debugger that listens", async () => {
    const said = new Promise<string>((resolve, reject) => {
      const server = createServer((socket) => {
        socket.once("data", (bytes: Buffer) => {
          socket.end("\r\n<go/>\r\n");
          server.close();
          resolve(bytes.toString());
        });
        socket.on("error", () => undefined);
      });
      server.on("error", reject);
      server.listen(0, "127.0.0.1", () => {
        const address = server.address();
        if (address === null || typeof address === "string") throw new Error("no port");
        void run("", { xsbug: `127.0.0.1:${String(address.port)}` }).then((machine) => machine.idle());
      });
    });
    assert.match(await said, /<xsbug><login name="test"/);
  });
});
