// SPDX-License-Identifier: Apache-2.0
// Answers a whole command line: finds the command, prints a failure in one line, returns the exit code.
// It is given the table of commands and knows none of them but the one that runs by default.
import { closestWord } from "../core/closest.ts";
import { Failure, messageOf } from "../failure.ts";
import { oneLine } from "../log.ts";
import { aliases } from "./aliases.ts";
import { red } from "./colour.ts";
import { type Command, defaultCommand, runCommand } from "./command.ts";
import type { Env } from "./env.ts";
import { exitCodesHelp } from "./exit_codes.ts";
import { reflowed } from "./reflow.ts";
import { ReaderGone } from "./standard_output.ts";

/** Commands by name, each loaded when it is needed. */
export type CommandTable = Readonly<Record<string, () => Promise<Command>>>;

/** @returns the exit code: exit_codes.ts. */
export async function runProgram(table: CommandTable, args: readonly string[], env: Env): Promise<number> {
  try {
    return await dispatch(table, args, env);
  } catch (error) {
    if (error instanceof ReaderGone) return 0;
    env.stderr.line(`${red(env.stderr, "ttgate:")} ${oneLine(messageOf(error).replaceAll("\n", " "))}`);
    if (error instanceof Failure) return error.exitCode;
    if (error instanceof Error) env.stderr.line(String(error.stack));
    return 3;
  }
}

async function dispatch(table: CommandTable, args: readonly string[], env: Env): Promise<number> {
  const [first, ...rest] = args;
  const isHelp = first === "help" || ((first === "--help" || first === "-h") && rest.length === 0);
  if (isHelp) {
    env.stdout.line(await help(table, rest));
    return 0;
  }
  if (first === "--version" || first === "-V") return runCommand(await commandOf(table, "version"), rest, env);
  if (first === undefined || first.startsWith("-"))
    return runCommand(await commandOf(table, defaultCommand), args, env);
  return runCommand(await commandOf(table, first), rest, env);
}

/** @throws Failure when there is none of this name. */
function commandOf(table: CommandTable, typed: string): Promise<Command> {
  const name = Object.hasOwn(aliases, typed) ? (aliases[typed] ?? "") : typed;
  const load = Object.hasOwn(table, name) ? table[name] : undefined;
  if (load !== undefined) return load();
  const meant = closestWord(typed, [...Object.keys(table), ...Object.keys(aliases), "help"]);
  const remedy = `${meant === undefined ? "" : `did you mean "${meant}"? `}see "ttgate --help"`;
  throw new Failure(`Unknown command "${typed}": ${remedy}`, { exitCode: 2 });
}

async function help(table: CommandTable, [name, ...others]: readonly string[]): Promise<string> {
  if (name === undefined) return overview(table);
  if (others.length > 0) {
    const given = [name, ...others].join(" ");
    throw new Failure(`ttgate help takes one COMMAND, given: "${given}": see "ttgate --help"`, { exitCode: 2 });
  }
  return (await commandOf(table, name)).help;
}

/** All of them, for help and completion. */
export function loadAll(table: CommandTable): Promise<Command[]> {
  return Promise.all(Object.values(table).map((load) => load()));
}

async function overview(table: CommandTable): Promise<string> {
  const commands = await loadAll(table);
  const rows = commands.map(({ name, usage, about }) => {
    const typed = name === defaultCommand ? `[${name}] ${usage}` : `${name} ${usage}`;
    return `  ttgate ${typed.padEnd(26)}  ${about}`;
  });
  const others = Object.entries(aliases).map(([alias, name]) => `${alias} (${name})`);
  const [guard = ""] = (commands.find(({ name }) => name === defaultCommand)?.help ?? "").split("\n\nExit codes:", 1);
  return reflowed(`${guard}

Commands:
${rows.join("\n")}

"ttgate help COMMAND" tells more of one; "ttgate -V" prints the version. Every read-only command accepts --json.
Other words for commands: ${others.join(", ")}.

${exitCodesHelp()}`);
}
