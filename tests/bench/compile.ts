// SPDX-License-Identifier: Apache-2.0
// The benchmarks' own programs in C.
import { join } from "node:path";
import { run } from "../harness/child.ts";

/** @returns the path of the program. @throws Error with what the compiler said. */
export async function compileC(name: "ask" | "load" | "sender" | "stream", directory: string): Promise<string> {
  const program = join(directory, name);
  const { code, stderr } = await run(["gcc", "-O2", "-Wall", "-o", program, join(import.meta.dirname, `${name}.c`)]);
  if (code !== 0) throw new Error(`Cannot compile "${name}.c": ${stderr}`);
  return program;
}
