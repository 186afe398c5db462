// SPDX-License-Identifier: MIT
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { chmod, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { keySecretFor } from "./key-source";
import { type Keychain, KeychainKey, systemKeychain } from "./keychain";
import { makeKeyfile, readKeyfile } from "./keyfile";
import { State, configVersion } from "./state";
import { temporaryFolder } from "./test/temporary-folder";

class FakeKeychain implements Keychain {
  readonly entries = new Map<string, Uint8Array>();
  failure: Error | undefined;

  get(account: string): Promise<Uint8Array | undefined> {
    return this.failure ? Promise.reject(this.failure) : Promise.resolve(this.entries.get(account));
  }

  set(account: string, secret: Uint8Array): Promise<void> {
    if (this.failure) return Promise.reject(this.failure);
    this.entries.set(account, secret);
    return Promise.resolve();
  }

  delete(account: string): Promise<void> {
    this.entries.delete(account);
    return Promise.resolve();
  }
}

describe("where the key comes from", () => {
  const base = temporaryFolder();
  let folder = "";
  let tests = 0;
  let state: State;
  let keychain: FakeKeychain;
  let keychainKey: KeychainKey;
  const warnings: string[] = [];
  const onWarning = (text: string): void => void warnings.push(text);

  beforeEach(async () => {
    folder = join(base.path, String(tests++));
    state = new State(join(folder, "home"));
    await state.makeHome();
    await state.saveConfig({
      version: configVersion,
      relay: { host: "127.0.0.1", port: 1 },
      client: "laptop",
      repositoryId: "ab".repeat(16),
      createdAt: "2026-01-01T00:00:00.000Z",
    });
    keychain = new FakeKeychain();
    keychainKey = new KeychainKey(state, keychain);
    warnings.length = 0;
  });

  it("a keyfile comes before everything, and one given by an option before one of the environment", async () => {
    const one = await makeKeyfile(join(folder, "one"));
    const two = await makeKeyfile(join(folder, "two"));
    equal((await stat(join(folder, "one"))).mode & 0o777, 0o600);
    const environment = { COFFER_KEYFILE: join(folder, "two"), COFFER_PASSPHRASE: "typed" };
    const options = { environment, keychainKey, onWarning };
    deepEqual(await keySecretFor(state, { ...options, keyfile: join(folder, "one") }), {
      kind: "keyfile",
      bytes: one,
    });
    deepEqual(await keySecretFor(state, options), { kind: "keyfile", bytes: two });
    await writeFile(join(folder, "passphrase"), "from a file\n");
    const passphraseFile = join(folder, "passphrase");
    equal(await keySecretFor(state, { ...options, passphraseFile }), "from a file");
    await rejects(keySecretFor(state, { ...options, passphraseFile, keyfile: join(folder, "one") }), {
      kind: "usage",
    });
  });

  it("a keyfile that others can read, of another size or missing is refused by its name", async () => {
    const path = join(folder, "key");
    await makeKeyfile(path);
    await rejects(makeKeyfile(path), { kind: "alreadyExists" });
    await chmod(path, 0o640);
    await rejects(readKeyfile(path), {
      kind: "localPermission",
      message: `the keyfile ${path} can be read by others than its owner`,
    });
    await chmod(path, 0o600);
    await writeFile(path, "x".repeat(33));
    await rejects(readKeyfile(path), { kind: "damagedState", message: /33 bytes instead of 32/ });
    await rejects(readKeyfile(join(folder, "nowhere")), { kind: "localPathNotFound" });
  });

  it("the keychain answers once it was switched on, and anything given comes before it", async () => {
    const secret = Buffer.alloc(32, 7);
    const options = { environment: { COFFER_PASSPHRASE: "" }, keychainKey, onWarning };
    await rejects(keySecretFor(state, options), { kind: "noPassphrase" });
    await keychainKey.keep(secret);
    await keychainKey.use("0123456789abcdef");
    deepEqual(await keySecretFor(state, options), { kind: "keychain", bytes: secret });
    equal(await keySecretFor(state, { ...options, environment: { COFFER_PASSPHRASE: "given" } }), "given");
    await rejects(keySecretFor(state, { ...options, mayUseKeychain: false }), { kind: "noPassphrase" });
    await keychainKey.forget();
    equal(keychain.entries.size, 0);
    equal(await keychainKey.slotId(), undefined);
  });

  it("a keychain that fails or has lost its key is a warning, and the passphrase is asked for", async () => {
    await keychainKey.keep(Buffer.alloc(32, 7));
    await keychainKey.use("0123456789abcdef");
    const options = { environment: {}, keychainKey, onWarning };
    keychain.failure = new Error("locked");
    await rejects(keySecretFor(state, options), { kind: "noPassphrase" });
    keychain.failure = undefined;
    keychain.entries.clear();
    await rejects(keySecretFor(state, options), { kind: "noPassphrase" });
    equal(warnings.length, 2);
    match(warnings[0] ?? "", /keychain of this system cannot be read \(locked\); the passphrase is needed/);
    match(warnings[1] ?? "", /has no key for this repository any more/);
  });

  it("without a Secret Service the real keychain refuses in one sentence", async function () {
    if (process.platform !== "linux") this.skip();
    const before = process.env["DBUS_SESSION_BUS_ADDRESS"];
    process.env["DBUS_SESSION_BUS_ADDRESS"] = `unix:path=${join(folder, "no-bus")}`;
    try {
      await rejects(new KeychainKey(state, systemKeychain()).keep(Buffer.alloc(32)), (error: Error) => {
        ok(/^the keychain of this system cannot be written \(/.test(error.message), error.message);
        equal((error as Error & { kind: string }).kind, "keychainUnusable");
        return true;
      });
    } finally {
      if (before === undefined) delete process.env["DBUS_SESSION_BUS_ADDRESS"];
      else process.env["DBUS_SESSION_BUS_ADDRESS"] = before;
    }
  });
});
