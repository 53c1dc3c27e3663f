// SPDX-License-Identifier: Apache-2.0
// The entry: the table of commands, each loaded when it is called, and the process that they run in.
import process from "node:process";
import type { Env } from "./cli/env.ts";
import { type CommandTable, runProgram } from "./cli/program.ts";
import { writeStandardError, writeStandardOutput } from "./cli/standard_output.ts";
import { runDirectory } from "./host/run_directory.ts";

export const commands: CommandTable = {
  run: async () => (await import("./commands/run.ts")).run,
  status: async () => (await import("./commands/status.ts")).status,
  top: async () => (await import("./commands/top.ts")).top,
  bans: async () => (await import("./commands/bans.ts")).bans,
  events: async () => (await import("./commands/events.ts")).events,
  ban: async () => (await import("./commands/ban.ts")).ban,
  lift: async () => (await import("./commands/lift.ts")).lift,
  why: async () => (await import("./commands/why.ts")).why,
  fleet: async () => (await import("./commands/fleet.ts")).fleet,
  reload: async () => (await import("./commands/reload.ts")).reload,
  check: async () => (await import("./commands/check.ts")).check,
  learn: async () => (await import("./commands/learn.ts")).learn,
  replay: async () => (await import("./commands/replay.ts")).replay,
  doctor: async () => (await import("./commands/doctor.ts")).doctor,
  detach: async () => (await import("./commands/detach.ts")).detach,
  config: async () => (await import("./commands/config.ts")).config,
  completion: async () => (await import("./commands/completion.ts")).completionOf(commands),
  licences: async () => (await import("./commands/licences.ts")).licences,
  version: async () => (await import("./commands/version.ts")).version,
};

function processEnv(): Env {
  const { versions, env: variables, stderr, stdout } = process;
  const isColoured = ({ isTTY }: { readonly isTTY?: boolean }) =>
    isTTY === true && (variables["NO_COLOR"] ?? "") === "" && variables["TERM"] !== "dumb";
  const progress = (text: string) => void stderr.write(`\r\x1b[K${text}`);
  return {
    stdout: { line: writeStandardOutput, isColoured: isColoured(stdout) },
    stderr: { line: writeStandardError, isColoured: isColoured(stderr), ...(stderr.isTTY ? { progress } : {}) },
    stdin: () => process.stdin,
    terminal: async () => (await import("./host/terminal.ts")).processTerminal(),
    variables,
    runtime: versions["bun"] === undefined ? `deno ${versions["deno"]}` : `bun ${versions["bun"]}`,
    bpffs: "/sys/fs/bpf",
    runDirectory: runDirectory(variables, process.getuid?.()),
    nowMs: Date.now,
  };
}

/** Switches the look at certificates off. */
const unwanted = "NODE_TLS_REJECT_UNAUTHORIZED";

if (import.meta.main) {
  delete process.env[unwanted];
  process.exit(await runProgram(commands, process.argv.slice(2), processEnv()));
}
