// SPDX-License-Identifier: Apache-2.0
// What failed in a whole run is run once more: a fault stays a failure, and what passes then is named.
import { expect, test } from "bun:test";
import { closingLine, type Run, sum } from "../../scripts/junit.ts";
import { secondLook } from "../../scripts/unsteady.ts";

function runOf(file: string, outcome: "passed" | "failed"): Run {
  return {
    runner: "bun test",
    files: [file],
    cases: [{ name: "a", file, outcome }],
    exitCode: outcome === "passed" ? 0 : 1,
  };
}

const good = runOf("tests/good.test.ts", "passed");
const bad = runOf("tests/bad.test.ts", "failed");
const busy = runOf("tests/busy.test.ts", "failed");

test("what fails again is a failure, what passes then counts and is named", async () => {
  const asked: string[] = [];
  const { runs, unsteady } = await secondLook([good, bad, busy], false, async (run) => {
    asked.push(...run.files);
    return run === bad ? bad : runOf("tests/busy.test.ts", "passed");
  });
  expect(asked).toEqual(["tests/bad.test.ts", "tests/busy.test.ts"]);
  expect(unsteady).toEqual(["tests/busy.test.ts: a"]);
  expect(sum(runs, false).failures).toEqual(["tests/bad.test.ts: a"]);
  expect(closingLine(sum(runs, false))).toBe("2 passed, 1 failed");
});

test("a file that was killed and then leaves a test out has failed", async () => {
  const killed: Run = { ...busy, cases: [], ended: "took longer than 240 s, ended with SIGTERM" };
  const { runs, unsteady } = await secondLook([killed], false, async () => ({ ...killed, cases: [], exitCode: 0 }));
  expect(unsteady).toEqual([]);
  expect(closingLine(sum(runs, false))).toBe("0 passed, 1 failed");
});

test("three files that fail are not the load's fault: nothing is run again", async () => {
  const runs = [bad, busy, runOf("tests/third.test.ts", "failed"), good];
  const look = await secondLook(runs, false, () => {
    throw new Error("run again");
  });
  expect(look).toEqual({ runs, unsteady: [] });
});
