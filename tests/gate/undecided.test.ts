// SPDX-License-Identifier: Apache-2.0
// Who makes room in a full gate.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Chain } from "../../src/core/chain.ts";
import { Undecided, type Waiting } from "../../src/gate/undecided.ts";

class One implements Waiting<One> {
  chain: Chain<One> | undefined;
  previous: One | undefined;
  next: One | undefined;
  source: Waiting<One>["source"];
  readonly address: string;
  readonly name: string;
  isSilent = true;

  constructor(address: string, name = "") {
    this.address = address;
    this.name = name;
  }
}

/** By looking at all. */
function expected(all: readonly One[]): One | undefined {
  const countOf = (address: string) => all.filter((one) => one.address === address).length;
  const most = Math.max(...all.map(({ address }) => countOf(address)));
  const candidates = all.filter(({ address }) => countOf(address) === most);
  const silent = candidates.filter(({ isSilent }) => isSilent);
  return (silent.length > 0 ? silent : candidates)[0];
}

test("the source that holds most, silent ones first", () => {
  const steps = fc.array(fc.tuple(fc.constantFrom("add", "speak", "remove"), fc.nat(3), fc.nat(50)), {
    maxLength: 120,
  });
  fc.assert(
    fc.property(steps, (script) => {
      const undecided = new Undecided<One>();
      let all: One[] = [];
      for (const [what, source, index] of script) {
        const one = all[index % Math.max(1, all.length)];
        if (what === "add") {
          const added = new One(`192.0.2.${source}`);
          undecided.add(added.address, added);
          all.push(added);
        } else if (one !== undefined && what === "speak") {
          undecided.spoke(one);
          one.isSilent = false;
        } else if (one !== undefined) {
          undecided.remove(one);
          all = all.filter((other) => other !== one);
        }
        const victim = undecided.victim();
        const wanted = expected(all);
        const heldBy = (text: string | undefined) => all.filter((other) => other.address === text).length;
        expect([victim?.isSilent, heldBy(victim?.address)]).toEqual([wanted?.isSilent, heldBy(wanted?.address)]);
      }
    }),
  );
});

test("of one source the oldest that was silent, and of equal sources the one that was there first", () => {
  const undecided = new Undecided<One>();
  const [a1, b1, c1, c2] = [new One("a", "a1"), new One("b", "b1"), new One("c", "c1"), new One("c", "c2")];
  const victim = () => undecided.victim()?.name;
  for (const one of [a1, b1, c1]) undecided.add(one.address, one);
  expect(victim()).toBe("a1");
  undecided.spoke(a1);
  expect(victim()).toBe("b1");
  undecided.add("c", c2);
  expect(victim()).toBe("c1");
  undecided.remove(c1);
  undecided.remove(c1);
  expect(victim()).toBe("b1");
  for (const one of [b1, c2, a1]) undecided.remove(one);
  expect(victim()).toBeUndefined();
});

test("a friend that is slow stays while few sources fill the gate", () => {
  const undecided = new Undecided<One>();
  const friend = new One("friend");
  undecided.add(friend.address, friend);
  const held = new Set<One>();
  let kept = true;
  for (let number = 0; number < 200; number++) {
    if (held.size + Number(kept) >= 100) {
      const victim = undecided.victim();
      if (victim === undefined) throw new Error("Nobody makes room");
      if (victim === friend) kept = false;
      undecided.remove(victim);
      held.delete(victim);
    }
    const newcomer = new One(`scanner${number % 3}`);
    undecided.add(newcomer.address, newcomer);
    held.add(newcomer);
  }
  expect(kept).toBe(true);
});

test("a source with very many takes no longer for each of them", () => {
  const undecided = new Undecided<One>();
  const all = Array.from({ length: 30_000 }, () => new One("192.0.2.1"));
  const startedMs = performance.now();
  for (const one of all) undecided.add(one.address, one);
  for (const one of all) undecided.remove(one);
  expect(undecided.victim()).toBeUndefined();
  // Some 40 ms; were each step to walk over the numbers of connections, ten seconds.
  expect(performance.now() - startedMs).toBeLessThan(2000);
});
