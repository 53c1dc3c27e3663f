// SPDX-License-Identifier: Apache-2.0
// Who makes room in a full gate.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Undecided } from "../../src/gate/undecided.ts";

interface One {
  readonly source: string;
  readonly number: number;
  isSilent: boolean;
  /** So many looks ago. */
  age: number;
}

function isBlamed({ isSilent, age }: One): boolean {
  return isSilent && age >= 2;
}

function age(all: readonly One[]): void {
  for (const one of all) one.age++;
}

/** By looking at all. */
function expected(all: readonly One[]): One | undefined {
  const countOf = (source: string) => all.filter((one) => one.source === source).length;
  const most = Math.max(...all.map(({ source }) => countOf(source)));
  const candidates = all.filter(({ source }) => countOf(source) === most);
  const silent = candidates.filter(isBlamed);
  return (silent.length > 0 ? silent : candidates)[0];
}

test("the source that holds most, silent ones first", () => {
  const steps = fc.array(fc.tuple(fc.constantFrom("add", "speak", "remove", "grow"), fc.nat(3), fc.nat(50)), {
    maxLength: 120,
  });
  fc.assert(
    fc.property(steps, (script) => {
      const undecided = new Undecided<One>();
      let all: One[] = [];
      let number = 0;
      for (const [what, source, index] of script) {
        const one = all[index % Math.max(1, all.length)];
        if (what === "add") {
          const added = { source: `192.0.2.${source}`, number: number++, isSilent: true, age: 0 };
          undecided.add(added.source, added);
          all.push(added);
        } else if (what === "grow") {
          undecided.grow();
          age(all);
        } else if (one !== undefined && what === "speak") {
          undecided.spoke(one.source, one);
          one.isSilent = false;
        } else if (one !== undefined) {
          undecided.remove(one.source, one);
          all = all.filter((other) => other !== one);
        }
        const victim = undecided.victim();
        const wanted = expected(all);
        const heldBy = (text: string | undefined) => all.filter((other) => other.source === text).length;
        expect([victim && isBlamed(victim), heldBy(victim?.source)]).toEqual([
          wanted && isBlamed(wanted),
          heldBy(wanted?.source),
        ]);
      }
    }),
  );
});

test("of one source the oldest that was silent, and of equal sources the one that was there first", () => {
  const undecided = new Undecided<string>();
  for (const [source, item] of [
    ["a", "a1"],
    ["b", "b1"],
    ["c", "c1"],
  ] as const)
    undecided.add(source, item);
  for (const _ of [1, 2]) undecided.grow();
  expect(undecided.victim()).toBe("a1");
  undecided.spoke("a", "a1");
  expect(undecided.victim()).toBe("b1");
  undecided.add("c", "c2");
  expect(undecided.victim()).toBe("c1");
  undecided.remove("c", "c1");
  undecided.remove("c", "c1");
  expect(undecided.victim()).toBe("b1");
  for (const [source, item] of [
    ["b", "b1"],
    ["c", "c2"],
    ["a", "a1"],
  ] as const)
    undecided.remove(source, item);
  expect(undecided.victim()).toBeUndefined();
});

test("one that has just come is not pushed out by many who send a byte each", () => {
  const undecided = new Undecided<string>();
  for (let number = 0; number < 100; number++) {
    undecided.add(`scanner${number}`, `scanner${number}`);
    undecided.spoke(`scanner${number}`, `scanner${number}`);
  }
  undecided.add("friend", "friend");
  expect(undecided.victim()).toBe("scanner0");
  undecided.grow();
  expect(undecided.victim()).toBe("scanner0");
  undecided.grow();
  expect(undecided.victim()).toBe("friend");
  undecided.spoke("friend", "friend");
  expect(undecided.victim()).toBe("scanner0");
});

test("a friend that is slow stays while few sources fill the gate", () => {
  const undecided = new Undecided<string>();
  undecided.add("friend", "friend");
  const held = new Set<string>();
  let kept = true;
  for (let number = 0; number < 200; number++) {
    if (held.size + Number(kept) >= 100) {
      const victim = undecided.victim() ?? "";
      if (victim === "friend") kept = false;
      undecided.remove(victim.split("#")[0] ?? "", victim);
      held.delete(victim);
    }
    const newcomer = `scanner${number % 3}#${number}`;
    undecided.add(`scanner${number % 3}`, newcomer);
    held.add(newcomer);
  }
  expect(kept).toBe(true);
});
