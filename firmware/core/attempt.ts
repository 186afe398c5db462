// SPDX-License-Identifier: MIT
/** Runs `step`; what it throws goes to `failed`: nothing may be thrown out of a port's callback. */
export function attempt(step: () => void, failed: (error: unknown) => void): void {
  try {
    step();
  } catch (error) {
    failed(error);
  }
}
