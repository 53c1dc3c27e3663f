// SPDX-License-Identifier: Apache-2.0
// What the exit codes mean: said here once, for every command's help, the documentation and the tests.

export type ExitCode = 0 | 1 | 2 | 3;

export const exitCodes: Readonly<Record<ExitCode, string>> = {
  0: "done",
  1: "the check failed or the gate refused",
  2: "usage or configuration error",
  3: "runtime error",
};

/** In one line: `0 done, 1 ...`. */
export const exitCodesLine = Object.entries(exitCodes)
  .map(([code, meaning]) => `${code} ${meaning}`)
  .join(", ");

/** The end of a command's help. @param own what a code means for this command in particular. */
export function exitCodesHelp(own: Partial<Readonly<Record<ExitCode, string>>> = {}): string {
  const lines = Object.entries({ ...exitCodes, ...own }).map(([code, meaning]) => `  ${code}  ${meaning}`);
  return `Exit codes:\n${lines.join("\n")}`;
}
