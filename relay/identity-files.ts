// SPDX-License-Identifier: MIT
/**
 * The relay's certificate, key, authorities and list of revoked certificates: read, checked together, and read again
 * when one of the files changes. Files are replaced one after the other, so a set that does not fit together is
 * kept out, and what was valid before stays in use until the rest has arrived.
 */
import { X509Certificate } from "node:crypto";
import { type FSWatcher, watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type SecureContextOptions, createSecureContext } from "node:tls";
import type { Trust } from "./authenticate";
import { fingerprintOf } from "./fingerprint";
import { readRevocations } from "./revocations";

export interface IdentityFiles {
  certificate: string;
  key: string;
  relayAuthority: string;
  deviceAuthority: string;
  deviceCrl?: string;
}

export interface RelayIdentity {
  /** For tls: leaf and authority, because boards compare names only when both are sent. */
  tls: SecureContextOptions;
  trust: Trust;
  fingerprint: Uint8Array;
}

/** Throws an Error that names the file. */
export async function readIdentity(files: IdentityFiles): Promise<RelayIdentity> {
  const [certificate, key, relayAuthority, deviceAuthority, crl] = await Promise.all([
    readText(files.certificate),
    readText(files.key),
    readText(files.relayAuthority),
    readText(files.deviceAuthority),
    files.deviceCrl === undefined ? undefined : readText(files.deviceCrl),
  ]);
  const [leaf] = certificatesIn(certificate, files.certificate);
  const authorities = certificatesIn(deviceAuthority, files.deviceAuthority);
  const own = certificatesIn(relayAuthority, files.relayAuthority);
  if (!leaf || !own.some((ca) => leaf.checkIssued(ca) && leaf.verify(ca.publicKey)))
    throw new Error(`${files.certificate}: not signed by the authority in ${files.relayAuthority}`);
  const tls = { cert: `${leaf.toString()}\n${relayAuthority}`, key, ca: deviceAuthority };
  try {
    createSecureContext(tls);
  } catch (cause) {
    throw new Error(`${files.key}: not the key of ${files.certificate}`, { cause });
  }
  let revoked: ReadonlySet<string> = new Set();
  if (crl !== undefined && files.deviceCrl !== undefined) {
    try {
      revoked = readRevocations(crl, authorities);
    } catch (cause) {
      throw new Error(`${files.deviceCrl}: not a list of revoked certificates of ${files.deviceAuthority}`, {
        cause,
      });
    }
  }
  return { tls, trust: { authorities, revoked }, fingerprint: fingerprintOf(leaf.raw) };
}

function certificatesIn(pem: string, path: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new Error(`${path}: holds no certificate`);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw new Error(`${path}: damaged certificate`, { cause });
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new Error(`${path}: cannot be read`, { cause });
  }
}

/** Watching can miss changes (network disks, replaced folders): this often the files are read anyway. */
const REREAD_MS = 60_000;
/** Several files change together; a writer may be half-way. */
const SETTLE_MS = 150;

/** Calls `onChange` after files were, or may have been, replaced. Watches folders, since a replaced file is another. */
export function watchFiles(paths: readonly string[], onChange: () => void): { close(): void } {
  let settling: NodeJS.Timeout | undefined;
  const changed = (): void => {
    clearTimeout(settling);
    settling = setTimeout(onChange, SETTLE_MS);
  };
  const watchers: FSWatcher[] = [];
  for (const folder of new Set(paths.map((path) => dirname(path)))) {
    try {
      watchers.push(watch(folder, { persistent: false }, changed).on("error", () => undefined));
    } catch {
      // No watching on this disk or no watches left: the rereading below still finds the change.
    }
  }
  const rereading = setInterval(onChange, REREAD_MS);
  return {
    close: () => {
      clearTimeout(settling);
      clearInterval(rereading);
      for (const watcher of watchers) watcher.close();
    },
  };
}
