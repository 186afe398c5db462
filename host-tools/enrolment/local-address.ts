// SPDX-License-Identifier: MIT
/** Where another computer reaches this one: an address that can be put into a code. */

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { Refusal } from "../refusal";
import type { RelayAddress } from "../state";

/** The numeric host to show for what is listened on: of all addresses the first of the local network, IPv4 before IPv6. */
export async function reachableHost({ host }: RelayAddress): Promise<string> {
  if (host === "0.0.0.0" || host === "::") return localHost();
  if (isIP(host) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new Refusal("cannotListen", `${host} is no address of this computer`, {
      hint: "Give --listen with an address of this computer.",
      cause,
    });
  }
}

function localHost(): string {
  const all = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"));
  const found = all.find(({ family }) => family === "IPv4") ?? all[0];
  if (!found)
    throw new Refusal("cannotListen", "this computer has no address in a network", {
      hint: "Connect it, or give --listen with an address that the other computer reaches.",
    });
  return found.address;
}
