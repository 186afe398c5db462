// SPDX-License-Identifier: MIT
/**
 * Makes X.509 certificates (RFC 5280) that OpenSSL in its strict mode, Node and Moddable's TLS all accept: RSA-2048
 * with SHA-256, keys as PKCS#8, an authority key identifier everywhere (Moddable looks for the authority's own too),
 * addresses as dNSName and iPAddress, the identity as a URI.
 *
 * Keys are made by node:crypto in its thread pool (forge needs seconds for one); forge only encodes and signs.
 */

import { X509Certificate, createHash, createPublicKey, generateKeyPair, randomBytes } from "node:crypto";
import { isIP } from "node:net";
import { promisify } from "node:util";
import forge from "node-forge";
import { type AuthorityName, type Role, authorityOf, identityUri } from "./roles";

const makeKeyPair = promisify(generateKeyPair);

const keyBits = 2048;
const backdateMs = 3_600_000;
const dayMs = 86_400_000;
const authorityDays = 7305;

/** A certificate and its private key (PKCS#8), both PEM. */
export interface CertifiedKey {
  certificate: string;
  key: string;
}

export interface LeafRequest {
  role: Role;
  name: string;
  /** DNS names and numeric addresses that the certificate is good for. */
  hosts: readonly string[];
  days: number;
  /** PKCS#8 PEM; a new key is made when absent. */
  key?: string;
}

/** A leaf for a key that somebody else has. */
export interface PublicLeafRequest extends Omit<LeafRequest, "key"> {
  /** SPKI PEM. */
  publicKey: string;
}

/** A new RSA key, PKCS#8 PEM. */
export async function makeKey(): Promise<string> {
  const pair = await makeKeyPair("rsa", {
    modulusLength: keyBits,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  return pair.privateKey;
}

/** A new self-signed authority. It may sign leafs only, no further authorities. */
export async function makeAuthority(authority: AuthorityName, now: Date): Promise<CertifiedKey> {
  const key = await makeKey();
  const subject = [
    { name: "organizationName", value: "Coffer" },
    { name: "commonName", value: `Coffer ${authority} authority ${randomBytes(4).toString("hex")}` },
  ];
  const publicKey = createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
  const certificate = blank(publicKey, now, authorityDays);
  certificate.setSubject(subject);
  certificate.setIssuer(subject);
  certificate.setExtensions([
    { name: "basicConstraints", cA: true, pathLenConstraint: 0, critical: true },
    { name: "keyUsage", keyCertSign: true, cRLSign: true, critical: true },
    { name: "subjectKeyIdentifier" },
    authorityKeyIdentifier(certificate),
  ]);
  return { certificate: signed(certificate, key), key };
}

/** A new leaf under `authority`, which has to be the one of the role. */
export async function makeLeaf(
  authority: CertifiedKey,
  request: LeafRequest,
  now: Date,
): Promise<CertifiedKey> {
  const key = request.key ?? (await makeKey());
  const publicKey = createPublicKey(key).export({ type: "spki", format: "pem" }).toString();
  return { certificate: signLeaf(authority, { ...request, publicKey }, now), key };
}

/** The certificate alone, PEM. */
export function signLeaf(authority: CertifiedKey, request: PublicLeafRequest, now: Date): string {
  const issuer = forge.pki.certificateFromPem(authority.certificate);
  const certificate = blank(request.publicKey, now, request.days);
  const authorityEnds = issuer.validity.notAfter;
  if (certificate.validity.notAfter > authorityEnds) certificate.validity.notAfter = authorityEnds;
  certificate.setSubject([{ name: "commonName", value: request.name }]);
  certificate.setIssuer(issuer.subject.attributes);
  const isServer = authorityOf(request.role) === "relay";
  certificate.setExtensions([
    { name: "basicConstraints", cA: false, critical: true },
    // keyEncipherment: a device built without (EC)DHE sends the pre-master secret encrypted to this key.
    { name: "keyUsage", digitalSignature: true, keyEncipherment: isServer, critical: true },
    isServer ? { name: "extKeyUsage", serverAuth: true } : { name: "extKeyUsage", clientAuth: true },
    { name: "subjectAltName", altNames: [uriName(request), ...request.hosts.map(hostName)] },
    { name: "subjectKeyIdentifier" },
    authorityKeyIdentifier(issuer),
  ]);
  return signed(certificate, authority.key);
}

/** Version 3, random serial, `publicKey` (SPKI PEM), valid from an hour ago for `days`. */
function blank(publicKey: string, now: Date, days: number): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = makeSerial();
  // X.509 times have whole seconds; forge writes UTCTime before 2050 and GeneralizedTime from then on.
  const seconds = Math.floor(now.getTime() / 1000) * 1000;
  certificate.validity.notBefore = new Date(seconds - backdateMs);
  certificate.validity.notAfter = new Date(seconds + days * dayMs);
  return certificate;
}

/** 128 bits, the topmost 0 (positive) and the next 1 (so that DER needs no shortening): 126 random bits. */
function makeSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString("hex");
}

function signed(certificate: forge.pki.Certificate, authorityKey: string): string {
  certificate.sign(forge.pki.privateKeyFromPem(authorityKey), forge.md.sha256.create());
  return withUnixLines(forge.pki.certificateToPem(certificate));
}

/** forge names the identifier only when its bytes are given. */
function authorityKeyIdentifier(issuer: forge.pki.Certificate): { name: string; keyIdentifier: string } {
  return { name: "authorityKeyIdentifier", keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() };
}

function uriName({ role, name }: LeafRequest): { type: number; value: string } {
  return { type: 6, value: identityUri(role, name) };
}

function hostName(host: string): { type: number; value?: string; ip?: string } {
  return isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host };
}

function withUnixLines(pem: string): string {
  return `${pem.replaceAll("\r\n", "\n").trim()}\n`;
}

/** DER of the first PEM block: what firmware embeds. Works for certificates and PKCS#8 keys. */
export function derFromPem(pem: string): Uint8Array {
  const body = /-----BEGIN [A-Z0-9 ]+-----([\s\S]*?)-----END/.exec(pem)?.[1];
  if (body === undefined) throw new TypeError("derFromPem: no PEM block");
  return new Uint8Array(Buffer.from(body, "base64"));
}

/** SHA-256 of a certificate's DER, lower-case hex: what discovery announces. */
export function fingerprintOf(certificate: string): string {
  return createHash("sha256").update(new X509Certificate(certificate).raw).digest("hex");
}
