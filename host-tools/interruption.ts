// SPDX-License-Identifier: MIT
/**
 * Ctrl-C and termination signals. A command that has something to put in order asks for the signal and ends by
 * itself when it fires; any other command ends at once. A second signal always ends at once.
 */

import { ExitStatus } from "./exit-status";
import { Refusal } from "./refusal";

const controller = new AbortController();
let isWatched = false;

/** Fires when the person or the system asks Coffer to stop. Who asks for it promises to end soon after. */
export function interruptSignal(): AbortSignal {
  isWatched = true;
  return controller.signal;
}

/** Throws the refusal that an interrupted command ends with, once the signal has fired. */
export function throwIfInterrupted(): void {
  if (controller.signal.aborted) throw interrupted();
}

export function interrupted(): Refusal {
  return new Refusal("interrupted", "interrupted", {
    hint: "Run the same command again; it continues where it stopped.",
  });
}

export function watchSignals(): void {
  const onSignal = (): void => {
    if (!isWatched || controller.signal.aborted) {
      process.stderr.write("coffer: interrupted\n");
      process.exit(ExitStatus.interrupted);
    }
    controller.abort(interrupted());
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
}
