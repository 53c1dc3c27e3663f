// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Entries } from "../../../src/core/lists/entries.ts";

const named = fc.array(
  fc.tuple(fc.constantFrom("a", "b", "192.0.2.1", "192.0.2.0/24"), fc.option(fc.nat(), { nil: undefined })),
);

test("hold each source once, for the longest that was said of it, or else for the usual time", () => {
  fc.assert(
    fc.property(named, (all) => {
      const entries = new Entries();
      const wanted = new Map<string, number | undefined>();
      for (const [source, forMs] of all) {
        entries.add(source, forMs);
        const said = all.filter(([other, ms]) => other === source && ms !== undefined).map(([, ms]) => ms ?? 0);
        wanted.set(source, said.length === 0 ? undefined : Math.max(...said));
      }
      expect(new Map(entries)).toEqual(wanted);
      expect(entries.size).toBe(wanted.size);
      expect([...wanted.keys()].every((source) => entries.has(source))).toBe(true);
      expect(entries.has("192.0.2.2")).toBe(false);
    }),
  );
});
