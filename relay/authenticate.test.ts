// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { constants } from "node:crypto";
import type { ConnectionOptions } from "node:tls";
import { FrameType } from "../firmware/protocol/frame";
import { CloseReason } from "../firmware/protocol/link-messages";
import { type LeafShape, TestAuthority, type TestIdentity } from "./test-authority";
import { TestRelay, identityOf } from "./test-relay";

const goodUri = "coffer:device:cam9";

describe("relay: who is let in", () => {
  let relay: TestRelay;
  beforeEach(async () => {
    relay = await TestRelay.start();
  });
  afterEach(async () => {
    await relay.stop();
  });

  /** In TLS 1.3 the client is done before the relay has looked at its certificate. */
  async function isRefused(identity: TestIdentity | undefined, reason: string): Promise<void> {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      relay.log.length = 0;
      const endpoint = await relay.connect(identity, { maxVersion }).catch(() => undefined);
      await endpoint?.closed();
      await relay.logged({ event: "refused", reason });
      assert.equal(
        relay.log.some(({ event }) => event === "joined"),
        false,
      );
    }
  }

  const shapes: [string, Partial<LeafShape>, string][] = [
    ["a certificate without an identity", { uris: [] }, "noIdentity"],
    ["a certificate with two identities", { uris: [goodUri, "coffer:client:laptop"] }, "manyIdentities"],
    ["the same identity twice", { uris: [goodUri, goodUri] }, "manyIdentities"],
    ["an identity hidden in another's separators", { uris: ["x, URI:coffer:device:cam9"] }, "badIdentity"],
    ["an identity with a name that is none", { uris: ["coffer:device:Cam 9"] }, "badIdentity"],
    ["an identity with more parts", { uris: ["coffer:device:cam9:admin"] }, "badIdentity"],
    ["a role that does not dial relays", { uris: ["coffer:keyholder:k1"] }, "wrongRole"],
    ["the role of a relay", { uris: ["coffer:relay:relay1"] }, "wrongRole"],
    ["a server's certificate", { usage: "server" }, "INVALID_PURPOSE"],
    ["a certificate for no purpose in particular", { usage: "none" }, "usage"],
    ["an authority's certificate", { isAuthority: true }, "foreignAuthority"],
    ["an expired certificate", { fromMs: Date.now() - 9e7, toMs: Date.now() - 1000 }, "CERT_HAS_EXPIRED"],
    ["a certificate of the future", { fromMs: Date.now() + 9e7 }, "CERT_NOT_YET_VALID"],
  ];
  for (const [what, shape, reason] of shapes)
    it(`refuses ${what}`, async () => {
      await isRefused(TestRelay.deviceAuthority.issue({ uris: [goodUri], ...shape }), reason);
    });

  it("refuses a certificate of another device authority", async () => {
    const foreign = new TestAuthority("foreign").issue({ uris: [goodUri] });
    await isRefused(foreign, "UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  });

  it("refuses a device's certificate made by the relay authority", async () => {
    await isRefused(TestRelay.relayAuthority.issue({ uris: [goodUri] }), "SELF_SIGNED_CERT_IN_CHAIN");
  });

  it("refuses a peer without a certificate", async () => {
    const endpoint = await relay.connect(undefined).catch(() => undefined);
    await endpoint?.closed();
    await relay.logged({ event: "refused" });
  });

  it("refuses TLS 1.0 and 1.1", async () => {
    for (const version of ["TLSv1", "TLSv1.1"] as const) {
      const old: ConnectionOptions = { minVersion: version, maxVersion: version, ciphers: "ALL:@SECLEVEL=0" };
      await assert.rejects(
        relay.connect(identityOf("device", "cam1"), old),
        /protocol version|unsupported protocol/i,
      );
    }
  });

  it("tells a refused peer why before it hangs up", async () => {
    const endpoint = await relay.connect(TestRelay.deviceAuthority.issue({ uris: ["coffer:registry:r"] }));
    assert.equal(await endpoint.nextReason(FrameType.goAway), CloseReason.authentication);
    await endpoint.closed();
  });

  it("refuses a revoked certificate, and closes its open connections when the list changes", async () => {
    const stolen = TestRelay.deviceAuthority.issue({ uris: ["coffer:device:stolen"] });
    const open = await relay.connect(stolen);
    await open.hello();
    const other = await relay.join("client", "laptop");
    relay.write("deviceCrl", TestRelay.deviceAuthority.revoke(["0123", stolen.serial]));
    assert.equal(await open.nextReason(FrameType.goAway), CloseReason.authentication);
    await open.closed();
    await relay.logged({ event: "refused", reason: "revoked", name: "stolen" });
    await isRefused(stolen, "revoked");
    await other.hello().catch(() => undefined);
    assert.equal(
      relay.log.some(({ name, event }) => name === "laptop" && event === "refused"),
      false,
    );
  });

  it("keeps the list it has when the new one is damaged or forged", async () => {
    const stolen = TestRelay.deviceAuthority.issue({ uris: ["coffer:device:stolen"] });
    relay.write("deviceCrl", TestRelay.deviceAuthority.revoke([stolen.serial]));
    await relay.logged({ event: "reloaded" });
    relay.write("deviceCrl", new TestAuthority("foreign").revoke([]));
    await relay.logged({ event: "reloadFailed" });
    await isRefused(stolen, "revoked");
  });

  it("takes a renewed certificate of its own into use without a restart", async () => {
    const renewed = TestRelay.relayAuthority.issue({
      uris: ["coffer:relay:relay1"],
      usage: "server",
      hosts: ["127.0.0.1"],
    });
    relay.write("certificate", renewed.certificate);
    await relay.logged({ event: "reloaded" });
    const endpoint = await relay.connect(identityOf("device", "cam1"));
    assert.equal(endpoint.socket.getPeerX509Certificate()?.serialNumber.toLowerCase(), renewed.serial);
    // And with the same ciphers as before: this one is among Node's own, not among ours.
    const options: ConnectionOptions = { maxVersion: "TLSv1.2", ciphers: "AES256-GCM-SHA384" };
    await assert.rejects(relay.connect(identityOf("device", "cam1"), options), /handshake failure/);
  });

  it("reads its files again on SIGHUP", async () => {
    const seen = relay.log.length;
    process.emit("SIGHUP", "SIGHUP");
    relay.write("deviceAuthority", new TestAuthority("foreign").certificate);
    await relay.logged({ event: "reloadFailed" });
    assert.ok(relay.log.length > seen);
  });

  it("serves boards: TLS 1.2 with or without key exchange, GCM or CBC", async () => {
    for (const ciphers of [
      "ECDHE-RSA-AES128-GCM-SHA256",
      "ECDHE-RSA-AES128-SHA256",
      "AES128-GCM-SHA256",
      "AES128-SHA256",
    ]) {
      const endpoint = await relay.connect(identityOf("device", "cam1"), { maxVersion: "TLSv1.2", ciphers });
      assert.equal(endpoint.socket.getCipher().name, ciphers);
      await endpoint.hello({ maxFrameBytes: 4096 });
    }
  });

  it("sends leaf and authority", async () => {
    const { socket } = await relay.connect(identityOf("device", "cam1"));
    const chain = socket.getPeerCertificate(true);
    assert.notEqual(chain.fingerprint256, chain.issuerCertificate.fingerprint256);
  });

  const resumptions: [string, ConnectionOptions][] = [
    ["TLS 1.3", { minVersion: "TLSv1.3" }],
    ["TLS 1.2 with a ticket", { maxVersion: "TLSv1.2" }],
    ["TLS 1.2 with a session id", { maxVersion: "TLSv1.2", secureOptions: constants.SSL_OP_NO_TICKET }],
  ];
  for (const [version, options] of resumptions) {
    it(`resumes a session of ${version}, and knows who it is`, async () => {
      const session = await sessionOf(identityOf("device", "cam1"), options);
      const again = await relay.connect(identityOf("device", "cam1"), { ...options, session });
      assert.equal(again.socket.isSessionReused(), true);
      await again.hello();
      await again.until(
        () => (relay.log.filter(({ event }) => event === "joined").length > 1 ? 1 : undefined),
        "log",
      );
      assert.equal(relay.log.findLast(({ event }) => event === "joined")?.["name"], "cam1");
    });

    it(`checks the certificate of a resumed session of ${version} again`, async () => {
      const brief = TestRelay.deviceAuthority.issue({ uris: [goodUri], toMs: Date.now() + 2500 });
      const session = await sessionOf(brief, options);
      await relay.logged({ event: "refused", reason: "expired" });
      relay.log.length = 0;
      const again = await relay.connect(brief, { ...options, session });
      assert.equal(again.socket.isSessionReused(), true);
      assert.equal(await again.nextReason(FrameType.goAway), CloseReason.authentication);
      await relay.logged({ event: "refused", reason: "expired" });
    });
  }

  async function sessionOf(identity: TestIdentity, options: ConnectionOptions): Promise<Buffer> {
    const endpoint = await relay.connect(identity, options);
    let session: Buffer | undefined =
      options.maxVersion === "TLSv1.2" ? endpoint.socket.getSession() : undefined;
    endpoint.socket.on("session", (ticket: Buffer) => {
      session = ticket;
    });
    await endpoint.hello();
    return endpoint.until(() => session, "a session");
  }
});
