// SPDX-License-Identifier: Apache-2.0
// The cases under Deno. Bun's test runner takes this file's name for one of its own and finds nothing.
import process from "node:process";
import { test } from "node:test";
import { native } from "../../src/runtime/deno_ffi.ts";
import { notApart } from "../harness/apart.ts";
import { noNamespaces } from "../harness/netns.ts";
import { kernelCases } from "./kernel_cases.ts";

const skip = noNamespaces() ?? notApart() ?? false;
const cases = process.versions["deno"] === undefined ? [] : kernelCases;
for (const { name, run } of cases) {
  test(name, { skip }, async () => {
    await run(native);
  });
}
