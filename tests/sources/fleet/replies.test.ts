// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { hintsOf, page, readHints, saidOf, shortHints, timeMs } from "../../../src/sources/fleet/replies.ts";

test("hints, of whoever wrote them", () => {
  const entry = (id: string, ...fields: string[]) => [id, fields];
  expect(readHints([["log", [entry("1-0", "g", "a", "n", "7", "s", "192.0.2.1 192.0.2.2")]]])).toEqual([
    { id: "1-0", gate: "a", number: 7, sources: ["192.0.2.1", "192.0.2.2"] },
  ]);
  // The place in the stream counts even where the rest is nonsense.
  expect(hintsOf([entry("2-0", "g", "a b", "s")]).map(({ id, gate }) => [id, gate])).toEqual([["2-0", ""]]);
  const [flood] = hintsOf([entry("3-0", "g", "a", "s", "x ".repeat(100_000))]);
  expect(flood?.sources.length).toBe(200);
});

test("hints as short texts, of whoever wrote them", () => {
  expect(shortHints(["1-0 g a n 7 s 192.0.2.1 192.0.2.2"])).toEqual([
    { id: "1-0", gate: "a", number: 7, sources: ["192.0.2.1", "192.0.2.2"] },
  ]);
  const strange = ["2-0 g a b s", "3-0", "4-0 n 7 g a s x", "5-0 g a* n 7 s x"];
  expect(shortHints(strange).map(({ id, gate }) => [id, gate])).toEqual(strange.map((text) => [text.slice(0, 3), ""]));
  expect(shortHints([`6-0 g a n 1 s ${"x ".repeat(100_000)}`])[0]?.sources.length).toBe(200);
  expect(shortHints(["", 5, null])).toEqual([]);
});

test("what a gate says, and what it does not", () => {
  expect(saidOf("7\n192.0.2.1 1 2 0 http -\n192.0.2.2 1 2 0 tls -")).toEqual({
    number: 7,
    entries: [
      ["192.0.2.1", "1 2 0 http -"],
      ["192.0.2.2", "1 2 0 tls -"],
    ],
  });
  expect(saidOf("x\n\nnonsense").entries).toEqual([
    ["", ""],
    ["nonsense", ""],
  ]);
  expect(saidOf(`1${"\nx".repeat(100_000)}`).entries.length).toBe(200);
});

test("no reply makes reading it fail", () => {
  fc.assert(
    fc.property(fc.anything(), (reply) => {
      for (const read of [hintsOf, readHints, shortHints, page]) read(reply);
      saidOf(`${JSON.stringify(reply)}`);
    }),
  );
});

test("an engine's time that is none is not computed with", () => {
  expect(timeMs(["1800000000", "250000"])).toBe(1_800_000_000_250);
  for (const reply of [null, "OK", [], ["1"], ["x", "1"], ["", ""], ["1e9", "1"], [1, 2]]) {
    expect(() => timeMs(reply)).toThrow("no time");
  }
});
