// SPDX-License-Identifier: Apache-2.0
// `ttgate completion SHELL`: prints what makes a shell complete ttgate's command line.
import process from "node:process";
import { type Flag, flagHelp, parseCommandLine } from "../cli.ts";
import { type CommandUsage, completionsOf } from "../completion.ts";
import { bashCompletion } from "../completion_bash.ts";
import { fishCompletion } from "../completion_fish.ts";
import { zshCompletion } from "../completion_zsh.ts";
import { Failure } from "../failure.ts";

const shells = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

export const completionFlags = { help: { short: "h", help: "this text" } } as const satisfies Record<string, Flag>;

const about = `Usage: ttgate completion ${Object.keys(shells).join("|")}

Prints the completion of ttgate for a shell:

  bash   ttgate completion bash > /etc/bash_completion.d/ttgate     (or: source <(ttgate completion bash))
  zsh    ttgate completion zsh > /usr/local/share/zsh/site-functions/_ttgate
  fish   ttgate completion fish > /etc/fish/completions/ttgate.fish

Options:
${flagHelp(completionFlags)}`;

/** @param commands all of them, as help has them. */
export async function completion(args: readonly string[], commands: readonly CommandUsage[]): Promise<number> {
  const { flags, positionals } = parseCommandLine(args, completionFlags, "completion ");
  if (flags["help"] === true) {
    console.log(about);
    return 0;
  }
  const [shell = "", ...others] = positionals;
  const known = Object.entries(shells).find(([name]) => name === shell);
  if (known === undefined || others.length > 0) {
    const remedy = `expected ${Object.keys(shells)
      .join(", ")
      .replace(/, (\w+)$/, " or $1")}`;
    throw new Failure(`Unknown shell "${positionals.join(" ")}": ${remedy}`, { exitCode: 2 });
  }
  const [, script] = known;
  process.stdout.write(script(completionsOf(commands)));
  return 0;
}
