// SPDX-License-Identifier: Apache-2.0
// Who makes room in a full gate.
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { Chain } from "../../src/core/chain.ts";
import { Source, Undecided, type Waiting } from "../../src/gate/undecided.ts";

class One implements Waiting<One> {
  chain: Chain<One> | undefined;
  previous: One | undefined;
  next: One | undefined;
  source: Waiting<One>["source"];
  readonly name: string;
  youth: number | undefined;
  isSilent = true;
  /** So many looks ago. */
  age = 0;

  constructor(name = "") {
    this.name = name;
  }
}

/** A source is one object, whoever asks for it. */
function sources(): (address: string) => Source<One> {
  const known = new Map<string, Source<One>>();
  return (address) => {
    const source = known.get(address) ?? new Source<One>(address);
    known.set(address, source);
    return source;
  };
}

function isBlamed({ isSilent, age }: One): boolean {
  return isSilent && age >= 2;
}

function age(all: readonly One[]): void {
  for (const one of all) one.age++;
}

/** By looking at all. */
function expected(all: readonly One[]): One | undefined {
  const countOf = (source: One["source"]) => all.filter((one) => one.source === source).length;
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
      const sourceOf = sources();
      let all: One[] = [];
      for (const [what, number, index] of script) {
        const one = all[index % Math.max(1, all.length)];
        if (what === "add") {
          const added = new One();
          undecided.add(sourceOf(`192.0.2.${number}`), added);
          all.push(added);
        } else if (what === "grow") {
          undecided.grow();
          age(all);
        } else if (one !== undefined && what === "speak") {
          undecided.spoke(one);
          one.isSilent = false;
        } else if (one !== undefined) {
          undecided.remove(one);
          all = all.filter((other) => other !== one);
        }
        const victim = undecided.victim();
        const wanted = expected(all);
        const heldBy = (source: One["source"]) => all.filter((other) => other.source === source).length;
        expect([victim && isBlamed(victim), heldBy(victim?.source), undecided.size]).toEqual([
          wanted && isBlamed(wanted),
          heldBy(wanted?.source),
          all.length,
        ]);
      }
    }),
  );
});

test("of one source the oldest that was silent, and of equal sources the one that was there first", () => {
  const undecided = new Undecided<One>();
  const sourceOf = sources();
  const [a1, b1, c1, c2] = [new One("a1"), new One("b1"), new One("c1"), new One("c2")];
  const victim = () => undecided.victim()?.name;
  for (const one of [a1, b1, c1]) undecided.add(sourceOf(one.name.charAt(0)), one);
  for (const _ of [1, 2]) undecided.grow();
  expect(victim()).toBe("a1");
  undecided.spoke(a1);
  expect(victim()).toBe("b1");
  undecided.add(sourceOf("c"), c2);
  expect(victim()).toBe("c1");
  undecided.remove(c1);
  undecided.remove(c1);
  expect(victim()).toBe("b1");
  for (const one of [b1, c2, a1]) undecided.remove(one);
  expect(victim()).toBeUndefined();
});

test("one that has just come is not pushed out by many who send a byte each", () => {
  const undecided = new Undecided<One>();
  const sourceOf = sources();
  for (let number = 0; number < 100; number++) {
    const scanner = new One(`scanner${number}`);
    undecided.add(sourceOf(scanner.name), scanner);
    undecided.spoke(scanner);
  }
  const friend = new One("friend");
  undecided.add(sourceOf(friend.name), friend);
  const victims = [1, 2].map(() => {
    const { name } = undecided.victim() ?? new One();
    undecided.grow();
    return name;
  });
  expect([...victims, undecided.victim()?.name]).toEqual(["scanner0", "scanner0", "friend"]);
  undecided.spoke(friend);
  expect(undecided.victim()?.name).toBe("scanner0");
});

test("a friend that is slow stays while few sources fill the gate", () => {
  const undecided = new Undecided<One>();
  const sourceOf = sources();
  const friend = new One();
  undecided.add(sourceOf("friend"), friend);
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
    const newcomer = new One();
    undecided.add(sourceOf(`scanner${number % 3}`), newcomer);
    held.add(newcomer);
  }
  expect(kept).toBe(true);
});

test("a source with very many takes no longer for each of them", () => {
  const undecided = new Undecided<One>();
  const source = new Source<One>("192.0.2.1");
  const all = Array.from({ length: 30_000 }, () => new One());
  const startedMs = performance.now();
  for (const one of all) undecided.add(source, one);
  for (const one of all) undecided.remove(one);
  expect(undecided.victim()).toBeUndefined();
  // Some 40 ms; were each step to walk over the numbers of connections, ten seconds.
  expect(performance.now() - startedMs).toBeLessThan(2000);
});
