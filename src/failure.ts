// SPDX-License-Identifier: Apache-2.0
// A failure that is the user's to mend: one line for stderr and the exit code that goes with it.

/** 1: the gate said no. 2: usage or configuration. 3: it was asked for rightly and went wrong. */
export type FailureCode = 1 | 2 | 3;

export class Failure extends Error {
  readonly exitCode: FailureCode;

  /** Without an exit code: what was asked for cannot work as it is. */
  constructor(message: string, options: { readonly exitCode?: FailureCode; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Failure";
    this.exitCode = options.exitCode ?? 2;
  }
}

/** What was asked for rightly cannot be had on this host, whatever is asked in its place of the same kind. */
export class Unsupported extends Failure {
  constructor(message: string, options: { readonly exitCode?: FailureCode; readonly cause?: unknown } = {}) {
    super(message, options);
    this.name = "Unsupported";
  }
}

/** What a runtime says to those who wrote the program, behind what it says of the matter. */
const forProgrammers = / For more information, pass `verbose: true` in the second argument to fetch\(\)$/;

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(forProgrammers, "");
}

/** `ENOENT` and its like, where an error has one. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
