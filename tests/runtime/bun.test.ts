// SPDX-License-Identifier: Apache-2.0
import { test } from "bun:test";
import { runtime } from "../../src/runtime/bun.ts";
import { contract } from "./contract.ts";

for (const { name, run } of contract) test(name, () => run(runtime), 20_000);
