// SPDX-License-Identifier: Apache-2.0
// Answers a whole command line: finds the command, prints a failure in one line, returns the exit code.
// It is given the table of commands and knows none of them but the one that runs by default.
import { Failure, messageOf } from "../failure.ts";
import { oneLine } from "../log.ts";
import { type Command, defaultCommand, runCommand } from "./command.ts";
import type { Env } from "./env.ts";
import { ReaderGone } from "./standard_output.ts";

/** Commands by name, each loaded when it is needed. */
export type CommandTable = Readonly<Record<string, () => Promise<Command>>>;

/** @returns the exit code: 0 done, 1 the check failed or the gate refused, 2 usage or configuration error, 3 runtime error. */
export async function runProgram(table: CommandTable, args: readonly string[], env: Env): Promise<number> {
  try {
    return await dispatch(table, args, env);
  } catch (error) {
    if (error instanceof ReaderGone) return 0;
    env.stderr.line(`ttgate: ${oneLine(messageOf(error).replaceAll("\n", " "))}`);
    if (error instanceof Failure) return error.exitCode;
    if (error instanceof Error) env.stderr.line(String(error.stack));
    return 3;
  }
}

async function dispatch(table: CommandTable, args: readonly string[], env: Env): Promise<number> {
  const [first, ...rest] = args;
  if (first === "help" || ((first === "--help" || first === "-h") && rest.length === 0)) {
    env.stdout.line(await overview(table));
    return 0;
  }
  const name = first === "--version" ? "version" : first;
  if (name !== undefined && Object.hasOwn(table, name)) return run(table, name, rest, env);
  return run(table, defaultCommand, args, env);
}

async function run(table: CommandTable, name: string, args: readonly string[], env: Env): Promise<number> {
  const load = table[name];
  if (load === undefined) throw new Error(`There is no command "${name}"`);
  return runCommand(await load(), args, env);
}

/** All of them, for help and completion. */
export function loadAll(table: CommandTable): Promise<Command[]> {
  return Promise.all(Object.values(table).map((load) => load()));
}

async function overview(table: CommandTable): Promise<string> {
  const commands = await loadAll(table);
  const rows = commands.map(({ name, usage, about }) => {
    const typed = name === defaultCommand ? `[${name}] ${usage}` : `${name} ${usage}`;
    return `  ttgate ${typed.padEnd(26)} ${about}`;
  });
  return `${commands.find(({ name }) => name === defaultCommand)?.help ?? ""}

Commands ("ttgate COMMAND --help" tells more; every read-only command accepts --json):
${rows.join("\n")}

Exit codes: 0 done, 1 the check failed or the gate refused, 2 usage or configuration error, 3 runtime error.`;
}
