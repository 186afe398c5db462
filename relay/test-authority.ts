// SPDX-License-Identifier: MIT
/**
 * Certificates for the relay's tests: the shape of real ones, and every wrong shape an attacker could try. Making an
 * RSA key takes long, so there is one for all authorities of a name and one for all leafs.
 */
import { createSign, generateKeyPairSync, randomBytes } from "node:crypto";
import forge from "node-forge";

export interface TestIdentity {
  certificate: string;
  key: string;
  serial: string;
}

export interface LeafShape {
  uris: string[];
  usage?: "client" | "server" | "none";
  hosts?: string[];
  fromMs?: number;
  toMs?: number;
  isAuthority?: boolean;
}

const keys = new Map<string, string>();
function keyFor(name: string): string {
  const known = keys.get(name);
  if (known !== undefined) return known;
  const made = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  }).privateKey;
  keys.set(name, made);
  return made;
}

const DAY_MS = 86_400_000;

export class TestAuthority {
  readonly certificate: string;
  readonly #key: string;
  readonly #forged: forge.pki.Certificate;

  constructor(name: string) {
    this.#key = keyFor(name);
    const certificate = blank(this.#key, {});
    const subject = [{ name: "commonName", value: `Coffer ${name} authority` }];
    certificate.setSubject(subject);
    certificate.setIssuer(subject);
    certificate.setExtensions([
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
      { name: "subjectKeyIdentifier" },
      {
        name: "authorityKeyIdentifier",
        keyIdentifier: certificate.generateSubjectKeyIdentifier().getBytes(),
      },
    ]);
    certificate.sign(forge.pki.privateKeyFromPem(this.#key), forge.md.sha256.create());
    this.#forged = certificate;
    this.certificate = forge.pki.certificateToPem(certificate);
  }

  issue(shape: LeafShape): TestIdentity {
    const key = keyFor("leaf");
    const certificate = blank(key, shape);
    const usage = shape.usage ?? "client";
    certificate.setSubject([{ name: "commonName", value: shape.uris[0] ?? "nobody" }]);
    certificate.setIssuer(this.#forged.subject.attributes);
    const altNames = [
      ...shape.uris.map((value) => ({ type: 6, value })),
      ...(shape.hosts ?? []).map((host) =>
        /^[\d.]+$/.test(host) ? { type: 7, ip: host } : { type: 2, value: host },
      ),
    ];
    certificate.setExtensions([
      { name: "basicConstraints", cA: shape.isAuthority ?? false, critical: true },
      {
        name: "keyUsage",
        digitalSignature: true,
        keyEncipherment: true,
        keyCertSign: shape.isAuthority ?? false,
        critical: true,
      },
      ...(usage === "none" ? [] : [{ name: "extKeyUsage", [`${usage}Auth`]: true }]),
      ...(altNames.length > 0 ? [{ name: "subjectAltName", altNames }] : []),
      { name: "subjectKeyIdentifier" },
      {
        name: "authorityKeyIdentifier",
        keyIdentifier: this.#forged.generateSubjectKeyIdentifier().getBytes(),
      },
    ]);
    certificate.sign(forge.pki.privateKeyFromPem(this.#key), forge.md.sha256.create());
    return { certificate: forge.pki.certificateToPem(certificate), key, serial: certificate.serialNumber };
  }

  /** A list of revoked certificates (RFC 5280 section 5), signed by this authority. */
  revoke(serials: readonly string[]): string {
    const { asn1, pki } = forge;
    const sequence = (...values: forge.asn1.Asn1[]): forge.asn1.Asn1 =>
      asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, values);
    const time = (date: Date): forge.asn1.Asn1 =>
      asn1.create(asn1.Class.UNIVERSAL, asn1.Type.UTCTIME, false, asn1.dateToUtcTime(date));
    const integer = (hex: string): forge.asn1.Asn1 =>
      asn1.create(asn1.Class.UNIVERSAL, asn1.Type.INTEGER, false, forge.util.hexToBytes(hex));
    const algorithm = sequence(
      asn1.create(
        asn1.Class.UNIVERSAL,
        asn1.Type.OID,
        false,
        asn1.oidToDer(pki.oids["sha256WithRSAEncryption"] ?? "").getBytes(),
      ),
      asn1.create(asn1.Class.UNIVERSAL, asn1.Type.NULL, false, ""),
    );
    const now = new Date();
    const entries = serials.map((serial) => sequence(integer(serial), time(now)));
    const signed = sequence(
      integer("01"),
      algorithm,
      pki.distinguishedNameToAsn1(this.#forged.subject),
      time(now),
      time(new Date(now.getTime() + 365 * DAY_MS)),
      ...(entries.length > 0 ? [sequence(...entries)] : []),
    );
    const signature = createSign("sha256")
      .update(Buffer.from(asn1.toDer(signed).getBytes(), "binary"))
      .sign(this.#key);
    const list = sequence(
      signed,
      algorithm,
      asn1.create(asn1.Class.UNIVERSAL, asn1.Type.BITSTRING, false, `\0${signature.toString("binary")}`),
    );
    const base64 = Buffer.from(asn1.toDer(list).getBytes(), "binary").toString("base64");
    return `-----BEGIN X509 CRL-----\n${base64.replace(/.{64}/g, "$&\n")}\n-----END X509 CRL-----\n`;
  }
}

function blank(key: string, { fromMs, toMs }: Partial<LeafShape>): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  const { n, e } = forge.pki.privateKeyFromPem(key);
  certificate.publicKey = forge.pki.setRsaPublicKey(n, e);
  certificate.serialNumber = `4${randomBytes(16).toString("hex").slice(1)}`;
  certificate.validity.notBefore = new Date(fromMs ?? Date.now() - DAY_MS);
  certificate.validity.notAfter = new Date(toMs ?? Date.now() + 30 * DAY_MS);
  return certificate;
}
