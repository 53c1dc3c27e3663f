// SPDX-License-Identifier: Apache-2.0
// `ttgate version`.
import process from "node:process";
import { parseCommandLine } from "../cli.ts";
import { Failure } from "../failure.ts";
import { version as built } from "../generated/version.ts";

export const versionFlags = { json: { help: "print JSON" }, help: { short: "h", help: "this text" } } as const;

export async function version(args: readonly string[]): Promise<number> {
  const { flags: given, positionals } = parseCommandLine(args, versionFlags, "version ");
  if (positionals.length > 0) {
    throw new Failure(
      `ttgate version takes no operand, given: "${positionals.join(" ")}": see "ttgate version --help"`,
      {
        exitCode: 2,
      },
    );
  }
  const runtime =
    process.versions["bun"] === undefined ? `deno ${process.versions["deno"]}` : `bun ${process.versions["bun"]}`;
  if (given["help"] === true) console.log("Usage: ttgate version [--json]");
  else
    console.log(given["json"] === true ? JSON.stringify({ version: built, runtime }) : `ttgate ${built} (${runtime})`);
  return 0;
}
