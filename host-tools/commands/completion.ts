// SPDX-License-Identifier: MIT
import { basename } from "node:path";
import type { CommandModule } from "yargs";
import type { GlobalOptions } from "../command-context";

interface CompletionOptions extends GlobalOptions {
  shell: string | undefined;
}

const shells = ["bash", "zsh", "fish"] as const;

export const command: CommandModule<GlobalOptions, CompletionOptions> = {
  command: "completion [shell]",
  describe: "Print the completion script for bash, zsh or fish",
  builder: (yargs) =>
    yargs
      .positional("shell", {
        type: "string",
        choices: [...shells],
        describe: "Which shell (default: from $SHELL)",
      })
      .example('eval "$($0 completion bash)"', "in ~/.bashrc")
      .example('eval "$($0 completion zsh)"', "in ~/.zshrc, after compinit")
      .example("$0 completion fish > ~/.config/fish/completions/coffer.fish", ""),
  handler: ({ shell }) => {
    const wanted = shell ?? basename(process.env.SHELL ?? "bash");
    process.stdout.write(wanted === "zsh" ? zshScript : wanted === "fish" ? fishScript : bashScript);
  },
};

// Each script asks `coffer --get-yargs-completions WORDS...`; where that has no answer, files are completed.

const bashScript = `_coffer_completions() {
    local word candidates
    word="\${COMP_WORDS[COMP_CWORD]}"
    mapfile -t candidates < <(coffer --get-yargs-completions "\${COMP_WORDS[@]}" 2>/dev/null)
    mapfile -t COMPREPLY < <(compgen -W "\${candidates[*]}" -- "$word")
}
complete -o bashdefault -o default -F _coffer_completions coffer
`;

const zshScript = `#compdef coffer
_coffer_completions() {
    local -a candidates
    candidates=("\${(@f)$(coffer --get-yargs-completions "\${words[@]}" 2>/dev/null)}")
    candidates=("\${candidates[@]:#}")
    if (( \${#candidates} )); then _describe coffer candidates; else _files; fi
}
compdef _coffer_completions coffer
`;

const fishScript = `function __coffer_completions
    coffer --get-yargs-completions (commandline -opc) (commandline -ct) 2>/dev/null | string replace -r ':' '\\t'
end
complete -c coffer -a '(__coffer_completions)'
`;
