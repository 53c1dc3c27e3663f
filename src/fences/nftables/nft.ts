// SPDX-License-Identifier: Apache-2.0
// Runs the program nft: without a shell, and never waited for by anybody but who asked. Knows nothing of tables.
import { spawn } from "node:child_process";
import process from "node:process";
import { codeOf, Failure } from "../../failure.ts";
import type { Libc } from "../../kernel/libc.ts";
import { memoryFile } from "../../kernel/memory_file.ts";
import type { Command } from "./ruleset.ts";

/** A hundred thousand elements take it seconds; one that takes longer than this hangs. */
const patienceMs = 60_000;
/** From its end to the end of its output: Bun does not always tell of that. */
const outputGraceMs = 500;
const errorChars = 300;

/** What is said where there is no such program. */
export const nftMissing = `the program nft is not there: install the package nftables (apt install nftables)`;

/** One transaction: all of it or nothing. @throws Failure as `nft` */
export async function apply(
  libc: Libc,
  commands: readonly Command[],
  call: Pick<NftCall, "signal" | "limitMs"> = {},
): Promise<void> {
  const text = Uint8Array.from(new TextEncoder().encode(JSON.stringify({ nftables: commands })));
  // Not a pipe: both runtimes make sockets of them, and nft opens its standard input by name.
  const fd = memoryFile(libc, "nft", text);
  try {
    await nft(["--json", "--file", "-"], { ...call, input: fd });
  } finally {
    libc.calls.close(fd);
  }
}

export interface NftCall {
  /** A descriptor for its standard input. */
  readonly input?: number;
  /** Called with each piece of what it prints: a long listing is read while it is made. */
  readonly onText?: (text: string) => void;
  /** Ends it: a transaction of the kernel's is there as a whole then, or not at all. */
  readonly signal?: AbortSignal;
  readonly limitMs?: number;
}

/** @throws Failure with nft's own words, or `nftMissing`. */
export function nft(args: readonly string[], call: NftCall = {}): Promise<void> {
  const { input, onText, signal, limitMs = patienceMs } = call;
  const { PATH = "/usr/sbin:/usr/bin:/sbin:/bin" } = process.env;
  return new Promise((resolve, reject) => {
    const child = spawn("nft", args, {
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
      else reject(new Failure(errorOf(said) ?? `nft ended with ${code ?? "a signal"}`, { exitCode: 3 }));
    };
    child.once("error", (cause) => {
      isOver = true;
      const message = codeOf(cause) === "ENOENT" ? nftMissing : `nft cannot be started: ${cause.message}`;
      reject(new Failure(message, { exitCode: 3, cause }));
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
function errorOf(said: string): string | undefined {
  const line = said.split("\n").find((text) => text.trim() !== "");
  return line?.replace(/^\S*: Error: /, "nft: ").trim();
}
