// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Expiry } from "../../../src/core/bans/expiry.ts";
import type { Chain, Chained } from "../../../src/core/chain.ts";

class Item<V> implements Chained<Item<V>> {
  chain: Chain<Item<V>> | undefined;
  previous: Item<V> | undefined;
  next: Item<V> | undefined;
  readonly value: V;

  constructor(value: V) {
    this.value = value;
  }
}

/** Tells things apart by their values. */
class Named<V> {
  readonly #expiry = new Expiry<Item<V>>();
  readonly #items = new Map<V, Item<V>>();

  add(value: V, deadlineMs: number): void {
    this.#expiry.add(this.#itemOf(value), deadlineMs);
  }

  remove(value: V, deadlineMs: number): void {
    this.#expiry.remove(this.#itemOf(value), deadlineMs);
  }

  due(nowMs: number, limit?: number): V[] {
    return this.#expiry.due(nowMs, limit).map(({ value }) => value);
  }

  soonest(): V | undefined {
    return this.#expiry.soonest()?.value;
  }

  #itemOf(value: V): Item<V> {
    const item = this.#items.get(value) ?? new Item(value);
    this.#items.set(value, item);
    return item;
  }
}

/** Holds an Expiry against a map that is looked through from end to end. */
class Compared {
  readonly #expiry = new Named<number>();
  readonly #deadlines = new Map<number, number>();
  #nowMs: number;
  #made = 0;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  add(afterMs: number): void {
    this.#deadlines.set(this.#made, this.#nowMs + afterMs);
    this.#expiry.add(this.#made++, this.#nowMs + afterMs);
  }

  remove(pick: number): void {
    const [item, deadlineMs] = [...this.#deadlines][pick % Math.max(1, this.#deadlines.size)] ?? [];
    if (item === undefined || deadlineMs === undefined) return;
    this.#expiry.remove(item, deadlineMs);
    this.#deadlines.delete(item);
  }

  pass(ms: number, limit: number): void {
    this.#nowMs += ms;
    const ended = this.#expiry.due(this.#nowMs, limit);
    expect(ended.every((item) => (this.#deadlines.get(item) ?? Number.NaN) <= this.#nowMs)).toBe(true);
    expect(new Set(ended).size).toBe(ended.length);
    expect(ended.length).toBeLessThanOrEqual(limit);
    for (const item of ended) this.#deadlines.delete(item);
    const late = [...this.#deadlines.values()].filter((deadlineMs) => deadlineMs <= this.#nowMs - 1000);
    if (ended.length < limit) expect(late).toEqual([]);
  }

  checkSoonest(): void {
    const soonest = this.#expiry.soonest();
    const wantedMs = Math.min(...this.#deadlines.values());
    if (wantedMs === Number.POSITIVE_INFINITY) expect(soonest).toBeUndefined();
    else expect(this.#deadlines.get(soonest ?? -1) ?? Number.NaN).toBeLessThan(wantedMs + 1000);
  }
}

type Step = (compared: Compared) => void;

const afterMs = fc.oneof(fc.nat(5000), fc.nat(100_000), fc.constant(Number.POSITIVE_INFINITY), fc.constant(-1));
const limit = fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.nat(3));
const step: fc.Arbitrary<Step> = fc.oneof(
  afterMs.map(
    (ms): Step =>
      (compared) =>
        compared.add(ms),
  ),
  fc.nat().map(
    (pick): Step =>
      (compared) =>
        compared.remove(pick),
  ),
  fc.tuple(fc.nat(3000), limit).map(
    ([ms, most]): Step =>
      (compared) =>
        compared.pass(ms, most),
  ),
);

describe("things that end", () => {
  test("come due never early, at most a second late, each once", () => {
    const startMs = fc.double({ min: 0, max: 1e7, noNaN: true });
    fc.assert(
      fc.property(startMs, fc.array(step, { maxLength: 60 }), (nowMs, steps) => {
        const compared = new Compared(nowMs);
        for (const next of steps) {
          next(compared);
          compared.checkSoonest();
        }
      }),
      { numRuns: 500 },
    );
  });

  test("come out in the order of their seconds", () => {
    const deadlines = fc.array(fc.nat(100_000), { maxLength: 100 });
    fc.assert(
      fc.property(deadlines, (list) => {
        const expiry = new Named<number>();
        for (const deadlineMs of new Set(list)) expiry.add(deadlineMs, deadlineMs);
        const seconds = expiry.due(200_000).map((deadlineMs) => Math.ceil(deadlineMs / 1000));
        expect(seconds).toEqual(seconds.toSorted((a, b) => a - b));
        expect(seconds.length).toBe(new Set(list).size);
      }),
    );
  });

  test("without an end never come due and are never the soonest", () => {
    const expiry = new Named<string>();
    expiry.add("ever", Number.POSITIVE_INFINITY);
    expect(expiry.soonest()).toBeUndefined();
    expect(expiry.due(Number.MAX_SAFE_INTEGER)).toEqual([]);
    expiry.remove("ever", Number.POSITIVE_INFINITY);
    expiry.add("later", 5000);
    expect(expiry.soonest()).toBe("later");
  });

  test("a limit leaves the rest for the next time", () => {
    const expiry = new Named<number>();
    for (let item = 0; item < 10; item++) expiry.add(item, item < 5 ? 500 : 1500);
    expect(expiry.due(2000, 0)).toEqual([]);
    expect(expiry.due(2000, 3)).toEqual([0, 1, 2]);
    expect(expiry.soonest()).toBe(3);
    expect(expiry.due(2000, 4)).toEqual([3, 4, 5, 6]);
    expect(expiry.due(2000)).toEqual([7, 8, 9]);
    expect(expiry.due(2000)).toEqual([]);
    expect(expiry.soonest()).toBeUndefined();
  });

  test("removing what is not there, twice or with another deadline, does nothing", () => {
    const expiry = new Named<string>();
    expiry.add("a", 1000);
    expiry.remove("b", 1000);
    expiry.remove("a", 9000);
    expect(expiry.soonest()).toBe("a");
    expiry.remove("a", 1000);
    expiry.remove("a", 1000);
    expect(expiry.due(10_000)).toEqual([]);
    expiry.add("a", 1000);
    expect(expiry.due(10_000)).toEqual(["a"]);
  });

  test("a hundred thousand are added, asked for and taken out in step with their number", () => {
    const expiry = new Named<number>();
    const startedMs = performance.now();
    for (let item = 0; item < 100_000; item++) expiry.add(item, (item * 7919) % 600_000);
    for (let item = 0; item < 100_000; item += 2) expiry.remove(item, (item * 7919) % 600_000);
    let count = 0;
    for (let nowMs = 0; nowMs <= 601_000; nowMs += 500) {
      expiry.soonest();
      count += expiry.due(nowMs).length;
    }
    expect(count).toBe(50_000);
    // About 60 ms; a scan of everything for each question would take minutes.
    expect(performance.now() - startedMs).toBeLessThan(2000);
  });
});
