// SPDX-License-Identifier: Apache-2.0
// What the kernel says of changes, and what it seldom says. The C library is a list of answers.
import { expect, test } from "bun:test";
import type { Libc } from "../../src/kernel/libc.ts";
import { NetworkChanges } from "../../src/kernel/network_changes.ts";

const [eagain, enobufs, eperm, message] = [-11, -105, -1, 16];

/** @returns how often the version was another one, by how many answers each of the questions found. */
function versions(found: readonly (readonly number[])[], bound = 0): { readonly seen: string; readonly left: number } {
  const answers = found.flatMap((some) => [...some, eagain]);
  const calls = { socket: () => 9, bind: () => bound, close: () => 0, recv: () => BigInt(answers.shift() ?? eagain) };
  using changes = new NetworkChanges({ calls, result: Number } as unknown as Libc);
  let before = changes.version();
  const seen = found.slice(1).map(() => {
    const version = changes.version();
    const isNew = version !== before;
    before = version;
    return isNew ? "new" : "same";
  });
  return { seen: seen.join(" "), left: answers.length };
}

test("nothing was told: nothing changed; whatever was told, also that something was lost, is a change", () => {
  expect(versions([[], [], [message], [], [message, message], [enobufs], []]).seen).toBe("same new same new new same");
});

test("thousands of changes are not read in one go", () => {
  const flood = Array.from({ length: 3000 }, () => message);
  const { seen, left } = versions([[], flood, [], []]);
  expect(seen).toBe("new new new");
  expect(left).toBeGreaterThan(1000);
});

test("where nobody may subscribe, everything may have changed at any time", () => {
  expect(versions([[], [], []], eperm).seen).toBe("new new");
});
