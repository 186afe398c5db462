// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "../test/temporary-folder";
import { writePrivateFile } from "../private-files";
import { State } from "../state";
import { issue, listCertificates, loadRevoked, makeAuthorities, renew, revokeIdentity } from "./authorities";
import { readCertificate } from "./certificate-facts";
import {
  addDevice,
  chooseCertsFolder,
  firmwareFileNames,
  refreshFirmwareFiles,
  removeDevice,
} from "./device-provisioning";

const dayMs = 86_400_000;

describe("authorities on disk", function () {
  this.slow(1500);
  const folder = temporaryFolder();
  const relay = { host: "localhost", port: 4433 };
  let state: State;
  before(async () => {
    state = new State(join(folder.path, "home"));
    await makeAuthorities(state);
  });

  it("every file is readable by its owner only", async () => {
    await issue(state, { role: "relay", name: "modes", hosts: ["localhost"] });
    await addDevice(state, "modes", { relay, certsFolder: join(state.home, "certs") });
    const check = async (path: string): Promise<number> => {
      const facts = await stat(path);
      assert.equal(facts.mode & 0o777, facts.isDirectory() ? 0o700 : 0o600, path);
      if (!facts.isDirectory()) return 1;
      let files = 0;
      for (const name of await readdir(path)) files += await check(join(path, name));
      return files;
    };
    assert.ok((await check(state.home)) >= 17);
  });

  it("an identity holds what a TLS end needs", async () => {
    await issue(state, { role: "client", name: "laptop", hosts: [] });
    const identity = await state.loadIdentity("client", "laptop");
    const [leaf, authority] = identity.chain.split(/(?<=-----END CERTIFICATE-----\n)/);
    assert.equal(leaf, identity.certificate);
    assert.ok(new X509Certificate(identity.certificate).checkIssued(new X509Certificate(authority ?? "")));
    assert.ok(new X509Certificate(identity.certificate).checkPrivateKey(createPrivateKey(identity.key)));
    assert.match(readCertificate(identity.ca).name, /^Coffer relay authority /);
    assert.match(identity.crl ?? "", /BEGIN X509 CRL/);
  });

  it("a name that is taken is refused", async () => {
    await issue(state, { role: "keyholder", name: "twice", hosts: ["localhost"] });
    await assert.rejects(issue(state, { role: "keyholder", name: "twice", hosts: ["localhost"] }), {
      kind: "alreadyExists",
    });
  });

  it("renewal keeps name, hosts and key, and makes a new serial", async () => {
    const hosts = ["relay.example.org", "192.0.2.7", "2001:db8::7"];
    const first = await issue(state, { role: "relay", name: "renewed", hosts, days: 1 });
    const key = (await state.loadIdentity("relay", "renewed")).key;
    const second = await renew(state, "relay", "renewed");
    assert.deepEqual(
      { ...second, serial: "", notBefore: 0, notAfter: 0, state: "" },
      {
        ...first,
        serial: "",
        notBefore: 0,
        notAfter: 0,
        state: "",
      },
    );
    assert.notEqual(second.serial, first.serial);
    assert.ok(second.notAfter > first.notAfter);
    assert.deepEqual([first.state, second.state], ["expires soon", "valid"]);
    assert.equal((await state.loadIdentity("relay", "renewed")).key, key);
  });

  it("renewal with a new key changes the key, and can revoke what it replaces", async () => {
    const first = await issue(state, { role: "registry", name: "rekeyed", hosts: ["localhost"] });
    const key = (await state.loadIdentity("registry", "rekeyed")).key;
    const second = await renew(state, "registry", "rekeyed", { newKey: true, revokeOld: true });
    assert.notEqual((await state.loadIdentity("registry", "rekeyed")).key, key);
    const revoked = await loadRevoked(state, "relay");
    assert.ok(revoked.has(first.serial));
    assert.ok(!revoked.has(second.serial));
  });

  it("revoking reaches the certificates that a renewal replaced", async () => {
    const first = await issue(state, { role: "client", name: "lost", hosts: [] });
    const second = await renew(state, "client", "lost");
    assert.equal(await revokeIdentity(state, "client", "lost"), 2);
    assert.equal(await revokeIdentity(state, "client", "lost"), 0);
    const revoked = await loadRevoked(state, "device");
    assert.ok(revoked.has(first.serial) && revoked.has(second.serial));
    await assert.rejects(renew(state, "client", "lost"), { kind: "certificateRevoked" });
  });

  it("after a revocation the name can be used again, with a new key", async () => {
    await issue(state, { role: "client", name: "again", hosts: [] });
    const key = (await state.loadIdentity("client", "again")).key;
    await revokeIdentity(state, "client", "again");
    const record = await issue(state, { role: "client", name: "again", hosts: [] });
    assert.equal(record.state, "valid");
    assert.notEqual((await state.loadIdentity("client", "again")).key, key);
  });

  it("revocations at the same moment are all kept", async () => {
    const names = ["burst-1", "burst-2", "burst-3"];
    const records = await Promise.all(names.map((name) => issue(state, { role: "client", name, hosts: [] })));
    await Promise.all(names.map((name) => revokeIdentity(state, "client", name)));
    const revoked = await loadRevoked(state, "device");
    for (const { serial } of records) assert.ok(revoked.has(serial));
  });

  it("a lost list of revoked certificates is refused, never begun anew", async () => {
    const path = state.authorityPaths("device").crl;
    const list = await readFile(path);
    await issue(state, { role: "client", name: "listless", hosts: [] });
    await rm(path);
    await assert.rejects(revokeIdentity(state, "client", "listless"), { kind: "damagedState" });
    await writeFile(path, list);
  });

  it("the list tells valid, about to expire, expired, revoked and replaced apart", async () => {
    const now = Date.now();
    await issue(state, { role: "keyholder", name: "short", hosts: ["localhost"], days: 1 });
    await issue(
      state,
      { role: "keyholder", name: "old", hosts: ["localhost"], days: 1 },
      new Date(now - 5 * dayMs),
    );
    await issue(state, { role: "keyholder", name: "bad", hosts: ["localhost"] });
    await revokeIdentity(state, "keyholder", "bad");
    await issue(state, { role: "keyholder", name: "good", hosts: ["localhost"] });
    await renew(state, "keyholder", "good");
    const states = async (all: boolean): Promise<string[]> =>
      (await listCertificates(state, { all }))
        .filter(({ role, name }) => role === "keyholder" && name !== "twice")
        .map((record) => `${record.name}: ${record.state}`);
    const current = ["bad: revoked", "good: valid", "old: expired", "short: expires soon"];
    assert.deepEqual(await states(false), current);
    assert.deepEqual(await states(true), [...current, "good: replaced"]);
  });

  it("where an authority's key is not, nothing is signed", async () => {
    const away = new State(join(folder.path, "away"));
    await assert.rejects(issue(away, { role: "client", name: "x", hosts: [] }), { kind: "notInitialised" });
  });

  describe("devices", () => {
    it("a device that looks for its relay has no address of it, and none after its certificate was renewed", async () => {
      const { folder: files } = await addDevice(state, "roamer", {
        certsFolder: join(folder.path, "certs"),
      });
      const settings = async (): Promise<object> =>
        JSON.parse(await readFile(join(files, firmwareFileNames.settings), "utf8")) as object;
      assert.ok(!("relay" in (await settings())));
      assert.equal(await refreshFirmwareFiles(state, "roamer", relay), files);
      assert.ok(!("relay" in (await settings())));
      await rm(join(files, firmwareFileNames.settings));
      await refreshFirmwareFiles(state, "roamer", relay);
      assert.deepEqual(((await settings()) as { relay?: unknown }).relay, relay);
    });

    it("the firmware's files fit together", async () => {
      const { folder: files } = await addDevice(state, "cam1", {
        relay,
        certsFolder: join(folder.path, "certs"),
      });
      assert.equal(files, join(folder.path, "certs", "cam1"));
      const read = (name: keyof typeof firmwareFileNames): Promise<Buffer> =>
        readFile(join(files, firmwareFileNames[name]));
      const leaf = new X509Certificate(await read("certificate"));
      const authority = new X509Certificate(await read("authority"));
      const key = createPrivateKey({ key: await read("key"), format: "der", type: "pkcs8" });
      assert.ok(leaf.verify(authority.publicKey));
      assert.ok(leaf.checkPrivateKey(key));
      assert.equal(leaf.subjectAltName, "URI:coffer:device:cam1");
      assert.match(new X509Certificate(await read("relayAuthority")).subject, /relay authority/);
      const device = await state.loadDevice("cam1");
      assert.equal(device.pairingSecret.length, 32);
      assert.deepEqual(JSON.parse((await read("settings")).toString()), {
        version: 1,
        name: "cam1",
        relay,
        pairingSecret: Buffer.from(device.pairingSecret).toString("hex"),
      });
    });

    it("removing one revokes its certificate and forgets secret, keys and files", async () => {
      const { folder: files, certificate } = await addDevice(state, "gone", {
        relay,
        certsFolder: join(folder.path, "certs"),
      });
      await removeDevice(state, "gone");
      assert.ok((await loadRevoked(state, "device")).has(certificate.serial));
      await assert.rejects(state.loadDevice("gone"), { kind: "unknownDevice" });
      await assert.rejects(state.loadIdentity("device", "gone"), { kind: "unknownIdentity" });
      await assert.rejects(stat(files), { code: "ENOENT" });
    });

    it("a device of the same name later has another secret and key", async () => {
      const certsFolder = join(folder.path, "certs");
      await addDevice(state, "reborn", { relay, certsFolder });
      const first = await state.loadDevice("reborn");
      await assert.rejects(addDevice(state, "reborn", { relay, certsFolder }), { kind: "alreadyExists" });
      await removeDevice(state, "reborn");
      await addDevice(state, "reborn", { relay, certsFolder });
      assert.notDeepEqual((await state.loadDevice("reborn")).pairingSecret, first.pairingSecret);
    });

    it("an attempt that was cut off before the pairing can be repeated", async () => {
      const certsFolder = join(folder.path, "certs");
      const { certificate } = await addDevice(state, "halfway", { relay, certsFolder });
      await state.removeDevice("halfway");
      await addDevice(state, "halfway", { relay, certsFolder });
      assert.ok((await loadRevoked(state, "device")).has(certificate.serial));
    });

    it("a Coffer clone keeps the files in its certs folder, anything else in the state folder", async () => {
      assert.equal(await chooseCertsFolder(state, undefined, folder.path), join(state.home, "certs"));
      assert.equal(await chooseCertsFolder(state, "here", folder.path), join(folder.path, "here"));
      await writeFile(join(folder.path, "manifest.json"), "{}");
      assert.equal(await chooseCertsFolder(state, undefined, folder.path), join(state.home, "certs"));
      await writePrivateFile(join(folder.path, "certs", "README.md"), "");
      assert.equal(await chooseCertsFolder(state, undefined, folder.path), join(folder.path, "certs"));
    });
  });
});
