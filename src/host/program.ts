// SPDX-License-Identifier: Apache-2.0
// Runs a program of this host: without a shell, and never waited for by anybody but who asked.
import { spawn } from "node:child_process";
import process from "node:process";
import { Failure } from "../failure.ts";

/** A hundred thousand elements take nft seconds; one that takes longer than this hangs. */
const patienceMs = 60_000;
/** From its end to the end of its output: Bun does not always tell of that. */
const outputGraceMs = 500;
const errorChars = 300;

export interface ProgramCall {
  /** A descriptor for its standard input. */
  readonly input?: number;
  /** Called with each piece of what it prints: a long listing is read while it is made. */
  readonly onText?: (text: string) => void;
  /** Ends it: a transaction of the kernel's is there as a whole then, or not at all. */
  readonly signal?: AbortSignal;
  readonly limitMs?: number;
}

/** @throws Failure with its own words; with ENOENT as the cause's code where there is no such program. */
export function runProgram(program: string, args: readonly string[], call: ProgramCall = {}): Promise<void> {
  const { input, onText, signal, limitMs = patienceMs } = call;
  const { PATH = "/usr/sbin:/usr/bin:/sbin:/bin" } = process.env;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { PATH, LC_ALL: "C" },
      stdio: [input ?? "ignore", "pipe", "pipe"],
      timeout: limitMs,
      killSignal: "SIGKILL",
    });
    const stop = () => child.kill("SIGKILL");
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted === true) stop();
    let said = "";
    let isOver = false;
    const over = (code: number | null) => {
      if (isOver) return;
      isOver = true;
      signal?.removeEventListener("abort", stop);
      if (code === 0) resolve();
      else
        reject(new Failure(errorOf(program, said) ?? `${program} ended with ${code ?? "a signal"}`, { exitCode: 3 }));
    };
    child.once("error", (cause) => {
      isOver = true;
      reject(new Failure(`${program} cannot be started: ${cause.message}`, { exitCode: 3, cause }));
    });
    child.once("close", over);
    child.once("exit", (code) => void setTimeout(over, outputGraceMs, code));
    child.stdout?.setEncoding("utf8").on("data", (text: string) => onText?.(text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(0, errorChars);
    });
  });
}

/** The first line: the others show the command once more. */
function errorOf(program: string, said: string): string | undefined {
  const line = said.split("\n").find((text) => text.trim() !== "");
  return line?.replace(/^\S*: Error: /, `${program}: `).trim();
}
