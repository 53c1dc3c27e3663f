// SPDX-License-Identifier: Apache-2.0
// A second look at the few files that failed in a whole run: once more, with nothing beside them. What is broken
// fails again. What passes was short of time on a busy machine; it counts as it went then, and is named at the
// end, since a test that depends on the load wants mending.
import { type Run, sum } from "./junit.ts";

/** More than so many have another reason than a busy machine: nothing is run again. */
const most = 2;

export interface SecondLook {
  readonly runs: readonly Run[];
  /** What failed at first and passed when run again: one line for each test. */
  readonly unsteady: readonly string[];
}

/** @param runAgain runs the files of a run once more, and nothing else meanwhile. */
export async function secondLook(
  runs: readonly Run[],
  strict: boolean,
  runAgain: (failed: Run) => Promise<Run>,
): Promise<SecondLook> {
  const failed = runs.filter((run) => sum([run], strict).failures.length > 0);
  if (failed.length > most) return { runs, unsteady: [] };
  const unsteady: string[] = [];
  const again = new Map<Run, Run>();
  for (const run of failed) {
    const second = await runAgain(run);
    if (sum([second], strict).failures.length > 0) continue;
    again.set(run, second);
    unsteady.push(...sum([run], strict).failures);
  }
  return { runs: runs.map((run) => again.get(run) ?? run), unsteady };
}
