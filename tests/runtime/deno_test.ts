// SPDX-License-Identifier: Apache-2.0
import { runtime } from "../../src/runtime/deno.ts";
import { contract } from "./contract.ts";

for (const { name, run } of contract) {
  Deno.test({ name, fn: () => run(runtime), sanitizeResources: false, sanitizeOps: false });
}
