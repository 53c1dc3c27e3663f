// SPDX-License-Identifier: Apache-2.0
// The same for every operand of a command: what one of them cannot have keeps nobody else from it.
import { Failure } from "../failure.ts";
import { oneLine } from "../log.ts";
import { red } from "./colour.ts";
import type { DaemonCall } from "./daemon_command.ts";
import type { Env } from "./env.ts";
import { ReaderGone } from "./standard_output.ts";

/**
 * @param run returns what is printed; what it throws as a Failure is one line on stderr.
 * @returns the exit code: the highest that any of them had.
 */
export async function eachOperand(
  { positionals }: Pick<DaemonCall, "positionals">,
  { stdout, stderr }: Env,
  run: (operand: string) => Promise<string>,
): Promise<number> {
  const [only, ...others] = positionals;
  if (others.length === 0) {
    stdout.line(await run(only ?? ""));
    return 0;
  }
  let exitCode = 0;
  for (const operand of positionals) {
    try {
      stdout.line(await run(operand));
    } catch (error) {
      // Nobody reads what became of them: they are carried out all the same.
      if (error instanceof ReaderGone) continue;
      if (!(error instanceof Failure)) throw error;
      stderr.line(`${red(stderr, "ttgate:")} ${oneLine(error.message.replaceAll("\n", " "))}`);
      exitCode = Math.max(exitCode, error.exitCode);
    }
  }
  return exitCode;
}
