// SPDX-License-Identifier: Apache-2.0
// The engine in the kernel (bpf/signatures.h) says what the matcher says: of every vector and every prefix
// of it, of a million generated streams, and at the limits; agreement.ts has what "the same" means.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ciphers, loadProfile } from "../../src/config/profile.ts";
import { profileLibrary } from "../../src/core/profile/library.ts";
import { type Profile, parseProfile } from "../../src/core/profile/profile.ts";
import { tableLimits, tablePrefixBytes } from "../../src/core/signature/table.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { describeWith } from "../harness/needs.ts";
import { loadFirstMessages } from "../vectors/conformance.ts";
import { inlineProfiles } from "../vectors/inline_profiles.ts";
import { loadNearMisses } from "../vectors/near_misses.ts";
import { bytesOf, loadVectors } from "../vectors/vectors.ts";
import { type Agreement, agreementOf } from "./agreement.ts";
import { compareBuiltIn, compareGrown, emptyTally, streamsOfGrown } from "./agreement_run.ts";
import { type Engine, kindOf, openEngine, ownerOf, readings, verdictForeign } from "./inline.ts";

const libraries = await openLibraries(native);
const engines = new Map<string, Engine>();

function engineOf(reading: string): Engine {
  const engine = engines.get(reading);
  if (engine === undefined) throw new Error(`No engine reads by ${reading}`);
  return engine;
}

function agreement(profile: Profile, reading: string): Agreement {
  const result = agreementOf(profile, [engineOf(reading)]);
  if (!("table" in result)) throw new Error(result.join("; "));
  return result;
}

describeWith("root")("the engine in the kernel", () => {
  beforeAll(() => {
    for (const reading of readings) engines.set(reading, openEngine(libraries, reading));
  });
  afterAll(() => {
    for (const engine of engines.values()) engine[Symbol.dispose]();
  });

  describe.each([...readings])("every prefix of every vector, read by %s", (reading) => {
    test.each(inlineProfiles)("profile %s", (name) => {
      const { disagreement, said } = agreement(loadProfile(name), reading);
      const own = loadFirstMessages().filter(({ profile }) => profile === name);
      const misses = loadNearMisses().filter(({ profile }) => profile === name);
      for (const { name: message, bytes } of [...loadVectors(), ...own, ...misses]) {
        for (let length = 1; length <= Math.min(bytes.length, tablePrefixBytes + 16); length++) {
          const found = disagreement(bytes, length);
          if (found !== undefined) throw new Error(`${message}, ${length} bytes: ${found}`);
        }
      }
      const { malformed, ...others } = said;
      expect(Math.min(...Object.values(others))).toBeGreaterThan(10);
      // Of some it takes the silence, which the kernel does not learn of.
      if (profileLibrary.get(name)?.near === undefined) expect(malformed).toBe(0);
    });
  });

  describe("a million generated streams", () => {
    const half = 500_000;

    test("built-in profiles", () => {
      const tally = emptyTally();
      for (const [index, name] of inlineProfiles.entries()) {
        const reading = readings[index % readings.length] ?? "helpers";
        compareBuiltIn(name, 1 + index, Math.ceil(half / inlineProfiles.length), [engineOf(reading)], tally);
      }
      expect(tally).toMatchObject({ profiles: inlineProfiles.length, refused: 0 });
      expect(Math.min(tally.open, tally.pass, tally.foreign)).toBeGreaterThan(half / 50);
      expect(tally.malformed).toBeGreaterThan(half / 500);
    }, 60_000);

    test("grown profiles", () => {
      const tally = emptyTally();
      for (let seed = 1; tally.streams < half; seed++)
        compareGrown(seed, streamsOfGrown, [engineOf(readings[seed % readings.length] ?? "helpers")], tally);
      expect(tally.profiles).toBeGreaterThan(1000);
      expect(tally.refused).toBeLessThan(tally.profiles / 5);
      expect(Math.min(tally.open, tally.pass, tally.foreign)).toBeGreaterThan(half / 50);
    }, 60_000);
  });

  describe.each([...readings])("directed, read by %s", (reading) => {
    /** Only the recognisers that are given: nobody else may have a say. */
    function profileOf(...recognisers: readonly (readonly object[])[]): Profile {
      const source = {
        expect: { kind: "length", min: 1 },
        default: "accept",
        recognisers: recognisers.map((rules, index) => ({ name: `own-${index}`, rules })),
      };
      const parsed = parseProfile(source, "test", ciphers);
      if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
      return { ...parsed.profile, known: parsed.profile.known.filter(({ isOwn }) => isOwn) };
    }

    function verdict(profile: Profile, bytes: Uint8Array): string {
      const { disagreement, table } = agreement(profile, reading);
      expect(disagreement(bytes, bytes.length)).toBeUndefined();
      const said = engineOf(reading).verdict(bytes, bytes.length);
      return kindOf(said) === verdictForeign ? (table.protocols[ownerOf(said)] ?? "") : (["open", "pass"][said] ?? "");
    }

    test("of two that took as many bytes the first has the name, and of others the one with fewer", () => {
      const length = (min: number) => [{ kind: "length", min }];
      // Fails with the byte behind the length it tells, and so holds with it.
      const denied = [{ kind: "not", rule: { kind: "number", size: 1, max: 50, length: "equals" } }];
      const stream = bytesOf(undefined, "040000000000");
      expect(verdict(profileOf(length(5), denied), stream)).toBe("own-0");
      expect(verdict(profileOf(denied, length(5)), stream)).toBe("own-0");
      expect(verdict(profileOf(length(6), denied), stream)).toBe("own-1");
      expect(verdict(profileOf(denied, length(4)), stream)).toBe("own-1");
    });

    test("the last of as many parts as a rule may have decides", () => {
      const rules = Array.from({ length: tableLimits.steps }, (_, at) => ({ kind: "bytes", at, hex: "aa" }));
      const stream = new Uint8Array(tableLimits.steps).fill(0xaa);
      const profile = profileOf([{ kind: "all", rules }]);
      expect(verdict(profile, stream)).toBe("own-0");
      expect(verdict(profile, stream.with(stream.length - 1, 0))).toBe("pass");
      expect(verdict(profile, stream.subarray(1))).toBe("open");
    });

    test("the last of as many rules as may begin with one byte is found", () => {
      const text = Array.from({ length: tableLimits.candidates }, (_, index) => `~${String(index).padStart(3, "0")}`);
      const profile = profileOf([{ kind: "text", text }]);
      const last = bytesOf(text.at(-1), undefined);
      expect(verdict(profile, last)).toBe("own-0");
      expect(verdict(profile, last.with(3, 0x7e))).toBe("pass");
    });

    test("the last rule of a table that fills its place is found", () => {
      const text = (index: number) => ({
        kind: "text",
        text: Array.from(
          { length: 255 },
          (_, count) => `${String.fromCharCode(97 + index)}${String(count).padStart(19, "0")}`,
        ),
      });
      const profile = profileOf(...Array.from({ length: 11 }, (_, index) => [text(index)]));
      const { table } = agreement(profile, reading);
      expect(table.bytes.length).toBeGreaterThan(tableLimits.bytes * 0.95);
      const last = bytesOf(text(10).text.at(-1), undefined);
      expect(verdict(profile, last)).toBe("own-10");
      expect(verdict(profile, last.with(19, 0x7e))).toBe("pass");
    });

    test("the last byte that a rule may look at decides, and none behind it", () => {
      const profile = profileOf([{ kind: "bytes", at: tablePrefixBytes - 1, hex: "aa" }]);
      const stream = new Uint8Array(tablePrefixBytes + 100).fill(0xaa);
      expect(verdict(profile, stream)).toBe("own-0");
      expect(verdict(profile, stream.subarray(0, tablePrefixBytes))).toBe("own-0");
      expect(verdict(profile, stream.subarray(0, tablePrefixBytes - 1))).toBe("open");
      expect(verdict(profile, stream.with(tablePrefixBytes - 1, 0))).toBe("pass");
    });
  });
});
