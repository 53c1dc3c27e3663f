// SPDX-License-Identifier: Apache-2.0
// Picks the adapter of the runtime that runs this.
import process from "node:process";
import type { Runtime } from "./types.ts";

export async function currentRuntime(): Promise<Runtime> {
  const adapter = process.versions["bun"] === undefined ? await import("./deno.ts") : await import("./bun.ts");
  return adapter.runtime;
}
