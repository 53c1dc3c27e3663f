// SPDX-License-Identifier: Apache-2.0
// `ttgate check`: what would these first bytes get? Each file holds everything that a client sent
// before it fell silent.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { createExplainer } from "../core/explain.ts";
import { defaultProfileName } from "../core/profile_library.ts";
import { loadProfile } from "../profile.ts";

const help = `Usage: ttgate check [options] FILE...

Says what the gate would do with a client, and why. Each FILE holds everything that the client sent
before it fell silent; - is standard input. Prints one JSON object a line:

  file
  verdict   accept, foreign or undecided
  protocol  the name of what is foreign, or null
  rule      where the rule that decided stands in the profile or in the library, or null
  byte      the byte that decided, counted from 1; null when it was the silence after the last
  reason    the rule in words

Options:
  -p, --profile NAME|FILE  expected protocol (default: ${defaultProfileName})
      --json               the output is JSON anyway
  -h, --help               this text

Exit codes:
  0  no file is foreign
  1  at least one file is foreign
  2  wrong usage, or a profile that is not valid
  3  a file could not be read
`;

const exitForeign = 1;
const exitUsage = 2;
const exitUnreadable = 3;

/** @returns the exit code. */
export async function check(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options.kind === "help") {
    console.log(help.trimEnd());
    return 0;
  }
  if (options.kind === "wrong") return fail(options.message, exitUsage);

  let explain: ReturnType<typeof createExplainer>;
  try {
    explain = createExplainer(loadProfile(options.profile));
  } catch (error) {
    return fail(messageOf(error), exitUsage);
  }

  let exitCode = 0;
  for (const file of options.files) {
    let bytes: Uint8Array;
    try {
      bytes = readFileSync(file === "-" ? 0 : file);
    } catch (error) {
      return fail(`Read "${file}": ${messageOf(error)}; check the path and its permissions`, exitUnreadable);
    }
    const explanation = explain(bytes);
    console.log(JSON.stringify({ file, ...explanation }));
    if (explanation.verdict === "foreign") exitCode = exitForeign;
  }
  return exitCode;
}

type Options =
  | { readonly kind: "files"; readonly profile: string; readonly files: readonly string[] }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string };

function parseOptions(args: readonly string[]): Options {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        profile: { type: "string", short: "p", default: defaultProfileName },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true) return { kind: "help" };
    if (positionals.length > 0) return { kind: "files", profile: values.profile, files: positionals };
    return {
      kind: "wrong",
      message: "Check first bytes: no FILE is given; name at least one, or - for standard input",
    };
  } catch (error) {
    return { kind: "wrong", message: `Check first bytes: ${messageOf(error)}; see ttgate check --help` };
  }
}

function fail(message: string, exitCode: number): number {
  console.error(message);
  return exitCode;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
