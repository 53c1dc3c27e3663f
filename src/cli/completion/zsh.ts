// SPDX-License-Identifier: Apache-2.0
// Completion for zsh, by its _arguments.
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

export function zshCompletion(commands: readonly CommandCompletion[]): string {
  const aliasCases = Object.entries(aliases).map(([alias, name]) => `    ${alias}) words[2]=${name} ;;`);
  const described = commands.map(({ name, about }) => `    ${quoted(`${name}:${about}`)}`);
  return `#compdef ttgate
# zsh completion of ttgate, by "ttgate completion zsh"
_ttgate_profiles() {
  _alternative 'profiles:profile:(${profileNames.join(" ")})' 'files:file:_files'
}

_ttgate_banned() {
  local -a banned=(\${(f)"$(${bannedCommand})"})
  compadd -a banned
}

_ttgate_maps() {
  local -a maps=(\${(f)"$(ls /sys/fs/bpf 2>/dev/null | grep -Ev '${siblingPins}')"})
  _alternative 'maps:map:compadd -a maps' 'files:file:_files'
}

_ttgate() {
  local command=${defaultCommand}
  local -a commands=(
${described.join("\n")}
    'help:commands and options'
  )
  if [[ ( $CURRENT -eq 2 && $words[2] != -* ) || ( $CURRENT -eq 3 && $words[2] == help ) ]]; then
    _describe command commands
    return
  fi
  case $words[2] in
${aliasCases.join("\n")}
  esac
  if (( CURRENT > 2 && \${commands[(I)\${words[2]}:*]} )); then
    command=$words[2]
    shift words
    (( CURRENT-- ))
  fi
  case $command in
${commands.map(commandCase).join("\n")}
  esac
}

if [[ $funcstack[1] == _ttgate ]]; then _ttgate "$@"; else compdef _ttgate ttgate; fi
`;
}

function commandCase({ name, flags, operand }: CommandCompletion): string {
  const rest = operand.kind === "any" ? [] : [quoted(`*:operand:${actionOf(operand)}`)];
  const specs = [...flags.map(specOf), ...rest].map((spec) => `        ${spec}`);
  return `    ${name})\n      _arguments -s -S \\\n${specs.join(" \\\n")} ;;`;
}

function specOf({ long, short, help, repeats, value }: FlagCompletion): string {
  const tail = value === undefined ? "" : `:${colonsEscaped(value.name)}:${actionOf(value.completion)}`;
  const text = `[${help.replaceAll(/[[\]\\:]/g, "\\$&")}]${tail}`;
  const end = value === undefined ? "" : "=";
  if (short === undefined) return quoted(`${repeats ? "*" : ""}--${long}${end}${text}`);
  const before = quoted(repeats ? "*" : `(-${short} --${long})`);
  // -x is followed by its value at once or by the next word, --xx also by "=".
  return `${before}{-${short}${value === undefined ? "" : "+"},--${long}${end}}${quoted(text)}`;
}

function actionOf(completion: Completion): string {
  switch (completion.kind) {
    case "any":
      return " ";
    case "words":
      return `(${completion.words.join(" ")})`;
    case "profiles":
      return "_ttgate_profiles";
    case "files":
      return "_files";
    case "interfaces":
      return "_net_interfaces";
    case "maps":
      return "_ttgate_maps";
    case "banned":
      return "_ttgate_banned";
    case "users":
      return "_users";
    default:
      return completion satisfies never;
  }
}

function colonsEscaped(text: string): string {
  return text.replaceAll(":", "\\:");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
