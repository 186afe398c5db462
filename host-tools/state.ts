// SPDX-License-Identifier: MIT
/**
 * What this computer remembers, in one folder ($COFFER_HOME):
 *
 *   config.json                          the relay's address, this computer's client name, the repository
 *   authorities/{relay,device}/          certificate.pem, key.pem (only where certificates are made), issued/
 *   identities/ROLE/NAME/                certificate.pem, chain.pem (leaf + authority), key.pem
 *   crl/{relay,device}.pem               what each authority has revoked
 *   devices/NAME.json                    the pairing secret of a device
 *   repository/                          keys and cache of the repository (host-tools/repository)
 *
 * Everything a server reads is a plain file that is replaced whole, so that it can be read again while it runs. A
 * folder with one identity, both authorities' certificates and the list of revoked certificates is enough to run a
 * relay: the authorities' keys stay at home.
 */

import { readdir, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { type AuthorityName, type Role, authorityOf, peerAuthorityOf } from "./certs/roles";
import { isName, requireName } from "./names";
import { exists, makePrivateFolder, readIfPresent, writePrivateFile } from "./private-files";
import { Refusal, fromFileError } from "./refusal";

export const configVersion = 1;

export interface RelayAddress {
  host: string;
  port: number;
}

export interface Config {
  version: typeof configVersion;
  /** Where devices and clients dial. */
  relay: RelayAddress;
  /** The client identity that this computer uses. */
  client: string;
  repositoryId: string;
  /** ISO 8601, UTC. */
  createdAt: string;
}

/** What one end of a TLS connection needs, all PEM. */
export interface Identity {
  role: Role;
  name: string;
  key: string;
  certificate: string;
  /** Leaf, then its authority: what is sent to the other end. */
  chain: string;
  /** The authority whose certificates are accepted from the other end. */
  ca: string;
  /** What that authority has revoked; absent on a machine that was never given the list. */
  crl?: string;
}

/** The files behind an `Identity`, for a server that reads them again when they change. */
export interface IdentityPaths {
  key: string;
  certificate: string;
  chain: string;
  /** The authority that signed the certificate. */
  authority: string;
  ca: string;
  crl: string;
}

export interface DeviceRecord {
  version: 1;
  name: string;
  /** 32 random bytes as hex: client and device prove to each other that they know it. */
  pairingSecret: string;
  createdAt: string;
  /** Serial number of the device's certificate, hex. */
  certificateSerial: string;
  /** Folder of the files that a firmware build embeds, when they were written on this computer. */
  firmwareFolder?: string;
}

export interface Device {
  name: string;
  pairingSecret: Uint8Array;
  createdAt: string;
  certificateSerial: string;
  firmwareFolder: string | undefined;
}

/** The state folder: `--home`, else $COFFER_HOME, else the platform's configuration folder. */
export function resolveHome(option?: string, environment: NodeJS.ProcessEnv = process.env): string {
  if (option !== undefined && option !== "") return resolve(option);
  const fromEnvironment = environment.COFFER_HOME;
  if (fromEnvironment !== undefined && fromEnvironment !== "") return resolve(fromEnvironment);
  if (process.platform === "darwin") return join(homedir(), "Library", "Application Support", "Coffer");
  if (process.platform === "win32")
    return join(environment.APPDATA ?? join(homedir(), "AppData", "Roaming"), "Coffer");
  const xdg = environment.XDG_CONFIG_HOME;
  return join(xdg !== undefined && isAbsolute(xdg) ? xdg : join(homedir(), ".config"), "coffer");
}

export class State {
  readonly home: string;

  constructor(home: string) {
    this.home = resolve(home);
  }

  get configPath(): string {
    return join(this.home, "config.json");
  }

  /** Where host-tools/repository keeps its keys and its cache. */
  get repositoryFolder(): string {
    return join(this.home, "repository");
  }

  authorityFolder(authority: AuthorityName): string {
    return join(this.home, "authorities", authority);
  }

  authorityPaths(authority: AuthorityName): {
    certificate: string;
    key: string;
    issued: string;
    crl: string;
  } {
    const folder = this.authorityFolder(authority);
    return {
      certificate: join(folder, "certificate.pem"),
      key: join(folder, "key.pem"),
      issued: join(folder, "issued"),
      crl: join(this.home, "crl", `${authority}.pem`),
    };
  }

  identityFolder(role: Role, name: string): string {
    return join(this.home, "identities", role, requireName(name, `a ${role}`));
  }

  identityPaths(role: Role, name: string): IdentityPaths {
    const folder = this.identityFolder(role, name);
    const peer = this.authorityPaths(peerAuthorityOf(role));
    return {
      key: join(folder, "key.pem"),
      certificate: join(folder, "certificate.pem"),
      chain: join(folder, "chain.pem"),
      authority: this.authorityPaths(authorityOf(role)).certificate,
      ca: peer.certificate,
      crl: peer.crl,
    };
  }

  devicePath(name: string): string {
    return join(this.home, "devices", `${requireName(name, "a device")}.json`);
  }

  async isInitialised(): Promise<boolean> {
    return exists(this.configPath);
  }

  async loadConfig(): Promise<Config> {
    const text = await readIfPresent(this.configPath);
    if (text === undefined)
      throw new Refusal("notInitialised", `there is no Coffer in ${this.home}`, {
        hint: "Run `coffer init --relay HOST:PORT` first, or point --home or $COFFER_HOME at the right folder.",
      });
    return parseConfig(text, this.configPath);
  }

  async saveConfig(config: Config): Promise<void> {
    await writePrivateFile(this.configPath, toJson(config));
  }

  async hasIdentity(role: Role, name: string): Promise<boolean> {
    return exists(this.identityPaths(role, name).certificate);
  }

  async loadIdentity(role: Role, name: string): Promise<Identity> {
    const paths = this.identityPaths(role, name);
    const certificate = await readIfPresent(paths.certificate);
    if (certificate === undefined) {
      const make = role === "device" ? `coffer device add ${name}` : `coffer cert ${role} ${name}`;
      throw new Refusal("unknownIdentity", `there is no ${role} certificate named ${name} in ${this.home}`, {
        hint: `Make it with \`${make}\`, or see \`coffer cert list\`.`,
      });
    }
    const crl = await readIfPresent(paths.crl);
    return {
      role,
      name,
      key: await required(paths.key, `the key of ${role} ${name}`),
      certificate,
      chain: await required(paths.chain, `the certificate chain of ${role} ${name}`),
      ca: await required(paths.ca, `the certificate of the ${peerAuthorityOf(role)} authority`),
      ...(crl === undefined ? {} : { crl }),
    };
  }

  /** Writes key, leaf and chain. The key goes first: a certificate without its key must never be found. */
  async saveIdentity(
    role: Role,
    name: string,
    made: { key: string; certificate: string; authority: string },
  ): Promise<void> {
    const paths = this.identityPaths(role, name);
    await writePrivateFile(paths.key, made.key);
    await writePrivateFile(paths.chain, made.certificate + made.authority);
    await writePrivateFile(paths.certificate, made.certificate);
  }

  async removeIdentity(role: Role, name: string): Promise<void> {
    await rm(this.identityFolder(role, name), { recursive: true, force: true });
  }

  /** Names of the identities of a role, sorted. */
  async listIdentities(role: Role): Promise<string[]> {
    return (await namesIn(join(this.home, "identities", role))).filter(isName).sort();
  }

  async loadDevice(name: string): Promise<Device> {
    const path = this.devicePath(name);
    const text = await readIfPresent(path);
    if (text === undefined)
      throw new Refusal("unknownDevice", `no device named ${name} is paired with this computer`, {
        hint: `See \`coffer device list\`, or pair it with \`coffer device add ${name}\`.`,
      });
    return parseDevice(text, path);
  }

  async saveDevice(record: DeviceRecord): Promise<void> {
    await writePrivateFile(this.devicePath(record.name), toJson(record));
  }

  async removeDevice(name: string): Promise<void> {
    await rm(this.devicePath(name), { force: true });
  }

  /** Names of the paired devices, sorted. */
  async listDevices(): Promise<string[]> {
    const files = await namesIn(join(this.home, "devices"));
    return files
      .filter((file) => file.endsWith(".json"))
      .map((file) => file.slice(0, -".json".length))
      .filter(isName)
      .sort();
  }

  /** True where certificates can be signed, that is where the authority's key is. */
  async canSign(role: Role): Promise<boolean> {
    return exists(this.authorityPaths(authorityOf(role)).key);
  }

  async makeHome(): Promise<void> {
    await makePrivateFolder(this.home);
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw fromFileError(error, `cannot read ${folder}`);
  }
}

async function required(path: string, what: string): Promise<string> {
  const text = await readIfPresent(path);
  if (text === undefined)
    throw new Refusal("damagedState", `${what} is missing: ${path}`, {
      hint: "Restore the state folder from a copy.",
    });
  return text;
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** Reads a versioned JSON object; refuses one that a newer Coffer wrote before looking at anything else in it. */
function parseVersioned(text: string, path: string, version: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(path, "it is not JSON", error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw damaged(path, "it is not an object");
  const record = value as Record<string, unknown>;
  const found = record.version;
  if (typeof found !== "number" || !Number.isInteger(found) || found < 1)
    throw damaged(path, "it has no version");
  if (found > version)
    throw new Refusal(
      "newerVersion",
      `${path} has version ${String(found)}; this Coffer reads up to ${String(version)}`,
      {
        hint: "Update Coffer on this computer.",
      },
    );
  return record;
}

function parseConfig(text: string, path: string): Config {
  const record = parseVersioned(text, path, configVersion);
  const relay = record.relay as Partial<RelayAddress> | undefined;
  const { client, repositoryId, createdAt } = record;
  if (typeof relay?.host !== "string" || typeof relay.port !== "number")
    throw damaged(path, "the relay is missing");
  if (typeof client !== "string" || !isName(client)) throw damaged(path, "the client's name is missing");
  if (typeof repositoryId !== "string") throw damaged(path, "the repository is missing");
  return {
    version: configVersion,
    relay: { host: relay.host, port: relay.port },
    client,
    repositoryId,
    createdAt: typeof createdAt === "string" ? createdAt : "",
  };
}

function parseDevice(text: string, path: string): Device {
  const record = parseVersioned(text, path, 1);
  const { name, pairingSecret, createdAt, certificateSerial, firmwareFolder } = record;
  if (typeof name !== "string" || !isName(name)) throw damaged(path, "the name is missing");
  if (typeof pairingSecret !== "string" || !/^[0-9a-f]{64}$/.test(pairingSecret))
    throw damaged(path, "the pairing secret is missing");
  return {
    name,
    pairingSecret: new Uint8Array(Buffer.from(pairingSecret, "hex")),
    createdAt: typeof createdAt === "string" ? createdAt : "",
    certificateSerial: typeof certificateSerial === "string" ? certificateSerial : "",
    firmwareFolder: typeof firmwareFolder === "string" ? firmwareFolder : undefined,
  };
}

function damaged(path: string, why: string, cause?: unknown): Refusal {
  return new Refusal("damagedState", `${path} cannot be used: ${why}`, {
    hint: "Restore the file from a copy of the state folder.",
    ...(cause === undefined ? {} : { cause }),
  });
}
