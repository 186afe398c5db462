// SPDX-License-Identifier: MIT
/**
 * Certificates as this computer keeps them: make, renew, revoke, list. The authorities' keys lie only where
 * `coffer init` was run. Every certificate ever signed is kept under authorities/AUTHORITY/issued/SERIAL.pem, so
 * that revoking an identity reaches the certificates that a renewal replaced, too.
 */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { readIfPresent, writePrivateFile } from "../private-files";
import { Refusal } from "../refusal";
import type { State } from "../state";
import { withStateLock } from "../state-lock";
import { type CertifiedKey, makeAuthority, makeLeaf, signLeaf } from "./certificate";
import { type CertificateFacts, type CertificateState, readCertificate, stateOf } from "./certificate-facts";
import { type AuthorityName, type Role, authorityNames, authorityOf, defaultDays, roles } from "./roles";

export interface CertificateRecord {
  role: Role;
  name: string;
  serial: string;
  hosts: string[];
  notBefore: Date;
  notAfter: Date;
  state: CertificateState;
}

export interface IssueRequest {
  role: Role;
  name: string;
  hosts: readonly string[];
  /** The role's usual lifetime when absent. */
  days?: number;
}

/** Makes both authorities and their empty lists of revoked certificates. */
export async function makeAuthorities(state: State, now = new Date()): Promise<void> {
  const { makeRevocationList } = await import("./revocation-list");
  const made = await Promise.all(
    authorityNames.map(async (authority) => ({ authority, keys: await makeAuthority(authority, now) })),
  );
  for (const { authority, keys } of made) {
    const paths = state.authorityPaths(authority);
    await writePrivateFile(paths.key, keys.key, { exclusive: true });
    await writePrivateFile(paths.crl, await makeRevocationList(keys, now));
    await writePrivateFile(paths.certificate, keys.certificate);
  }
}

/** Signs a new identity with a new key. A name in use is refused, unless what it has was revoked. */
export async function issue(
  state: State,
  request: IssueRequest,
  now = new Date(),
): Promise<CertificateRecord> {
  const { role, name } = request;
  const authority = await loadAuthority(state, authorityOf(role));
  return withStateLock(state, async () => {
    const revoked = await loadRevoked(state, authorityOf(role));
    if (await state.hasIdentity(role, name)) {
      const present = readCertificate((await state.loadIdentity(role, name)).certificate);
      if (!revoked.has(present.serial))
        throw new Refusal("alreadyExists", `there already is a ${role} certificate named ${name}`, {
          hint: `Use \`coffer cert renew ${role} ${name}\` to prolong it, or \`coffer cert revoke ${role} ${name}\` first.`,
        });
    }
    const days = request.days ?? defaultDays(role);
    const made = await makeLeaf(authority, { role, name, hosts: request.hosts, days }, now);
    return keep(state, authority, made, revoked, now);
  });
}

/** Refuses a name under which somebody can connect: one with a certificate that is neither revoked nor expired. */
export async function requireFreeName(
  state: State,
  role: Role,
  name: string,
  now = new Date(),
): Promise<void> {
  const revoked = await loadRevoked(state, authorityOf(role));
  const isTaken = (await issuedBy(state, authorityOf(role))).some(
    (facts) =>
      facts.role === role &&
      facts.name === name &&
      !["revoked", "expired"].includes(stateOf(facts, revoked, now)),
  );
  if (isTaken)
    throw new Refusal("alreadyExists", `there already is a ${role} named ${name}`, {
      hint: `Choose another name, or run \`coffer ${role} revoke ${name}\` first.`,
    });
}

/** Signs an identity for a key that another computer keeps. Only the certificate is recorded here. */
export async function issueForKey(
  state: State,
  request: { role: Role; name: string; publicKey: string },
  now = new Date(),
): Promise<{ record: CertificateRecord; certificate: string }> {
  const { role, name, publicKey } = request;
  const authority = await loadAuthority(state, authorityOf(role));
  return withStateLock(state, async () => {
    await requireFreeName(state, role, name, now);
    const days = defaultDays(role);
    const certificate = signLeaf(authority, { role, name, hosts: [], days, publicKey }, now);
    const facts = readCertificate(certificate);
    const { issued } = state.authorityPaths(authorityOf(role));
    await writePrivateFile(join(issued, `${facts.serial}.pem`), certificate);
    return { record: recordOf(facts, role, new Set(), now), certificate };
  });
}

export interface RenewOptions {
  days?: number;
  /** Replaces the key too. */
  newKey?: boolean;
  /** Revokes the certificates that this one replaces. */
  revokeOld?: boolean;
}

/** A new certificate for an identity, with the same name and hosts, and the same key unless told otherwise. */
export async function renew(
  state: State,
  role: Role,
  name: string,
  options: RenewOptions = {},
  now = new Date(),
): Promise<CertificateRecord> {
  const authority = await loadAuthority(state, authorityOf(role));
  return withStateLock(state, async () => {
    const identity = await state.loadIdentity(role, name);
    const facts = readCertificate(identity.certificate);
    const revoked = await loadRevoked(state, authorityOf(role));
    if (revoked.has(facts.serial))
      throw new Refusal(
        "certificateRevoked",
        `the certificate of ${role} ${name} is revoked and cannot be renewed`,
        {
          hint:
            role === "device"
              ? `Run \`coffer device add ${name}\` again.`
              : `Run \`coffer cert ${role} ${name}\` again.`,
        },
      );
    const older = await serialsOf(state, role, name);
    const days = options.days ?? defaultDays(role);
    const key = options.newKey === true ? {} : { key: identity.key };
    const made = await makeLeaf(authority, { role, name, hosts: facts.hosts, days, ...key }, now);
    const record = await keep(state, authority, made, revoked, now);
    if (options.revokeOld === true) await addToList(state, authorityOf(role), authority, older, now);
    return record;
  });
}

/** Revokes every certificate ever signed for an identity. Returns how many were newly revoked. */
export async function revokeIdentity(
  state: State,
  role: Role,
  name: string,
  now = new Date(),
): Promise<number> {
  const authority = await loadAuthority(state, authorityOf(role));
  return withStateLock(state, async () => {
    const serials = await serialsOf(state, role, name);
    if (serials.length === 0) await state.loadIdentity(role, name);
    return addToList(state, authorityOf(role), authority, serials, now);
  });
}

/** The identities' certificates; with `all`, also those that were replaced or whose identity was removed. */
export async function listCertificates(
  state: State,
  options: { all?: boolean } = {},
  now = new Date(),
): Promise<CertificateRecord[]> {
  const revoked = new Map<AuthorityName, ReadonlySet<string>>();
  for (const authority of authorityNames) revoked.set(authority, await loadRevoked(state, authority));
  const records: CertificateRecord[] = [];
  const current = new Set<string>();
  for (const role of roles)
    for (const name of await state.listIdentities(role)) {
      const pem = await readIfPresent(state.identityPaths(role, name).certificate);
      if (pem === undefined) continue;
      const facts = readCertificate(pem);
      current.add(facts.serial);
      records.push(recordOf(facts, role, revoked.get(authorityOf(role)) ?? new Set(), now));
    }
  if (options.all === true)
    for (const authority of authorityNames)
      for (const facts of await issuedBy(state, authority)) {
        if (facts.role === undefined || current.has(facts.serial)) continue;
        const record = recordOf(facts, facts.role, revoked.get(authority) ?? new Set(), now);
        const isStillGood = record.state === "valid" || record.state === "expires soon";
        records.push(isStillGood ? { ...record, state: "replaced" } : record);
      }
  return records;
}

/** Each computer with its latest certificate, by name; where no authority's key is, this computer alone. */
export async function listClients(state: State, now = new Date()): Promise<CertificateRecord[]> {
  const own = (await listCertificates(state, {}, now)).filter(({ role }) => role === "client");
  const latest = new Map(own.map((record) => [record.name, record]));
  const revoked = await loadRevoked(state, authorityOf("client"));
  for (const facts of await issuedBy(state, authorityOf("client"))) {
    const known = latest.get(facts.name);
    if (facts.role === "client" && (!known || known.notBefore < facts.notBefore))
      latest.set(facts.name, recordOf(facts, "client", revoked, now));
  }
  return [...latest.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** An authority with its key; refuses on a machine that has only its certificate. */
export async function loadAuthority(state: State, authority: AuthorityName): Promise<CertifiedKey> {
  const paths = state.authorityPaths(authority);
  const certificate = await readIfPresent(paths.certificate);
  const key = await readIfPresent(paths.key);
  if (certificate !== undefined && key !== undefined) return { certificate, key };
  if (certificate !== undefined)
    throw new Refusal("notInitialised", `the key of the ${authority} authority is not on this computer`, {
      hint: "Run this command where `coffer init` was run.",
    });
  throw new Refusal("notInitialised", `there is no ${authority} authority in ${state.home}`, {
    hint: "Run `coffer init --relay HOST:PORT` first, or point --home or $COFFER_HOME at the right folder.",
  });
}

/** Serials that an authority has revoked. A computer that never had the list knows of none. */
export async function loadRevoked(state: State, authority: AuthorityName): Promise<Set<string>> {
  const list = await readIfPresent(state.authorityPaths(authority).crl);
  if (list === undefined) return new Set();
  const { revokedSerials } = await import("./revocation-list");
  return revokedSerials(list);
}

/** Under the lock: records the certificate first, so that none is in use which a revocation would not find. */
async function keep(
  state: State,
  authority: CertifiedKey,
  made: CertifiedKey,
  revoked: ReadonlySet<string>,
  now: Date,
): Promise<CertificateRecord> {
  const facts = readCertificate(made.certificate);
  const { role, name } = facts;
  if (role === undefined) throw new TypeError("keep: the certificate names no identity");
  const { issued } = state.authorityPaths(authorityOf(role));
  await writePrivateFile(join(issued, `${facts.serial}.pem`), made.certificate);
  await state.saveIdentity(role, name, { ...made, authority: authority.certificate });
  return recordOf(facts, role, revoked, now);
}

/** Under the lock. */
async function addToList(
  state: State,
  name: AuthorityName,
  authority: CertifiedKey,
  serials: readonly string[],
  now: Date,
): Promise<number> {
  const { revoke, revokedSerials } = await import("./revocation-list");
  const path = state.authorityPaths(name).crl;
  const list = await readIfPresent(path);
  if (list === undefined)
    throw new Refusal("damagedState", `the list of revoked certificates is missing: ${path}`, {
      hint: "Restore it from a copy of the state folder; without it revoked certificates would count again.",
    });
  const known = revokedSerials(list);
  const added = serials.filter((serial) => !known.has(serial));
  if (added.length > 0) await writePrivateFile(path, await revoke(list, authority, added, now));
  return added.length;
}

async function serialsOf(state: State, role: Role, name: string): Promise<string[]> {
  const issued = await issuedBy(state, authorityOf(role));
  return issued.filter((facts) => facts.role === role && facts.name === name).map(({ serial }) => serial);
}

async function issuedBy(state: State, authority: AuthorityName): Promise<CertificateFacts[]> {
  const folder = state.authorityPaths(authority).issued;
  const found: CertificateFacts[] = [];
  let files: string[];
  try {
    files = await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  for (const file of files.filter((name) => name.endsWith(".pem")).sort()) {
    const pem = await readIfPresent(join(folder, file));
    if (pem !== undefined) found.push(readCertificate(pem));
  }
  return found;
}

function recordOf(
  facts: CertificateFacts,
  role: Role,
  revoked: ReadonlySet<string>,
  now: Date,
): CertificateRecord {
  const { name, serial, hosts, notBefore, notAfter } = facts;
  return { role, name, serial, hosts, notBefore, notAfter, state: stateOf(facts, revoked, now) };
}
