// SPDX-License-Identifier: MIT
import type { GlobalOptions } from "../command-context";
import { type FileCommand, standalone } from "../file-command";
import { Refusal } from "../refusal";
import { printable } from "../render";

interface TagOptions extends GlobalOptions {
  name: string | undefined;
  which: string | undefined;
  list: boolean;
  remove: boolean;
}

export const tagCommand: FileCommand<TagOptions> = {
  command: "tag [name] [which]",
  describe: "Give a version a name, list the names, or take one away",
  completion: { arguments: ["none"], options: ["--list", "--remove", "--json"] },
  builder: (yargs) =>
    yargs
      .positional("name", { type: "string", describe: "Letters, digits, dots, dashes and underscores" })
      .positional("which", {
        type: "string",
        describe: "A version, tag or time (default: the latest version)",
      })
      .option("list", { type: "boolean", default: false, describe: "All tags; also without a name" })
      .option("remove", { type: "boolean", default: false, describe: "Take the tag away; the version stays" })
      .example("$0 tag before-the-move", "the latest version")
      .example("$0 tag tax-2025 '2026-01-31'", ""),
  run: async ({ name, which, list, remove }, { output, session }) => {
    if (name !== undefined && list)
      throw new Refusal("usage", "--list takes no name", { hint: "Leave out one of them." });
    if (remove && (name === undefined || which !== undefined || list))
      throw new Refusal("usage", "--remove takes the name of one tag and nothing else");
    const { versions } = await session.repository();
    if (name === undefined) {
      for (const tag of await versions.tags()) output.result(tag, `${tag.name}  ${tag.version}`);
    } else if (remove) {
      await versions.untag(name);
      output.result({ name, removed: true });
    } else {
      const { id, shortId } = await versions.tag(name, which);
      output.result({ name, version: id }, `${printable(name)} is version ${shortId}`);
    }
  },
};

export const command = standalone(tagCommand);
