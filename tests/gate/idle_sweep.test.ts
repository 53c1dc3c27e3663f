// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { IdleSweep } from "../../src/gate/idle_sweep.ts";
import type { Sessions } from "../../src/gate/sessions.ts";

test("a step that begins while another one is on its way goes on with the same round", () => {
  const looked: number[] = [];
  const sessions = {
    *all() {
      for (let number = 1; number <= 3; number++) yield { endIfIdle: () => looked.push(number) };
    },
  } as unknown as Sessions;
  const sweep = new IdleSweep();
  const steps = [sweep.step(sessions, 1000), sweep.step(sessions, 1000)];
  for (let turn = 0; turn < 4; turn++) for (const step of steps) step.next();
  expect(looked).toEqual([1, 2, 3]);
  expect([...sweep.step(sessions, 1000)]).toHaveLength(3);
});
