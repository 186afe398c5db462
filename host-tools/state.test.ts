// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { initialise } from "./initialise";
import { isName, nameFrom } from "./names";
import { Refusal } from "./refusal";
import { type Config, State, configVersion, resolveHome } from "./state";
import { withStateLock } from "./state-lock";
import { temporaryFolder } from "./test/temporary-folder";

const config: Config = {
  version: configVersion,
  relay: { host: "relay.example.org", port: 4433 },
  client: "laptop",
  repositoryId: "00",
  createdAt: "2026-01-01T00:00:00.000Z",
};

describe("state folder", () => {
  const folder = temporaryFolder();
  let count = 0;
  const freshState = (): State => new State(join(folder.path, String((count += 1))));

  it("--home wins over $COFFER_HOME, which wins over the platform's folder", () => {
    assert.equal(resolveHome("/a", { COFFER_HOME: "/b" }), "/a");
    assert.equal(resolveHome(undefined, { COFFER_HOME: "/b" }), "/b");
    if (process.platform !== "linux") return;
    assert.equal(resolveHome(undefined, { COFFER_HOME: "", XDG_CONFIG_HOME: "/x" }), "/x/coffer");
    assert.equal(
      resolveHome(undefined, { XDG_CONFIG_HOME: "relative" }),
      join(homedir(), ".config", "coffer"),
    );
  });

  it("a configuration comes back as it was saved, and nothing else is left in the folder", async () => {
    const state = freshState();
    await state.saveConfig(config);
    await state.saveConfig({ ...config, client: "desktop" });
    assert.deepEqual(await state.loadConfig(), { ...config, client: "desktop" });
    assert.deepEqual(await readdir(state.home), ["config.json"]);
  });

  it("an absent, damaged or newer configuration is refused", async () => {
    const state = freshState();
    await assert.rejects(state.loadConfig(), { kind: "notInitialised" });
    await mkdir(state.home);
    for (const [text, kind] of [
      ["", "damagedState"],
      ["[]", "damagedState"],
      ["{}", "damagedState"],
      ['{"version":1}', "damagedState"],
      [JSON.stringify({ ...config, client: "../x" }), "damagedState"],
      [JSON.stringify({ version: configVersion + 1, anything: true }), "newerVersion"],
    ] as const) {
      await writeFile(state.configPath, text);
      await assert.rejects(state.loadConfig(), { kind }, text);
    }
  });

  it("a damaged pairing is refused", async () => {
    const state = freshState();
    await state.saveDevice({
      version: 1,
      name: "cam1",
      pairingSecret: "00",
      createdAt: config.createdAt,
      certificateSerial: "00",
    });
    await assert.rejects(state.loadDevice("cam1"), { kind: "damagedState" });
    assert.deepEqual(await state.listDevices(), ["cam1"]);
  });

  it("no name leads out of the folder", async () => {
    const state = freshState();
    for (const name of ["..", "a/b", "", "-x", "ä", "A", "x".repeat(33), "a.b"]) {
      assert.ok(!isName(name), name);
      await assert.rejects(state.loadDevice(name), { kind: "usage" });
      await assert.rejects(state.loadIdentity("client", name), { kind: "usage" });
    }
  });

  it("any host name becomes a name", () => {
    assert.equal(nameFrom("Änna's MacBook.local", "x"), "anna-s-macbook");
    assert.equal(nameFrom("host.example.org", "x"), "host-example-org");
    assert.equal(nameFrom("日本", "x"), "x");
    assert.equal(nameFrom(`${"a".repeat(31)}-b`, "x"), "a".repeat(31));
  });

  it("the lock admits one at a time and is taken over from a process that is gone", async () => {
    const state = freshState();
    await mkdir(state.home);
    await writeFile(join(state.home, "lock"), "4194305\n");
    let inside = 0;
    let most = 0;
    await Promise.all(
      [1, 2, 3].map(() =>
        withStateLock(state, async () => {
          inside += 1;
          most = Math.max(most, inside);
          await new Promise((resolve) => setTimeout(resolve, 5));
          inside -= 1;
        }),
      ),
    );
    assert.equal(most, 1);
    assert.deepEqual(await readdir(state.home), []);
  });

  describe("initialising", function () {
    this.slow(2000);
    const options = {
      relay: config.relay,
      relayName: "home",
      clientName: "laptop",
      hosts: ["relay.example.org"],
      passphrase: "x",
    };

    it("clears up when the repository's keys cannot be made, and can be repeated", async () => {
      const state = freshState();
      const createRepository = (): Promise<never> => Promise.reject(new Refusal("localDiskFull", "full"));
      await assert.rejects(initialise(state, { ...options, createRepository }), { kind: "localDiskFull" });
      assert.deepEqual(await readdir(state.home), []);
    });

    it("starts over where an earlier attempt was cut off", async () => {
      const state = freshState();
      await mkdir(join(state.home, "identities", "client"), { recursive: true });
      await writeFile(join(state.home, "initialising"), "");
      const createRepository = (): Promise<{ repositoryId: string }> =>
        Promise.resolve({ repositoryId: "77" });
      await initialise(state, { ...options, createRepository });
      assert.equal((await state.loadConfig()).repositoryId, "77");
      assert.deepEqual(await state.listIdentities("relay"), ["home"]);
      await assert.rejects(initialise(state, { ...options, createRepository }), { kind: "alreadyExists" });
    });

    it("leaves a folder alone that holds something else of the same name", async () => {
      const state = freshState();
      await mkdir(join(state.home, "repository"), { recursive: true });
      const createRepository = (): Promise<never> => Promise.reject(new Error("never called"));
      await assert.rejects(initialise(state, { ...options, createRepository }), { kind: "alreadyExists" });
    });
  });
});
