// SPDX-License-Identifier: Apache-2.0
// `ttgate check`: what verdict would these first bytes get? Each file holds everything that a client sent
// before it fell silent.
import { type Command, helpFlag, helpText } from "../cli/command.ts";
import type { Env } from "../cli/env.ts";
import { loadProfile } from "../config/profile.ts";
import { createExplainer } from "../core/profile/explain.ts";
import { defaultProfileName } from "../core/profile/library.ts";
import { Failure, messageOf } from "../failure.ts";
import { readBeginning } from "../host/small_file.ts";

const flags = {
  profile: { short: "p", value: "NAME|FILE", help: `expected protocol (default ${defaultProfileName})` },
  json: { help: "the output is always JSON" },
  help: helpFlag,
} as const;

const head = `Usage: ttgate check [options] FILE...

Says what the gate would do with a client, and why. Each FILE holds everything that the client sent
before it fell silent; - is standard input. Prints one JSON object on each line:

  file
  verdict   accept, foreign, malformed (a near miss) or undecided
  protocol  the name of what is foreign, or null
  rule      where the rule that decided stands in the profile or in the library, or null
  byte      the byte that decided, counted from 1; null when the silence after the last byte did
  reason    the rule in words
  evidence  where no recogniser knew the stranger: the expert that told it, the bits of evidence, the byte`;

const exitCodes = {
  0: "no file is foreign",
  1: "at least one file is foreign",
  2: "usage error, or a profile that is not valid",
  3: "a file could not be read",
} as const;

const exitForeign = 1;

export const check: Command = {
  name: "check",
  usage: "FILE...",
  about: "what verdict would these first bytes get?",
  flags,
  help: helpText(head, flags, exitCodes),
  async run({ flags: { profile }, positionals: files }, env) {
    if (files.length === 0) {
      const remedy = "name at least one, or - for standard input";
      throw new Failure(`Check first bytes: no FILE is given; ${remedy}`, { exitCode: 2 });
    }
    const explain = createExplainer(loadProfile(typeof profile === "string" ? profile : defaultProfileName));
    let exitCode = 0;
    for (const file of files) {
      const explanation = explain(await readFirstBytes(file, env));
      env.stdout.line(JSON.stringify({ file, ...explanation }));
      if (explanation.verdict === "foreign") exitCode = exitForeign;
    }
    return exitCode;
  },
};

/** More than any verdict takes: of a recording of a whole conversation, or of what has no end, the rest is not read. */
const firstBytesLimit = 1024 * 1024;

async function readFirstBytes(file: string, { stdin }: Env): Promise<Uint8Array> {
  try {
    return file === "-" ? await beginningOf(stdin()) : readBeginning(file, firstBytesLimit);
  } catch (cause) {
    const remedy = "check the path and its permissions";
    throw new Failure(`Read "${file}": ${messageOf(cause)}; ${remedy}`, { exitCode: 3, cause });
  }
}

async function beginningOf(input: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of input) {
    const rest = chunk.subarray(0, firstBytesLimit - length);
    chunks.push(rest);
    length += rest.length;
    if (length === firstBytesLimit) break;
  }
  return new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}
