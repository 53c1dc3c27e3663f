// SPDX-License-Identifier: Apache-2.0
// What happened in a test run, from the JUnit reports of several runners. Counts test cases itself: the
// runners' own totals leave out what they could not load, and differ in what they call a skip.

export interface TestCase {
  readonly name: string;
  readonly file: string;
  readonly outcome: "passed" | "failed" | "skipped";
}

/** One runner's report and how its process ended. */
export interface Run {
  readonly runner: string;
  /** Test files that it was told to run. */
  readonly files: readonly string[];
  readonly cases: readonly TestCase[];
  readonly exitCode: number;
  /** How the process ended when not by itself: then its report says nothing, and each file failed once. */
  readonly ended?: string;
}

export interface Totals {
  readonly passed: number;
  readonly skipped: number;
  /** One line for each failure. */
  readonly failures: readonly string[];
}

/** Where a skip would hide that the kernel was not tested. */
export const kernelFolders = /^tests\/(bpf|kernel|e2e|systems)\//;

const caseTag = /<testcase((?:\s+[\w-]+="[^"]*")*)\s*(?:\/>|>([\s\S]*?)<\/testcase>)/g;

export function parseReport(xml: string): TestCase[] {
  return [...xml.matchAll(caseTag)].map(([, attributes = "", body = ""]) => ({
    name: attribute(attributes, "name"),
    file: (attribute(attributes, "file") || attribute(attributes, "classname")).replace(/^\.\//, ""),
    outcome: /<(failure|error)\b/.test(body) ? "failed" : /<skipped\b/.test(body) ? "skipped" : "passed",
  }));
}

function attribute(attributes: string, name: string): string {
  const value = new RegExp(`\\s${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  return value.replace(/&(lt|gt|quot|apos|amp);/g, (_, entity) => entities[entity] ?? "");
}

const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

/** @param strict in CI: a kernel test that did not run is a failure. */
export function sum(runs: readonly Run[], strict: boolean): Totals {
  const cases = runs.flatMap((run) => run.cases);
  const failures = runs.flatMap((run) => failuresOf(run, strict));
  const passed = cases.filter(({ outcome }) => outcome === "passed").length;
  const skipped = cases.filter(({ outcome, file }) => outcome === "skipped" && !mustRun(file, strict)).length;
  return { passed, skipped, failures: passed + failures.length > 0 ? failures : ["No test was run"] };
}

function mustRun(file: string, strict: boolean): boolean {
  return strict && kernelFolders.test(file);
}

function failuresOf({ runner, files, cases, exitCode, ended }: Run, strict: boolean): string[] {
  if (ended !== undefined) return files.map((file) => `${file}: ${ended}`);
  const failures: string[] = [];
  for (const { name, file, outcome } of cases) {
    if (outcome === "failed") failures.push(`${file}: ${name}`);
    if (outcome === "skipped" && mustRun(file, strict)) {
      failures.push(`${file}: ${name}: skipped, but in CI a kernel test has to run`);
    }
  }
  const reported = new Set(cases.map(({ file }) => file));
  for (const file of files) {
    if (!reported.has(file)) failures.push(`${file}: no test of it was run by ${runner}`);
  }
  if (exitCode !== 0 && failures.length === 0) {
    failures.push(`${[...files, runner].join(", ")}: ended with ${exitCode}, but the report names no failure`);
  }
  return failures;
}

export function closingLine({ passed, skipped, failures }: Totals): string {
  return `${passed} passed, ${failures.length} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
