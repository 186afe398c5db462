// SPDX-License-Identifier: MIT
/** Host names and addresses as certificates and the command line name them. */

import { isIP } from "node:net";
import { Refusal } from "../refusal";
import type { RelayAddress } from "../state";

const labelPattern = /^[a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** One host in its usual form: lower case, IPv6 shortened and without brackets. One wildcard label may lead. */
export function requireHost(text: string): string {
  const host = canonicalHost(text);
  if (host !== undefined) return host;
  throw new Refusal("usage", `${JSON.stringify(text)} is neither a DNS name nor an address`, {
    hint: "Give a name like relay.example.org, or an address like 192.0.2.7 or 2001:db8::7.",
  });
}

export function canonicalHost(text: string): string | undefined {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (isIP(bare) === 6) return new URL(`http://[${bare}]/`).hostname.slice(1, -1);
  if (isIP(bare) === 4) return bare;
  const name = bare.toLowerCase().replace(/\.$/, "");
  const labels = name.split(".");
  if (labels[0] === "*" && labels.length > 2) labels.shift();
  // A last label of digits is a mistyped address, never a name.
  const isNameLike = labels.every((label) => labelPattern.test(label)) && !/^\d+$/.test(labels.at(-1) ?? "");
  return isNameLike && name.length <= 253 ? name : undefined;
}

/** Reads HOST:PORT, IPv6 in brackets. */
export function requireAddress(text: string, options: { anyPort?: boolean } = {}): RelayAddress {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const host = canonicalHost(bracketed ?? plain ?? "");
  const port = Number(digits ?? "NaN");
  const lowest = options.anyPort === true ? 0 : 1;
  if (host === undefined || host.startsWith("*") || !(port >= lowest && port <= 65535))
    throw new Refusal("usage", `${JSON.stringify(text)} is not HOST:PORT`, {
      hint: "Examples: relay.example.org:4433, 192.0.2.7:4433, [2001:db8::7]:4433.",
    });
  return { host, port };
}

export function formatAddress({ host, port }: RelayAddress): string {
  return isIP(host) === 6 ? `[${host}]:${String(port)}` : `${host}:${String(port)}`;
}
