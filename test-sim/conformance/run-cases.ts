// SPDX-License-Identifier: MIT
/** Declares a port's cases as mocha tests against one adapter. */
import type { PortCase } from "./case";

export function describeCases<Port>(
  title: string,
  cases: readonly PortCase<Port>[],
  make: () => Port | Promise<Port>,
  dispose?: (port: Port) => unknown,
): void {
  describe(title, () => {
    for (const portCase of cases)
      it(portCase.name, async () => {
        const port = await make();
        try {
          await portCase.run(port);
        } finally {
          await dispose?.(port);
        }
      });
  });
}
