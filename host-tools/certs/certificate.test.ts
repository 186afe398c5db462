// SPDX-License-Identifier: MIT
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { X509Certificate, createPrivateKey } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type CertificateFixtures, certificateFixtures, fixtureHosts } from "../test/certificates";
import { temporaryFolder } from "../test/temporary-folder";
import { derFromPem, makeLeaf } from "./certificate";
import { readCertificate } from "./certificate-facts";
import { makeRevocationList, revoke, revokedSerials } from "./revocation-list";
import { authorityOf, peerAuthorityOf, roles } from "./roles";

const runFile = promisify(execFile);

describe("certificates", () => {
  const folder = temporaryFolder();
  let made: CertificateFixtures;
  let files = 0;
  before(async () => {
    made = await certificateFixtures();
  });

  async function fileWith(text: string): Promise<string> {
    files += 1;
    const path = join(folder.path, `${String(files)}.pem`);
    await writeFile(path, text);
    return path;
  }

  /** What `openssl verify` says in its strict mode: undefined, or the reason. */
  async function refusalOf(
    leaf: string,
    authority: string,
    options: string[] = [],
  ): Promise<string | undefined> {
    const words = [
      "verify",
      "-x509_strict",
      ...options,
      "-CAfile",
      await fileWith(authority),
      await fileWith(leaf),
    ];
    return runFile("openssl", words).then(
      () => undefined,
      (error: unknown) => (error as { stderr: string }).stderr,
    );
  }

  async function textOf(certificate: string): Promise<string> {
    return (await runFile("openssl", ["x509", "-noout", "-text", "-in", await fileWith(certificate)])).stdout;
  }

  for (const role of roles) {
    it(`${role}: OpenSSL accepts it in strict mode for its purpose`, async () => {
      const purpose = authorityOf(role) === "relay" ? "sslserver" : "sslclient";
      const authority = made.authorities[authorityOf(role)].certificate;
      assert.equal(
        await refusalOf(made.leafs[role].certificate, authority, ["-purpose", purpose]),
        undefined,
      );
    });

    it(`${role}: the other authority does not vouch for it`, async () => {
      const foreign = made.authorities[peerAuthorityOf(role)].certificate;
      assert.match(
        (await refusalOf(made.leafs[role].certificate, foreign)) ?? "",
        /unable to get local issuer/,
      );
    });

    it(`${role}: it is not accepted for the other end's purpose`, async () => {
      const purpose = authorityOf(role) === "relay" ? "sslclient" : "sslserver";
      const authority = made.authorities[authorityOf(role)].certificate;
      const refusal = await refusalOf(made.leafs[role].certificate, authority, ["-purpose", purpose]);
      assert.match(refusal ?? "", /unsuit/);
    });

    it(`${role}: names and hosts come back`, () => {
      const facts = readCertificate(made.leafs[role].certificate);
      assert.deepEqual({ role: facts.role, name: facts.name }, { role, name: `a-${role}` });
      assert.deepEqual(facts.hosts, authorityOf(role) === "relay" ? fixtureHosts : []);
    });
  }

  it("a leaf cannot sign another certificate", async () => {
    const request = {
      role: "relay",
      name: "impostor",
      hosts: ["localhost"],
      days: 1,
      key: made.key,
    } as const;
    const impostor = await makeLeaf(made.leafs.device, request, new Date());
    const chain = made.leafs.device.certificate + made.authorities.device.certificate;
    assert.notEqual(await refusalOf(impostor.certificate, chain), undefined);
  });

  it("an authority is its own issuer by key identifier, which Moddable's TLS looks for", async () => {
    for (const { certificate } of Object.values(made.authorities)) {
      const text = await textOf(certificate);
      const subject = /Subject Key Identifier: *\n *([0-9A-F:]+)/.exec(text)?.[1];
      assert.ok(subject !== undefined);
      assert.equal(/Authority Key Identifier: *\n *(?:keyid:)?([0-9A-F:]+)/.exec(text)?.[1], subject);
      assert.match(text, /CA:TRUE, pathlen:0/);
      assert.match(text, /Key Usage: critical\n *Certificate Sign, CRL Sign\n/);
    }
  });

  it("a relay's key may encipher, a device's may not", async () => {
    assert.match(
      await textOf(made.leafs.relay.certificate),
      /Key Usage: critical\n *Digital Signature, Key Encipherment\n/,
    );
    assert.match(await textOf(made.leafs.device.certificate), /Key Usage: critical\n *Digital Signature\n/);
  });

  it("serial numbers are positive, 128 bits and never the same", () => {
    const serials = Object.values(made.leafs).map(({ certificate }) => readCertificate(certificate).serial);
    for (const serial of serials) assert.match(serial, /^[4-7][0-9a-f]{31}$/);
    assert.equal(new Set(serials).size, serials.length);
  });

  it("validity starts an hour ago and lasts the days asked for, across 2050 too", async () => {
    const now = new Date("2049-06-01T12:00:00.750Z");
    const request = { role: "client", name: "later", hosts: [], days: 365, key: made.key } as const;
    const authority = { ...made.authorities.device };
    const leaf = await makeLeaf(authority, request, new Date("2030-01-01T00:00:00.750Z"));
    const facts = readCertificate(leaf.certificate);
    assert.equal(facts.notBefore.toISOString(), "2029-12-31T23:00:00.000Z");
    assert.equal(facts.notAfter.toISOString(), "2031-01-01T00:00:00.000Z");
    // Later than its authority makes no sense, so it ends with it.
    const late = readCertificate((await makeLeaf(authority, request, now)).certificate);
    assert.deepEqual(late.notAfter, readCertificate(authority.certificate).notAfter);
  });

  it("from 2050 on times are written as GeneralizedTime", async () => {
    const { makeAuthority } = await import("./certificate");
    const authority = await makeAuthority("relay", new Date("2045-01-01T00:00:00Z"));
    const asn1 = await runFile("openssl", ["asn1parse", "-in", await fileWith(authority.certificate)]);
    assert.match(asn1.stdout, /UTCTIME +:441231230000Z/);
    assert.match(asn1.stdout, /GENERALIZEDTIME +:20650101000000Z/);
  });

  it("keys are RSA-2048 in PKCS#8 and belong to their certificate", () => {
    for (const { certificate, key } of Object.values(made.leafs)) {
      assert.match(key, /^-----BEGIN PRIVATE KEY-----\n/);
      const privateKey = createPrivateKey({
        key: Buffer.from(derFromPem(key)),
        format: "der",
        type: "pkcs8",
      });
      assert.equal(privateKey.asymmetricKeyDetails?.modulusLength, 2048);
      assert.ok(new X509Certificate(derFromPem(certificate)).checkPrivateKey(privateKey));
    }
  });

  describe("revocation", () => {
    it("OpenSSL refuses what is on the list and nothing else", async () => {
      const authority = made.authorities.device;
      const serial = readCertificate(made.leafs.device.certificate).serial;
      const empty = await makeRevocationList(authority, new Date());
      const list = await revoke(empty, authority, [serial], new Date());
      const withList = async (leaf: string, crl: string): Promise<string | undefined> =>
        refusalOf(leaf, authority.certificate, ["-crl_check_all", "-CRLfile", await fileWith(crl)]);
      assert.equal(await withList(made.leafs.device.certificate, empty), undefined);
      assert.equal(await withList(made.leafs.client.certificate, list), undefined);
      assert.match((await withList(made.leafs.device.certificate, list)) ?? "", /certificate revoked/);
    });

    it("revoking adds, keeps what is there, and counts the list up", async () => {
      const authority = made.authorities.relay;
      let list = await makeRevocationList(authority, new Date());
      assert.deepEqual(revokedSerials(list), new Set());
      list = await revoke(list, authority, ["0a", "7b00ff"], new Date("2030-01-01T00:00:00Z"));
      list = await revoke(list, authority, ["0a", "43"], new Date("2031-01-01T00:00:00Z"));
      assert.deepEqual(revokedSerials(list), new Set(["0a", "7b00ff", "43"]));
      const { stdout } = await runFile("openssl", ["crl", "-noout", "-text", "-in", await fileWith(list)]);
      assert.match(stdout, /CRL Number: *\n *3\n/);
      assert.equal(stdout.match(/Jan {2}1 00:00:00 2030 GMT/g)?.length, 2);
    });

    it("a list that another authority signed is refused", async () => {
      const foreign = await makeRevocationList(made.authorities.relay, new Date());
      await assert.rejects(revoke(foreign, made.authorities.device, ["0a"], new Date()), {
        kind: "damagedState",
      });
      await assert.rejects(revoke("nonsense", made.authorities.device, ["0a"], new Date()), {
        kind: "damagedState",
      });
    });
  });
});
