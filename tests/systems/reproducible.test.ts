// SPDX-License-Identifier: Apache-2.0
// The same sources make the same bytes: scripts/reproducible.sh builds everything again under other circumstances.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import process from "node:process";
import { run } from "../harness/child.ts";

setDefaultTimeout(300_000);

const architecture = process.arch === "arm64" ? "arm64" : "amd64";
const libraries = `build/${architecture}/libraries`;
const missing = existsSync(libraries) ? undefined : `"${libraries}" is not there: run make deb`;
if (missing !== undefined) console.log(`Skipped: ${missing}`);

test.skipIf(missing !== undefined)("executables and package are the same, whoever builds them where", async () => {
  const { code, stdout, stderr } = await run(["make", "reproducible"], { timeoutMs: 300_000 });
  expect([code, stderr]).toEqual([0, ""]);
  const same = stdout.match(/(?<=^ {2}SAME +)\S+(?= [0-9a-f]{64}$)/gm);
  expect(same).toEqual(["ttgate", "ttgate", `ttgate_1_${architecture}.deb`]);
});
