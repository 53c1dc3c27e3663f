// SPDX-License-Identifier: Apache-2.0
// `ttgate completion SHELL`: prints what makes a shell complete ttgate's command line.
import { type Command, helpFlag, helpText } from "../cli/command.ts";
import { bashCompletion } from "../cli/completion/bash.ts";
import { completionsOf } from "../cli/completion/completion.ts";
import { fishCompletion } from "../cli/completion/fish.ts";
import { zshCompletion } from "../cli/completion/zsh.ts";
import { type CommandTable, loadAll } from "../cli/program.ts";
import { Failure } from "../failure.ts";

const shells = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };
const usage = Object.keys(shells).join("|");
const flags = { help: helpFlag };

const head = `Usage: ttgate completion ${usage}

Prints the completion of ttgate for a shell:

  bash   ttgate completion bash > /etc/bash_completion.d/ttgate
         source <(ttgate completion bash) in ~/.bashrc does as well
  zsh    ttgate completion zsh > /usr/local/share/zsh/site-functions/_ttgate
  fish   ttgate completion fish > /etc/fish/completions/ttgate.fish`;

/** @param commands what there is to complete, this command too. */
export function completionOf(commands: CommandTable): Command {
  return {
    ...{ name: "completion", usage, flags },
    about: "completion of all commands and options for a shell",
    help: helpText(head, flags),
    async run({ positionals }, { stdout }) {
      const script = scriptOf(positionals);
      stdout.line(script(completionsOf(await loadAll(commands))).trimEnd());
      return 0;
    },
  };
}

function scriptOf(positionals: readonly string[]) {
  const [, script] = Object.entries(shells).find(([name]) => name === positionals[0]) ?? [];
  if (script !== undefined && positionals.length === 1) return script;
  const remedy = `expected ${Object.keys(shells)
    .join(", ")
    .replace(/, (\w+)$/, " or $1")}`;
  throw new Failure(`Unknown shell "${positionals.join(" ")}": ${remedy}`, { exitCode: 2 });
}
