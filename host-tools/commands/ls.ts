// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";
import { inColumns, longLines, nodeRecord } from "../listing/node-format";
import { Refusal } from "../refusal";
import { type Output, printable } from "../render";
import type { AtOptions, RemoteNode, Repository } from "../repository/repository";
import { joinRemote, remoteParent } from "../shell/remote-path";
import { atOption, resolveAt } from "../version-option";

interface LsOptions extends GlobalOptions {
  path: string[];
  long: boolean;
  recursive: boolean;
  at: string | undefined;
}

export const lsCommand: FileCommand<LsOptions> = {
  command: "ls [path..]",
  describe: "List remote files and folders",
  completion: {
    arguments: ["remote"],
    options: ["-l", "--long", "-R", "--recursive", "--at", "--json"],
    optionValues: { "--at": "none" },
  },
  builder: (yargs) =>
    yargs
      .positional("path", {
        type: "string",
        array: true,
        default: [],
        describe: "Remote paths (default: here)",
      })
      .option("long", { alias: "l", type: "boolean", default: false, describe: "Mode, size, time and name" })
      .option("recursive", {
        alias: "R",
        type: "boolean",
        default: false,
        describe: "Also what is in the folders",
      })
      .option("at", atOption),
  run: async (options, { output, session }) => {
    const typed = options.path.length === 0 ? ["."] : options.path;
    const repository = await session.repository();
    await repository.refresh();
    const at = { at: await resolveAt(repository, options.at, output) };
    const isSeveral = typed.length > 1 || options.recursive;
    const print = new Listing(output, options.long, isSeveral);
    for (const path of typed) {
      const remote = session.remotePath(path);
      const node = await requireNode(repository, remote, at);
      if (node.type !== "directory") print.single(node, remote, path);
      else if (options.recursive) await listAll(repository, remote, print, at);
      else print.folder(await repository.list(remote, at), remote);
    }
  },
};

export const command = standalone(lsCommand);

/** The node at a path, or the refusal for a path where there is none. */
export async function requireNode(
  repository: Repository,
  remote: string,
  options: AtOptions = {},
): Promise<RemoteNode> {
  const node = await repository.stat(remote, options);
  if (node !== undefined) return node;
  const { at } = options;
  const where = at === undefined ? "in the repository" : `in the version ${at.slice(0, 8)}`;
  const option = at === undefined ? "" : ` --at ${at.slice(0, 8)}`;
  throw new Refusal("pathNotFound", `there is no ${printable(remote)} ${where}`, {
    hint: `See what is there with \`coffer ls ${printable(remoteParent(remote))}${option}\`.`,
  });
}

/** One folder after the other, as `ls -R` does, holding only one of them at a time. */
async function listAll(repository: Repository, folder: string, print: Listing, at: AtOptions): Promise<void> {
  const nodes = await repository.list(folder, at);
  print.folder(nodes, folder);
  for (const node of nodes)
    if (node.type === "directory") await listAll(repository, joinRemote(folder, node.name), print, at);
}

class Listing {
  readonly #output: Output;
  readonly #isLong: boolean;
  readonly #hasHeadings: boolean;
  #isFirst = true;

  constructor(output: Output, isLong: boolean, hasHeadings: boolean) {
    this.#output = output;
    this.#isLong = isLong;
    this.#hasHeadings = hasHeadings;
  }

  single(node: RemoteNode, remote: string, typed: string): void {
    const [line = ""] = this.#isLong ? longLines([{ node, name: typed }]) : [printable(typed)];
    this.#output.result(nodeRecord(node, remote), line);
    this.#isFirst = false;
  }

  folder(nodes: readonly RemoteNode[], remote: string): void {
    if (this.#output.json) {
      for (const node of nodes) this.#output.result(nodeRecord(node, joinRemote(remote, node.name)));
      return;
    }
    if (this.#hasHeadings) this.#output.line(`${this.#isFirst ? "" : "\n"}${printable(remote)}:`);
    this.#isFirst = false;
    for (const line of this.#lines(nodes)) this.#output.line(line);
  }

  #lines(nodes: readonly RemoteNode[]): string[] {
    if (this.#isLong) return longLines(nodes.map((node) => ({ node, name: node.name })));
    const names = nodes.map((node) => printable(node.name));
    if (!process.stdout.isTTY) return names;
    const marked = names.map((name, index) => (nodes[index]?.type === "directory" ? `${name}/` : name));
    return inColumns(marked, process.stdout.columns || 80);
  }
}
