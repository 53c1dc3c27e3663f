// SPDX-License-Identifier: Apache-2.0
// The commands and files that a page of docs/ shows. In a fenced block, by what follows the three ticks:
//   sh       is run, command by command, in the order of the page
//   sh host  wants systemd, apt, a container or a day: its form is looked at
//   toml     is a configuration, and valid
// A comment that readers do not see sets the scene: <!-- run: COMMAND -->, <!-- gate: COMMAND --> (a gate that stays).
import { readFileSync } from "node:fs";

interface Command {
  readonly command: string;
  readonly line: number;
}

interface CommandStep extends Command {
  readonly kind: "run" | "gate" | "form";
}

export type Step = CommandStep | { readonly kind: "config"; readonly text: string; readonly line: number };

const parts = /^<!-- (run|gate): (.*?) -->$|^```(sh host|sh|toml)\n(.*?)^```$/gms;

export function steps(file: string): Step[] {
  const page = readFileSync(file, "utf8");
  return [...page.matchAll(parts)].flatMap(({ index, 1: scene, 2: hidden = "", 3: language, 4: text = "" }): Step[] => {
    const line = page.slice(0, index).split("\n").length;
    if (scene !== undefined) return [{ kind: scene as "run" | "gate", command: hidden, line }];
    if (language === "toml") return [{ kind: "config", text, line }];
    const commands = commandsOf(text, line + 1);
    if (language === "sh host") return commands.map((command) => ({ ...command, kind: "form" }));
    return together(commands);
  });
}

/** What stands together shares a shell, and with it its variables. */
function together(commands: readonly Command[]): CommandStep[] {
  const all: { kind: "run" | "gate"; command: string; line: number }[] = [];
  for (const { command, line } of commands) {
    const kind = isGate(command) ? "gate" : "run";
    const last = all.at(-1);
    const isAlone = isEndless(command) || (last !== undefined && isEndless(last.command));
    if (last?.kind === "run" && kind === "run" && !isAlone) last.command += `\n${command}`;
    else all.push({ kind, command, line });
  }
  return all;
}

/** A line each, or several where a backslash ends one; without comments. */
function commandsOf(text: string, firstLine: number): Command[] {
  const commands: { command: string; line: number }[] = [];
  let isOpen = false;
  for (const [index, line] of text.trimEnd().split("\n").entries()) {
    const last = commands.at(-1);
    if (isOpen && last !== undefined) last.command += `\n${line}`;
    else commands.push({ command: line.replace(/(^|\s{2,})#.*$/, ""), line: firstLine + index });
    isOpen = line.endsWith("\\");
  }
  return commands.filter(({ command }) => command.trim() !== "");
}

/** One that goes on until it is stopped. */
function isGate(command: string): boolean {
  return /^(\.\/)?ttgate( run| -|$)/.test(command) && !/--(help|version)\b/.test(command);
}

/** Follows until it is interrupted. */
export function isEndless(command: string): boolean {
  return /^ttgate (events|top)\b(?!.*--once)/.test(command);
}
