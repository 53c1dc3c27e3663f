// SPDX-License-Identifier: Apache-2.0
// Runs `ttgate ARGS` inside the test's own process, in an environment that the test makes up: what is
// written is kept, and no gate of the host is found.
import { Readable } from "node:stream";
import type { Env } from "../../src/cli/env.ts";
import { runProgram } from "../../src/cli/program.ts";
import { commands } from "../../src/main.ts";

export interface Given extends Partial<Omit<Env, "stderr" | "stdin">> {
  /** Standard input; empty without it. */
  readonly input?: string | Uint8Array;
  /** Standard output and error are terminals: with colour, and progress. */
  readonly isTerminal?: boolean;
}

export interface Answered {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What a terminal showed in between. */
  readonly progress: readonly string[];
}

export async function ttgate(args: readonly string[], given: Given = {}): Promise<Answered> {
  const { input = "", isTerminal = false, ...changes } = given;
  const said = { stdout: "", stderr: "", progress: [] as string[] };
  const progress = (text: string) => void said.progress.push(text);
  const env: Env = {
    stdout: {
      isColoured: isTerminal,
      line(text) {
        said.stdout += `${text}\n`;
      },
    },
    stderr: {
      isColoured: isTerminal,
      line(text) {
        said.stderr += `${text}\n`;
      },
      ...(isTerminal ? { progress } : {}),
    },
    stdin: () => Readable.from(input === "" ? [] : [Buffer.from(input)]),
    variables: {},
    runtime: "test 1.2.3",
    bpffs: "/nonexistent/bpf",
    runDirectory: "/nonexistent/run",
    nowMs: Date.now,
    ...changes,
  };
  const code = await runProgram(commands, args, env);
  return { code, ...said };
}
