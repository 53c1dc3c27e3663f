// SPDX-License-Identifier: Apache-2.0
// `ttgate doctor`: is this host ready for the options given, and if not, what to type.
import { flagHelp, parseCommandLine } from "../cli.ts";
import { loadConfig } from "../config/load.ts";
import { examine, type Finding } from "../daemon/doctor.ts";
import { currentRuntime } from "../runtime/select.ts";
import { runFlags } from "./run.ts";

const about = `Usage: ttgate doctor [options]

Looks at this host as "ttgate run" with the same options would need it, changes nothing, and says for
each thing that is missing what to type. Exit code 1 when something is.`;

const marks: Readonly<Record<Finding["state"], string>> = { good: "ok  ", warning: "warn", bad: "BAD " };

export const doctorFlags = { ...runFlags, json: { help: "print JSON" } } as const;

export async function doctor(args: readonly string[]): Promise<number> {
  const { flags } = parseCommandLine(args, doctorFlags, "doctor ");
  const { config: file, json, help, ...given } = flags;
  if (help === true) {
    console.log(`${about}\n\nOptions:\n${flagHelp(doctorFlags)}`);
    return 0;
  }
  const config = loadConfig(given, typeof file === "string" ? file : undefined);
  const findings = await examine(config, await currentRuntime());
  const ready = findings.every(({ state }) => state !== "bad");
  console.log(json === true ? JSON.stringify({ ready, findings }) : rendered(findings, ready));
  return ready ? 0 : 1;
}

function rendered(findings: readonly Finding[], ready: boolean): string {
  const lines = findings.flatMap(({ state, name, found, remedy }) => {
    const line = `${marks[state]}  ${name.padEnd(14)} ${found}`;
    return remedy === null ? [line] : [line, `      ${"".padEnd(14)} -> ${remedy}`];
  });
  return [...lines, ready ? "This host is ready" : "This host is not ready"].join("\n");
}
