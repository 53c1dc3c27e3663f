// SPDX-License-Identifier: Apache-2.0
// One test file in a process group of its own, apart from this host (apart.sh), with a directory for temporary
// files that goes away with it. What is still there of the group at the end is killed. A file that takes too
// long gets SIGTERM, so that it can put back what it made, and after a while SIGKILL.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseReport, type Run } from "./junit.ts";
import { isDeno } from "./test_files.ts";

export interface RunnerOptions {
  /** Where the test files are named from; this process's own directory if not given. */
  readonly cwd?: string;
  /** For reports and logs. */
  readonly directory: string;
  /** How long a file may take. */
  readonly limitMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly graceMs?: number;
}

export interface FileResult {
  readonly run: Run;
  readonly durationMs: number;
  /** Path of what it said. */
  readonly log: string;
}

const apart = resolve(import.meta.dirname, "apart.sh");
const deno = resolve(import.meta.dirname, "../node_modules/.bin/deno");

export class Runner implements Disposable {
  /** Why tests cannot be kept apart from this host; undefined when they are. */
  readonly whyNotApart: string | undefined = reasonNotApart();
  readonly #options: Required<RunnerOptions>;
  readonly #temporary = mkdtempSync(join(tmpdir(), "ttgt-"));
  readonly #running = new Set<ChildProcess>();
  #started = 0;

  constructor(options: RunnerOptions) {
    this.#options = { cwd: process.cwd(), graceMs: 10_000, ...options };
    for (const name of ["reports", "logs"]) mkdirSync(join(options.directory, name), { recursive: true });
    // A gate that gives up root still has to reach what was made for it.
    chmodSync(this.#temporary, 0o755);
    process.once("SIGINT", () => this.#interrupted(130));
    process.once("SIGTERM", () => this.#interrupted(143));
  }

  async run(file: string): Promise<FileResult> {
    const { directory } = this.#options;
    const name = file.replaceAll("/", "+");
    const report = resolve(directory, "reports", `${name}.xml`);
    const log = join(directory, "logs", `${name}.log`);
    rmSync(report, { force: true });
    const startMs = performance.now();
    const { exitCode, ended } = await this.#spawn(this.#command(file, report), log);
    const reported = ended === undefined && existsSync(report) ? parseReport(readFileSync(report, "utf8")) : [];
    // In the report the name is seen from wherever the test went.
    const cases = reported.map((testCase) => ({ ...testCase, file }));
    const runner = isDeno(file) ? "deno test" : "bun test";
    const run = { runner, files: [file], cases, exitCode, ...(ended === undefined ? {} : { ended }) };
    return { run, durationMs: performance.now() - startMs, log };
  }

  #command(file: string, report: string): string[] {
    const test = isDeno(file)
      ? [deno, "test", "--no-check", "--allow-all", `--junit-path=${report}`, file]
      : [process.execPath, "test", "--timeout=20000", "--reporter=junit", `--reporter-outfile=${report}`, `./${file}`];
    return this.whyNotApart === undefined ? [apart, ...test] : test;
  }

  async #spawn(argv: readonly string[], log: string): Promise<{ exitCode: number; ended?: string }> {
    const [program = "", ...args] = argv;
    // Short: the path of a unix socket has 107 bytes.
    const temporary = join(this.#temporary, `${++this.#started}`);
    mkdirSync(temporary);
    const output = openSync(log, "w");
    const child = spawn(program, args, {
      stdio: ["ignore", output, output],
      cwd: this.#options.cwd,
      detached: true,
      env: { ...process.env, TMPDIR: temporary },
    });
    closeSync(output);
    this.#running.add(child);
    const { limitMs, graceMs } = this.#options;
    let late = "";
    const timers = [
      setTimeout(() => {
        late = `took longer than ${limitMs / 1000} s`;
        signalGroup(child, "SIGTERM");
      }, limitMs),
      setTimeout(() => signalGroup(child, "SIGKILL"), limitMs + graceMs),
    ];
    const { code, signal } = await exitOf(child);
    for (const timer of timers) clearTimeout(timer);
    signalGroup(child, "SIGKILL");
    this.#running.delete(child);
    rmSync(temporary, { recursive: true, force: true });
    const how = signal === null ? `exit code ${code}` : signal;
    const ended = late !== "" ? `${late}, ended with ${how}` : signal === null ? undefined : `ended with ${signal}`;
    return { exitCode: code ?? 1, ...(ended === undefined ? {} : { ended }) };
  }

  #interrupted(code: number): void {
    for (const child of this.#running) signalGroup(child, "SIGTERM");
    setTimeout(() => {
      for (const child of this.#running) signalGroup(child, "SIGKILL");
      this[Symbol.dispose]();
      process.exit(code);
    }, 2000);
  }

  [Symbol.dispose](): void {
    rmSync(this.#temporary, { recursive: true, force: true });
  }
}

interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Of the process itself: what it started may hold the output open for longer. */
function exitOf(child: ChildProcess): Promise<ProcessEnd> {
  return new Promise((done, failed) => {
    child.once("error", failed);
    child.once("exit", (code, signal) => done({ code, signal }));
  });
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // Nobody is left in it.
  }
}

function reasonNotApart(): string | undefined {
  if (process.env["TTGATE_APART"] === "yes") return undefined;
  if (process.getuid?.() !== 0) return "that needs root";
  const { status, stderr, error } = spawnSync(apart, ["true"], { encoding: "utf8" });
  return status === 0 ? undefined : stderr.trim() || `${error}`;
}
