// SPDX-License-Identifier: Apache-2.0
// The cases under Bun.
import { native } from "../../src/runtime/bun_ffi.ts";
import { testWith } from "../harness/needs.ts";
import { kernelCases } from "./kernel_cases.ts";

const kernelTest = testWith("namespaces");
for (const { name, run } of kernelCases) kernelTest(name, async () => await run(native), 30_000);
