// SPDX-License-Identifier: MIT
/** Addresses of names, from the network's name server. It gives up by itself after some seconds. */
import Net from "net";

export function resolve(host: string, done: (address: string | undefined) => void): void {
  Net.resolve(host, (_name, address) => {
    done(address);
  });
}
