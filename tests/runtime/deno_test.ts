// SPDX-License-Identifier: Apache-2.0
// The socket contract under Deno. Bun's runner matches this name too: there it registers nothing.
import { runtime } from "../../src/runtime/deno.ts";
import { contract } from "./contract.ts";

if ("Deno" in globalThis) {
  for (const { name, run } of contract) {
    Deno.test({ name, fn: () => run(runtime), sanitizeResources: false, sanitizeOps: false });
  }
}
