// SPDX-License-Identifier: Apache-2.0
// Completion for fish 3 and later.
import { aliases } from "../aliases.ts";
import { defaultCommand } from "../command.ts";
import {
  bannedCommand,
  type CommandCompletion,
  type Completion,
  type FlagCompletion,
  profileNames,
  siblingPins,
} from "./completion.ts";

export function fishCompletion(commands: readonly CommandCompletion[]): string {
  const names = commands.map(({ name }) => name);
  const aliasCases = Object.entries(aliases).map(
    ([alias, name]) => `        case ${alias}\n            set words[2] ${name}`,
  );
  const first = commands.map(
    ({ name, about }) => `complete -c ttgate -n __ttgate_first -a ${name} -d ${quoted(about)}`,
  );
  return `# fish completion of ttgate, by "ttgate completion fish"
function __ttgate_first
    test (count (commandline -opc)) -eq 1
end

function __ttgate_is
    set -l words (commandline -opc)
    set -l command ${defaultCommand}
    switch "$words[2]"
${aliasCases.join("\n")}
    end
    contains -- "$words[2]" ${names.join(" ")}; and set command $words[2]
    test $command = $argv[1]
end

function __ttgate_helps
    set -l words (commandline -opc)
    test (count $words) -eq 2; and test $words[2] = help
end

complete -c ttgate -f
complete -c ttgate -n __ttgate_helps -a ${quoted(names.join(" "))}
complete -c ttgate -n __ttgate_first -a help -d 'commands and options'
${[...first, ...commands.flatMap(commandLines)].join("\n")}
`;
}

function commandLines({ name, flags, operand }: CommandCompletion): string[] {
  const condition = `complete -c ttgate -n '__ttgate_is ${name}'`;
  const operands = operand.kind === "any" ? [] : [`${condition}${argumentsOf(operand)}`];
  return [...flags.map((flag) => `${condition}${flagOf(flag)}`), ...operands];
}

function flagOf({ long, short, help, value }: FlagCompletion): string {
  const names = ` -l ${long}${short === undefined ? "" : ` -s ${short}`}`;
  return `${names}${value === undefined ? "" : ` -r${argumentsOf(value.completion)}`} -d ${quoted(help)}`;
}

function argumentsOf(completion: Completion): string {
  switch (completion.kind) {
    case "any":
      return " -f";
    case "words":
      return ` -f -a ${quoted(completion.words.join(" "))}`;
    case "profiles":
      return ` -F -a ${quoted(profileNames.join(" "))}`;
    case "files":
      return " -F";
    case "interfaces":
      return " -f -a '(__fish_print_interfaces)'";
    case "maps":
      return ` -F -a ${quoted(`(path basename /sys/fs/bpf/* 2>/dev/null | string match -rv '${siblingPins}')`)}`;
    case "banned":
      return ` -f -a ${quoted(`(${bannedCommand})`)}`;
    case "users":
      return " -f -a '(__fish_complete_users)'";
    default:
      return completion satisfies never;
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
