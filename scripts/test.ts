// SPDX-License-Identifier: Apache-2.0
// Runs every test under its runtime and prints one closing line, also into build/test/summary:
// *.test.ts under Bun, *_test.ts (the socket contract) under Deno.
import { spawnSync } from "node:child_process";
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { closingLine, parseReport, type Run, sum } from "./junit.ts";

const reports = "build/test";
/** Ends a runner that hangs: together with make lint a run stays under ten minutes. */
const runnerLimitMs = 8 * 60_000;

function run(runner: string, files: readonly string[], command: readonly string[], report: string): Run {
  const [program = "", ...argv] = command;
  rmSync(report, { force: true });
  const { status, signal, error } = spawnSync(program, argv, {
    stdio: ["ignore", "inherit", "inherit"],
    timeout: runnerLimitMs,
    killSignal: "SIGKILL",
  });
  if (status === null) process.stderr.write(`Running ${runner}: ended by ${signal ?? error?.message}\n`);
  const cases = existsSync(report) ? parseReport(readFileSync(report, "utf8")) : [];
  return { runner, files, cases, exitCode: status ?? 1 };
}

function main(): number {
  mkdirSync(reports, { recursive: true });
  const bunReport = `${reports}/bun.xml`;
  const denoReport = `${reports}/deno.xml`;
  const bunFiles = globSync("tests/**/*.test.ts").sort();
  const denoFiles = globSync("tests/**/*_test.ts").sort();
  const bun = [process.execPath, "test", "--timeout=20000", "--reporter=junit", `--reporter-outfile=${bunReport}`];
  const deno = ["node_modules/.bin/deno", "task", "--quiet", "test", `--junit-path=${denoReport}`, ...denoFiles];
  const runs = [
    ...(bunFiles.length > 0 ? [run("bun test", bunFiles, bun, bunReport)] : []),
    ...(denoFiles.length > 0 ? [run("deno test", denoFiles, deno, denoReport)] : []),
  ];
  const totals = sum(runs, process.env["CI"] === "true");
  const lines = [...totals.failures.map((failure) => `Failed: ${failure}`), closingLine(totals)];
  writeFileSync(`${reports}/summary`, `${lines.at(-1)}\n`);
  process.stdout.write(`\n${lines.join("\n")}\n`);
  return totals.failures.length > 0 ? 1 : 0;
}

if (import.meta.main) process.exitCode = main();
