// SPDX-License-Identifier: Apache-2.0
import { test } from "bun:test";
import { native } from "../../src/runtime/bun_ffi.ts";
import { noNamespaces } from "../harness/netns.ts";
import { kernelCases } from "./kernel_cases.ts";

const reason = noNamespaces();
for (const { name, run } of kernelCases) {
  if (reason === undefined) test(name, async () => await run(native), 30_000);
  else test.skip(`${name} (${reason})`, () => {});
}
