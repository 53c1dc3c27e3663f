// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { Follower } from "../../../src/sources/fleet/follower.ts";
import type { Hint } from "../../../src/sources/fleet/replies.ts";
import { FleetKeys } from "../../../src/sources/fleet/script.ts";
import { type Limits, Member, Memory } from "../../core/fleet/bed.ts";

const keys = new FleetKeys("ttgate");

/** A gate that hears of a's doings, and asks for what it did not hear. */
class Ear {
  readonly memory = new Memory();
  readonly member: Member;
  readonly asked: string[][] = [];
  readonly #follower: Follower;

  constructor(limits: Limits = {}) {
    this.member = new Member("b", this.memory, 1_000_000, limits);
    this.#follower = new Follower({
      ...{ gate: "b", table: this.member.table, keys, gatesAtMost: 10, nowMs: () => this.member.nowMs },
      trusts: (gate) => gate !== "evil",
      named: () => [],
    });
  }

  begin(): void {
    this.#follower.beginHearing(this.memory.nowMs, (error) => {
      throw error;
    });
  }

  says(gate: string, number: number, ...sources: string[]): void {
    const lines = sources.map((source) => `${source} ${this.memory.nowMs} 0 0 http -`);
    this.#follower.hear(keys.said(gate), [number, ...lines].join("\n"));
  }

  hint(gate: string, number: number, ...sources: string[]): Promise<void> {
    return this.#answered(`${this.memory.nowMs} 0 0 http -`, { gate, number, sources });
  }

  /** A hint at what the gate has no word of. */
  hollow(gate: string, number: number, ...sources: string[]): Promise<void> {
    return this.#answered(null, { gate, number, sources });
  }

  #answered(record: string | null, hint: Omit<Hint, "id">): Promise<void> {
    return this.#follower.take([{ id: `${this.memory.nowMs + 1}-0`, ...hint }], async (command) => {
      this.asked.push(command);
      return command.slice(2).map(() => record);
    });
  }

  get isMissing(): boolean {
    return this.#follower.isMissing(this.member.nowMs);
  }

  get banned(): string[] {
    return Object.keys(this.member.banned());
  }
}

test("what a gate says is taken as it is, and its hints ask nothing", async () => {
  const ear = new Ear();
  ear.begin();
  ear.says("a", 1, "192.0.2.1", "192.0.2.2");
  ear.says("a", 2, "192.0.2.3");
  expect(ear.banned).toEqual(["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
  for (const number of [1, 2]) await ear.hint("a", number, "192.0.2.1");
  expect([ear.asked, ear.isMissing]).toEqual([[], false]);
  // Between two that were heard one is missing.
  ear.says("a", 4, "192.0.2.5");
  await ear.hint("a", 3, "192.0.2.4");
  expect(ear.asked).toEqual([["HMGET", keys.records("a"), "192.0.2.4"]]);
  expect([ear.banned.length, ear.isMissing]).toEqual([5, false]);
});

test("an engine that lost its memory counts anew: no hint of its is taken for heard before", async () => {
  const ear = new Ear();
  ear.begin();
  for (let number = 1; number <= 5; number++) ear.says("a", number, `192.0.2.${number}`);
  ear.says("a", 1, "192.0.2.9");
  await ear.hint("a", 2, "192.0.2.10");
  expect(ear.asked.length).toBe(1);
  ear.begin();
  await ear.hint("a", 1, "192.0.2.9");
  expect(ear.asked.length).toBe(2);
});

test("a gate that says nothing is followed closely by its hints, for a minute", async () => {
  const ear = new Ear();
  ear.begin();
  await ear.hint("a", 1, "192.0.2.1");
  expect([ear.banned, ear.isMissing]).toEqual([["192.0.2.1"], true]);
  ear.memory.nowMs += 61_000;
  expect(ear.isMissing).toBe(false);
});

test("nobody is heard on a channel that is none, this gate's own, or of a gate that is not trusted", () => {
  const ear = new Ear();
  ear.begin();
  for (const gate of ["b", "evil", "", "a b", "a:records", "x".repeat(65)]) ear.says(gate, 1, "192.0.2.1");
  expect(ear.banned).toEqual([]);
});

test("a flood waits within bounds; what is beyond them is asked for by its hints", async () => {
  const ear = new Ear();
  ear.begin();
  const messages = 3000;
  const source = (number: number, n: number) => `10.${number >> 8}.${number & 255}.${n}`;
  for (let number = 0; number < messages; number++)
    ear.says("a", number + 1, ...Array.from({ length: 100 }, (_, n) => source(number, n)));
  const atOnce = ear.banned.length;
  expect(atOnce).toBeLessThan(500);
  for (let before = -1; before !== ear.banned.length; await setImmediate()) before = ear.banned.length;
  expect(ear.banned.length).toBeGreaterThan(atOnce);
  expect(ear.asked).toEqual([]);
  await ear.hint("a", messages, source(messages - 1, 0));
  expect(ear.asked.length).toBe(1);
});

test("hints at nothing, in whosever name, come to an end, and hold up nothing that the gate says itself", async () => {
  const ear = new Ear({ rate: () => 1000 });
  ear.begin();
  ear.says("a", 1, "192.0.2.1");
  for (let n = 0; n < 20; n++) {
    const sources = Array.from({ length: 100 }, (_, m) => `10.0.${n}.${m}`);
    await ear.hollow("a", 5000 + n, ...sources);
  }
  const peer = ear.member.table.peer("a");
  expect([ear.asked.length, peer.isHollow, peer.isDeferred, peer.refused.rate]).toEqual([11, true, false, 0]);
  ear.says("a", 2, "192.0.2.2");
  expect(ear.banned).toEqual(["192.0.2.1", "192.0.2.2"]);
});
