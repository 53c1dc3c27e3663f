// SPDX-License-Identifier: Apache-2.0
// Completion for bash 4 and later, without the package bash-completion.
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

export function bashCompletion(commands: readonly CommandCompletion[]): string {
  const names = commands.map(({ name }) => name);
  const aliasCases = Object.entries(aliases).map(([alias, name]) => `      ${alias}) command=${name} ;;`);
  return `# bash completion of ttgate, by "ttgate completion bash"
_ttgate_complete() {
  local cur=$1 kind=$2
  shift 2
  case $kind in
    words) mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur") ;;
    profiles) mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur"; compgen -f -- "$cur"); compopt -o filenames ;;
    files) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); compopt -o filenames ;;
    interfaces) mapfile -t COMPREPLY < <(compgen -W "$(cd /sys/class/net 2>/dev/null && printf '%s ' *)" -- "$cur") ;;
    maps)
      if [[ $cur == */* ]]; then mapfile -t COMPREPLY < <(compgen -f -- "$cur"); compopt -o filenames
      else mapfile -t COMPREPLY < <(cd /sys/fs/bpf 2>/dev/null && compgen -f -- "$cur" | grep -Ev '${siblingPins}'); fi ;;
    banned)
      local word=\${COMP_LINE:0:COMP_POINT}
      word=\${word##* }
      mapfile -t COMPREPLY < <(compgen -W "$(${bannedCommand})" -- "$word")
      # bash takes what stands behind a colon for a word of its own.
      if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("\${COMPREPLY[@]#"\${word%"\${word##*:}"}"}")
      fi ;;
    users) mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
  esac
}

_ttgate() {
  local cur=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} command=${defaultCommand}
  COMPREPLY=()
  # bash takes "--log=text" for three words.
  if [[ $cur == = ]]; then cur=
  elif [[ $before == = ]]; then before=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  if (( COMP_CWORD > 1 )); then
    case \${COMP_WORDS[1]} in
      ${names.join("|")}) command=\${COMP_WORDS[1]} ;;
${aliasCases.join("\n")}
    esac
  fi
  case "$command $before" in
${commands.flatMap(valueCases).join("\n")}
  esac
  if (( COMP_CWORD == 1 )) && [[ $cur != -* ]]; then _ttgate_complete "$cur" words ${names.join(" ")} help; return; fi
  if [[ \${COMP_WORDS[1]} == help ]]; then _ttgate_complete "$cur" words ${names.join(" ")}; return; fi
  case $command in
${commands.map(wordCase).join("\n")}
  esac
}

complete -F _ttgate ttgate
`;
}

function valueCases({ name, flags }: CommandCompletion): string[] {
  return flags.flatMap((flag) => {
    if (flag.value === undefined) return [];
    const patterns = spelled(flag).map((spelling) => `"${name} ${spelling}"`);
    const call = callOf(flag.value.completion);
    return `    ${patterns.join("|")}) ${call === "" ? "" : `${call}; `}return ;;`;
  });
}

function wordCase({ name, flags, operand }: CommandCompletion): string {
  const words = flags.flatMap(spelled).join(" ");
  const call = callOf(operand);
  const orOperand = call === "" ? "" : ` else ${call};`;
  return `    ${name}) if [[ $cur == -* ]]; then _ttgate_complete "$cur" words ${words};${orOperand} fi ;;`;
}

function spelled({ long, short }: FlagCompletion): string[] {
  return short === undefined ? [`--${long}`] : [`--${long}`, `-${short}`];
}

function callOf(completion: Completion): string {
  switch (completion.kind) {
    case "any":
      return "";
    case "words":
      return `_ttgate_complete "$cur" words ${completion.words.join(" ")}`;
    case "profiles":
      return `_ttgate_complete "$cur" profiles ${profileNames.join(" ")}`;
    case "banned":
    case "files":
    case "interfaces":
    case "maps":
    case "users":
      return `_ttgate_complete "$cur" ${completion.kind}`;
    default:
      return completion satisfies never;
  }
}
