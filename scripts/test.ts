// SPDX-License-Identifier: Apache-2.0
// Runs test files, each in a process of its own and apart from this host, three more at once than there
// are processors; prints what failed and one closing line, which also goes into the report directory. In a run of
// all of them the few that failed get a second look (unsteady.ts):
//   test.ts [--systems] [FILE|DIRECTORY...]
// *.test.ts run under Bun, *_test.ts under Deno.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { closingLine, type Run, sum } from "./junit.ts";
import { Durations } from "./test_durations.ts";
import { filesOf, laneOf, selected } from "./test_files.ts";
import { Runner } from "./test_runner.ts";
import { secondLook } from "./unsteady.ts";

/** What is left of a run: the summary, a report and a log for each file, and how long each one took. */
const reports = { everyday: "build/test", systems: "build/test-systems" } as const;

/** So many files more than processors at once: most of their time is spent waiting. */
const waiting = { everyday: 3, systems: 0 } as const;

/** For one file; the longest of them needs 60 s alone, and another load makes it several times that. */
const limitMs = { everyday: 240_000, systems: 600_000 } as const;
/** `make fuzz`: how long one fuzzer goes on. */
const fuzzMs = 1000 * Number(process.env["TTGATE_FUZZ_SECONDS"] ?? "0");

/** In CI a kernel test that did not run is a failure. */
const strict = process.env["CI"] === "true";

async function main(argv: readonly string[]): Promise<number> {
  const wanted = argv.filter((word) => word !== "--systems");
  const lane: keyof typeof reports = argv.includes("--systems") ? "systems" : "everyday";
  const files = wanted.length > 0 ? selected(wanted) : filesOf(lane);
  const directory = reports[lane];
  // A part of the tests leaves the summary of all of them as it is.
  const summary = wanted.length > 0 ? undefined : join(directory, "summary");
  for (const path of new Set([directory, reports.everyday])) mkdirSync(path, { recursive: true });
  if (summary !== undefined) rmSync(summary, { force: true });
  const durations = new Durations("build/test/durations.json");
  using runner = new Runner({ directory, limitMs: limitMs[lane] + 2 * fuzzMs });
  if (runner.whyNotApart !== undefined) process.stdout.write(`Not apart from this host: ${runner.whyNotApart}\n`);
  const first = await runAll(runner, files, durations, lane);
  durations.save();
  const { runs, unsteady } =
    summary === undefined
      ? { runs: first, unsteady: [] }
      : await secondLook(first, strict, async ({ files: [file = ""] }) => {
          const { run, durationMs, log } = await runner.run(file);
          report(run, file, durationMs, log);
          return run;
        });
  const totals = sum(runs, strict);
  const closing = closingLine(totals);
  if (summary !== undefined) writeFileSync(summary, `${closing}\n`);
  const lines = [
    ...unsteady.map((test) => `Unsteady, passed when run again alone: ${test}`),
    ...totals.failures.map((failure) => `Failed: ${failure}`),
    closing,
  ];
  process.stdout.write(`\n${lines.join("\n")}\n`);
  return totals.failures.length > 0 ? 1 : 0;
}

/** Those that measure time come last, one after the other. */
async function runAll(
  runner: Runner,
  files: readonly string[],
  durations: Durations,
  lane: keyof typeof reports,
): Promise<Run[]> {
  const runs: Run[] = [];
  const work = async (queue: string[]): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const { run, durationMs, log } = await runner.run(file);
      runs.push(run);
      durations.set(file, durationMs);
      report(run, file, durationMs, log);
    }
  };
  const alone = files.filter((file) => laneOf(file) === "alone");
  const together = durations.longestFirst(files.filter((file) => laneOf(file) !== "alone"));
  const asked = process.env["TTGATE_TEST_JOBS"];
  const jobs = asked === undefined ? availableParallelism() + waiting[lane] : Math.max(1, Number(asked));
  await Promise.all(Array.from({ length: jobs }, () => work(together)));
  await work(alone);
  return runs;
}

/** One line for a file that passed, everything that it said for one that failed. */
function report(run: Run, file: string, durationMs: number, log: string): void {
  const totals = sum([run], strict);
  const failed = totals.failures.length > 0;
  if (failed || process.env["V"] === "1") process.stdout.write(`\n${readFileSync(log, "utf8")}`);
  else for (const [line] of readFileSync(log, "utf8").matchAll(/^Skipped.*$/gm)) process.stdout.write(`${line}\n`);
  const verdict = failed ? "FAILED" : "ok";
  process.stdout.write(
    `  ${verdict.padEnd(6)} ${file}: ${closingLine(totals)} (${(durationMs / 1000).toFixed(1)} s)\n`,
  );
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
