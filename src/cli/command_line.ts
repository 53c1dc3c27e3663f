// SPDX-License-Identifier: Apache-2.0
// Splits a command line by a table of flags. @std/cli would be the first choice; its registry cannot be
// reached where this is built, so node:util's parseArgs stands in, here and nowhere else.
import { parseArgs } from "node:util";
import { closestWord } from "../core/closest.ts";
import { Failure } from "../failure.ts";

export interface Flag {
  readonly short?: string;
  /** Name of the value in help; without it the flag is a switch. */
  readonly value?: string;
  readonly repeats?: boolean;
  readonly help: string;
}

export interface CommandLine {
  readonly flags: Readonly<Record<string, string | boolean | readonly (string | boolean)[]>>;
  readonly positionals: readonly string[];
}

/** @param command for the remedy in an error: what stands before `--help`, with a space after it. */
export function parseCommandLine(
  args: readonly string[],
  flags: Readonly<Record<string, Flag>>,
  command: string,
): CommandLine {
  const options = Object.fromEntries(
    Object.entries(flags).map(([name, { short, value, repeats }]) => [
      name,
      {
        type: value === undefined ? ("boolean" as const) : ("string" as const),
        multiple: repeats ?? false,
        ...(short === undefined ? {} : { short }),
      },
    ]),
  );
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true, allowNegative: true });
    return { flags: { ...parsed.values } as CommandLine["flags"], positionals: parsed.positionals };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const reason = message.split(/\.? (?=To )|\.?\n/)[0] ?? "";
    const remedy = `${dashed(message)}${meant(reason, flags)}see "ttgate ${command}--help"`;
    throw new Failure(`${reason}: ${remedy}`, { exitCode: 2, cause: error });
  }
}

/** @throws Failure where a command that takes none was given some. */
export function requireNoOperand(positionals: readonly string[], command: string): void {
  if (positionals.length === 0) return;
  const given = positionals.join(" ");
  throw new Failure(`ttgate ${command} takes no operand, given: "${given}": see "ttgate ${command} --help"`);
}

/** How to write a value that looks like a flag. */
function dashed(message: string): string {
  const long = /use '(--[^=]+=)-/.exec(message)?.[1];
  return long === undefined ? "" : `write "${long}-…" for a value that begins with a dash; `;
}

/** `did you mean "--json"? ` for an option that nearly is one. */
function meant(reason: string, flags: Readonly<Record<string, Flag>>): string {
  const typed = /^Unknown option '--([^'=]+)/.exec(reason)?.[1];
  const word = typed === undefined ? undefined : closestWord(typed, Object.keys(flags));
  return word === undefined ? "" : `did you mean "--${word}"? `;
}

/** One line a flag, aligned. */
export function flagHelp(flags: Readonly<Record<string, Flag>>): string {
  const rows = Object.entries(flags).map(([name, { short, value, help }]) => {
    const long = `--${name}${value === undefined ? "" : ` ${value}`}`;
    return [`${short === undefined ? "    " : `-${short}, `}${long}`, help] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, help]) => `  ${left.padEnd(width)}  ${help}`).join("\n");
}
