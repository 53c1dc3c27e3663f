// SPDX-License-Identifier: Apache-2.0
// Who runs into a limit again and again, while servers come and go.
import { expect, test } from "bun:test";
import { Client } from "../../src/core/client.ts";
import { Observer } from "../../src/gate/observer.ts";

test.each([
  ["the only server is away", false, 0],
  ["a spare one is away", true, 1],
])("while %s", (_what, isServed, wanted) => {
  let nowMs = 0;
  let bans = 0;
  const observer = new Observer({
    ...{ recorder: undefined, limits: { refused: undefined, undecided: undefined, excess: 10 } },
    ...{ gatePort: () => 443, nowMs: () => nowMs, hasFriend: () => false, ban: () => bans++ },
  });
  for (; bans === 0 && nowMs < 600_000; nowMs += 1000) {
    // It is looked at again and again.
    if (nowMs % 5000 === 0) observer.upstreamChanged(false, isServed);
    observer.exceeded(new Client("192.0.2.1", 4711, 64));
  }
  expect(bans).toBe(wanted);
});
