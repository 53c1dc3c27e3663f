// SPDX-License-Identifier: Apache-2.0
// A test of the kernel layer that runs the same under Bun and under Deno: it is handed the runtime's
// native calls and asserts with node:assert.
import type { Native } from "../../src/runtime/types.ts";

export interface KernelCase {
  readonly name: string;
  run(native: Native): void | Promise<void>;
}
