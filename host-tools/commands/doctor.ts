// SPDX-License-Identifier: MIT
import type { CommandModule } from "yargs";
import { type GlobalOptions, contextOf } from "../command-context";
import { examine } from "../doctor";
import { Refusal } from "../refusal";

export const command: CommandModule<GlobalOptions, GlobalOptions> = {
  command: "doctor",
  describe: "Check this computer: tools, state folder, certificates, relay",
  builder: (yargs) => yargs,
  handler: async (options) => {
    const { state, output } = contextOf(options);
    const findings = await examine(state);
    const width = Math.max(...findings.map(({ name }) => name.length));
    for (const finding of findings) {
      const { name, state: verdict, detail, remedy } = finding;
      const indent = " ".repeat(width + 11);
      const advice = remedy === undefined || verdict === "ok" ? "" : `\n${indent}${remedy}`;
      output.result(finding, `${verdict.padEnd(7)}  ${name.padEnd(width)}  ${detail}${advice}`);
    }
    const bad = findings.filter(({ state: verdict }) => verdict === "missing" || verdict === "fail");
    if (bad.length > 0)
      throw new Refusal(
        "doctorFindings",
        `to put right: ${[...new Set(bad.map(({ name }) => name))].join(", ")}`,
      );
  },
};
