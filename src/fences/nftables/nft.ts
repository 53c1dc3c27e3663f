// SPDX-License-Identifier: Apache-2.0
// Runs the program nft. Knows nothing of tables.
import { codeOf, Failure } from "../../failure.ts";
import { type ProgramCall, runProgram } from "../../host/program.ts";
import type { Libc } from "../../kernel/libc.ts";
import { memoryFile } from "../../kernel/memory_file.ts";
import type { Command } from "./ruleset.ts";

/** What is said where there is no such program. */
export const nftMissing = `the program nft is not there: install the package nftables (apt install nftables)`;

/** One transaction: all of it or nothing. @throws Failure as `nft` */
export async function apply(
  libc: Libc,
  commands: readonly Command[],
  call: Pick<ProgramCall, "signal" | "limitMs"> = {},
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

/** @throws Failure with nft's own words, or `nftMissing`. */
export async function nft(args: readonly string[], call: ProgramCall = {}): Promise<void> {
  try {
    await runProgram("nft", args, call);
  } catch (error) {
    throw error instanceof Failure && codeOf(error.cause) === "ENOENT"
      ? new Failure(nftMissing, { exitCode: 3, cause: error.cause })
      : error;
  }
}
