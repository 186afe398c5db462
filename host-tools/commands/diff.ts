// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";
import { changeLine, changeRecord } from "../listing/version-format";
import { formatBytes } from "../render";
import type { NodeChange } from "../repository/repository";
import { resolveAt } from "../version-option";

interface DiffOptions extends GlobalOptions {
  from: string;
  to: string;
  path: string | undefined;
}

const names: Readonly<Record<NodeChange["change"], string>> = {
  added: "added",
  removed: "removed",
  modified: "modified",
  type: "of another type",
  mode: "with another mode",
};

export const diffCommand: FileCommand<DiffOptions> = {
  command: "diff <from> [to] [path]",
  describe: "Show what differs between two versions",
  completion: { arguments: ["none", "none", "remote", "none"], options: ["--json"] },
  builder: (yargs) =>
    yargs
      .positional("from", { type: "string", describe: "A version, tag or time", demandOption: true })
      .positional("to", {
        type: "string",
        default: "latest",
        describe: "Another one (default: latest, what is there now)",
      })
      .positional("path", { type: "string", describe: "Only at and below this remote path" })
      .epilogue("+ added, - removed, M modified, T of another type, P with other permissions")
      .example("$0 diff yesterday", "what has changed since the end of yesterday")
      .example("$0 diff v1 v2 photos", ""),
  run: async (options, { output, session }) => {
    const repository = await session.repository();
    await repository.refresh();
    const from = (await resolveAt(repository, options.from, output)) ?? "latest";
    const to = await resolveAt(repository, options.to, output);
    const counts = { added: 0, removed: 0, modified: 0, type: 0, mode: 0 };
    let [addedBytes, removedBytes] = [0, 0];
    const path = session.remotePath(options.path ?? "/");
    for await (const change of repository.versions.diff(from, to, path)) {
      counts[change.change] += 1;
      if (change.change !== "mode") {
        addedBytes += bytesOf(change.after);
        removedBytes += bytesOf(change.before);
      }
      output.result(changeRecord(change), changeLine(change));
    }
    const told = Object.entries(counts).filter(([, count]) => count > 0);
    const text = told.map(([kind, count]) => `${String(count)} ${names[kind as NodeChange["change"]]}`);
    output.result(
      { summary: { ...counts, addedBytes, removedBytes } },
      output.quiet
        ? undefined
        : text.length === 0
          ? "no difference"
          : `${text.join(", ")}; ${formatBytes(addedBytes)} came, ${formatBytes(removedBytes)} went`,
    );
  },
};

export const command = standalone(diffCommand);

/** Folders and links have no bytes of their own. */
function bytesOf(node: NodeChange["after"]): number {
  return node?.type === "file" ? node.sizeBytes : 0;
}
