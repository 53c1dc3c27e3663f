// SPDX-License-Identifier: Apache-2.0
// The profiles of a daemon: what has not changed is not made again, and what changes while it is made is not taken.
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import type { GateOptions } from "../../src/config/options.ts";
import { profileLibrary } from "../../src/core/profile/library.ts";
import { finished } from "../../src/core/work.ts";
import { Profiles } from "../../src/daemon/profiles.ts";
import { configWith } from "../harness/config.ts";
import { TempDir } from "../harness/temp_dir.ts";

function text(description: string): string {
  return JSON.stringify({ ...profileLibrary.get("http"), description });
}

function gateWith(profile: string): GateOptions {
  const [gate] = configWith({ profile, prefilter: true, "block-map": "map" }).gates;
  if (gate === undefined) throw new Error("There is no gate");
  return gate;
}

describe("a profile", () => {
  test("is made again when its file has changed, for both engines", () => {
    using directory = new TempDir();
    const gate = gateWith(directory.write("own.json", text("one")));
    const profiles = new Profiles();
    const first = finished(profiles.make(gate, false));
    expect(first.table?.bytes.length).toBeGreaterThan(0);
    expect(finished(profiles.make(gate, false))).toEqual(first);
    expect(finished(profiles.make(gate, false)).sniffer).toBe(first.sniffer);
    directory.write("own.json", text("two"));
    const second = finished(profiles.make(gate, false));
    expect(second.sniffer).not.toBe(first.sniffer);
    expect(second.table).not.toBe(first.table);
    expect(second.fingerprint).not.toBe(first.fingerprint);
  });

  test.each([1, 100, 5000])("that changes at step %i is not taken, and the next time it is", (steps) => {
    using directory = new TempDir();
    const path = directory.write("own.json", text("one"));
    const profiles = new Profiles();
    const work = profiles.make(gateWith(path), false);
    for (let step = 0; step < steps; step++) expect(work.next().done).toBe(false);
    writeFileSync(path, text("two"));
    expect(() => finished(work)).toThrow(/has changed while it was read: reload again$/);
    expect(finished(profiles.make(gateWith(path), false)).table).toBeDefined();
  });

  test("of no file is told by the names that there are", () => {
    expect(() => finished(new Profiles().make(gateWith("nonsense"), false))).toThrow(
      /no such built-in profile; use one of/,
    );
  });
});
