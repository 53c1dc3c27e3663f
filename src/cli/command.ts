// SPDX-License-Identifier: Apache-2.0
// A command of ttgate as a value: what help and completion say of it, and what it does. The flags are
// read and --help is answered here, once for all commands.
import { type CommandLine, type Flag, flagHelp, parseCommandLine } from "./command_line.ts";
import type { Env } from "./env.ts";
import { type ExitCode, exitCodesHelp } from "./exit_codes.ts";
import { reflowed } from "./reflow.ts";

export type Flags = Readonly<Record<string, Flag>>;

export interface Command {
  readonly name: string;
  /** What follows the name in a list of commands: `ADDR|CIDR`, or nothing. */
  readonly usage: string;
  /** For a list of commands: one line, without a capital or a full stop. */
  readonly about: string;
  readonly flags: Flags;
  /** What `--help` prints. */
  readonly help: string;
  /** @returns the exit code; throws Failure for what the user can mend. */
  run(args: CommandLine, env: Env): Promise<number>;
}

/** What is meant when no command is named. */
export const defaultCommand = "run";

/** What every command has. */
export const helpFlag = { short: "h", help: "print this text" } as const satisfies Flag;
export const jsonFlag = { help: "print JSON" } as const satisfies Flag;

/**
 * The help of a command: its head, its flags, its exit codes.
 * @param own what an exit code means for this command in particular.
 */
export function helpText(head: string, flags: Flags, own?: Partial<Readonly<Record<ExitCode, string>>>): string {
  return reflowed(`${head}\n\nOptions:\n${flagHelp(flags)}\n\n${exitCodesHelp(own)}`);
}

/** Runs a command on what was typed after its name. @returns the exit code. */
export async function runCommand(command: Command, args: readonly string[], env: Env): Promise<number> {
  const line = parseCommandLine(args, command.flags, command.name === defaultCommand ? "" : `${command.name} `);
  if (line.flags["help"] !== true) return command.run(line, env);
  env.stdout.line(command.help);
  return 0;
}
