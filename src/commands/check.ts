// SPDX-License-Identifier: Apache-2.0
// `ttgate check`: what would these first bytes get? Each file holds everything that a client sent
// before it fell silent.
import { readFileSync } from "node:fs";
import { flagHelp, parseCommandLine } from "../cli.ts";
import { loadProfile } from "../config/profile.ts";
import { createExplainer } from "../core/profile/explain.ts";
import { defaultProfileName } from "../core/profile/library.ts";
import { Failure, messageOf } from "../failure.ts";

export const checkFlags = {
  profile: { short: "p", value: "NAME|FILE", help: `expected protocol (default ${defaultProfileName})` },
  json: { help: "the output is JSON anyway" },
  help: { short: "h", help: "this text" },
} as const;

const help = `Usage: ttgate check [options] FILE...

Says what the gate would do with a client, and why. Each FILE holds everything that the client sent
before it fell silent; - is standard input. Prints one JSON object a line:

  file
  verdict   accept, foreign or undecided
  protocol  the name of what is foreign, or null
  rule      where the rule that decided stands in the profile or in the library, or null
  byte      the byte that decided, counted from 1; null when it was the silence after the last
  reason    the rule in words
  evidence  where no recogniser knew the stranger: the expert that told it, the bits of evidence, the byte

Options:
${flagHelp(checkFlags)}

Exit codes:
  0  no file is foreign
  1  at least one file is foreign
  2  wrong usage, or a profile that is not valid
  3  a file could not be read`;

const exitForeign = 1;

/** @returns the exit code. */
export async function check(args: readonly string[]): Promise<number> {
  const { flags, positionals: files } = parseCommandLine(args, checkFlags, "check ");
  if (flags["help"] === true) {
    console.log(help);
    return 0;
  }
  if (files.length === 0) {
    const remedy = "name at least one, or - for standard input";
    throw new Failure(`Check first bytes: no FILE is given; ${remedy}`, { exitCode: 2 });
  }
  const profile = flags["profile"];
  const explain = createExplainer(loadProfile(typeof profile === "string" ? profile : defaultProfileName));
  let exitCode = 0;
  for (const file of files) {
    const explanation = explain(readFirstBytes(file));
    console.log(JSON.stringify({ file, ...explanation }));
    if (explanation.verdict === "foreign") exitCode = exitForeign;
  }
  return exitCode;
}

function readFirstBytes(file: string): Uint8Array {
  try {
    return readFileSync(file === "-" ? 0 : file);
  } catch (cause) {
    const remedy = "check the path and its permissions";
    throw new Failure(`Read "${file}": ${messageOf(cause)}; ${remedy}`, { exitCode: 3, cause });
  }
}
