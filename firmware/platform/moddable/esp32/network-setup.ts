// SPDX-License-Identifier: MIT
/**
 * In place of the SDK's "setup/network", which connects to Wi-Fi once, waits for it before anything else runs, and does not
 * connect again: wifi-keeper.ts does. It imports nothing, because a module of another name has other neighbours.
 */
export default function setUpNothing(done: () => void): void {
  done();
}
