// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { Newcomers } from "../../src/gate/newcomers.ts";

class Guest {
  youth: number | undefined;
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

const look = (newcomers: Newcomers<Guest>) => [...newcomers.grown()].map(({ name }) => name);

test("whoever has come is grown at the second look, once, and not when it is gone before", () => {
  const newcomers = new Newcomers<Guest>();
  const [first, second, third] = ["first", "second", "third"].map((name) => new Guest(name)) as [Guest, Guest, Guest];
  for (const guest of [first, second]) newcomers.add(guest);
  expect(look(newcomers)).toEqual([]);
  newcomers.add(third);
  newcomers.remove(first);
  expect(look(newcomers)).toEqual(["second"]);
  newcomers.remove(first);
  expect(look(newcomers)).toEqual(["third"]);
  expect(look(newcomers)).toEqual([]);
});

test("who goes while others are looked at is not grown, and takes nobody's place", () => {
  const newcomers = new Newcomers<Guest>();
  const guests = ["a", "b", "c"].map((name) => new Guest(name));
  for (const guest of guests) newcomers.add(guest);
  look(newcomers);
  const later = ["d", "e", "f"].map((name) => new Guest(name));
  for (const guest of later) newcomers.add(guest);
  const grown = newcomers.grown();
  expect(grown.next().value?.name).toBe("a");
  newcomers.remove(guests[1] as Guest);
  expect([...grown].map(({ name }) => name)).toEqual(["c"]);
  expect(look(newcomers)).toEqual(["d", "e", "f"]);
});
