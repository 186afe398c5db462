// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";
import { formatMode, isoTime, nodeRecord } from "../listing/node-format";
import { formatBytes, printable } from "../render";
import type { NodeType, RemoteNode } from "../repository/repository";
import { plural } from "../transfer-progress";
import { atOption, resolveAt } from "../version-option";
import { requireNode } from "./ls";

interface StatOptions extends GlobalOptions {
  path: string[];
  at: string | undefined;
}

const typeNames: Readonly<Record<NodeType, string>> = {
  file: "file",
  directory: "folder",
  symlink: "symbolic link",
};

export const statCommand: FileCommand<StatOptions> = {
  command: "stat <path..>",
  describe: "Show everything known about remote files and folders",
  completion: { arguments: ["remote"], options: ["--at", "--json"], optionValues: { "--at": "none" } },
  builder: (yargs) =>
    yargs
      .positional("path", { type: "string", array: true, describe: "Remote paths", demandOption: true })
      .option("at", atOption),
  run: async (options, { output, session }) => {
    const repository = await session.repository();
    await repository.refresh();
    const at = await resolveAt(repository, options.at, output);
    for (const path of options.path) {
      const remote = session.remotePath(path);
      const node = await requireNode(repository, remote, { at });
      output.result(nodeRecord(node, remote), describe(node, remote));
    }
  },
};

export const command = standalone(statCommand);

function describe(node: RemoteNode, remote: string): string {
  const rows: (readonly [string, string])[] = [
    ["path", printable(remote)],
    ["type", typeNames[node.type]],
    ["size", `${formatBytes(node.sizeBytes)} (${plural(node.sizeBytes, "byte")})`],
    ["mode", `${formatMode(node.type, node.mode)} (${node.mode.toString(8).padStart(4, "0")})`],
    ["modified", isoTime(node.mtimeNs)],
  ];
  if (node.type === "directory") rows.push(["holds", plural(node.entries, "thing")]);
  if (node.target !== undefined) rows.push(["target", printable(node.target)]);
  rows.push(["content", node.contentId]);
  return rows.map(([name, value]) => `${name.padEnd(8)}  ${value}`).join("\n");
}
