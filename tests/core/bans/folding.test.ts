// SPDX-License-Identifier: Apache-2.0
import { describe, expect, spyOn, test } from "bun:test";
import { requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import type { Ban } from "../../../src/core/bans/claim.ts";
import type { Fence, FenceEntry } from "../../../src/core/bans/fence.ts";
import { Folding } from "../../../src/core/bans/folding.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { PrefixIndex } from "../../../src/core/bans/table/prefix_index.ts";

/** The map of ranges alone: what Folding writes to. */
function ranges() {
  const entries = new Map<string, number>();
  let full = false;
  const fence = {
    put({ prefix, expiresMs }: FenceEntry) {
      if (full && !entries.has(prefix.text)) return { kind: "full" } as const;
      entries.set(prefix.text, expiresMs);
      return { kind: "enforced" } as const;
    },
    drop: (prefix: FenceEntry["prefix"]) => entries.delete(prefix.text),
  } as Pick<Fence, "put" | "drop"> as Fence;
  return {
    entries,
    fence,
    fill() {
      full = true;
    },
  };
}

function setUp(protectedText?: string) {
  const bans = new Bans(10_000, 64);
  const kernel = ranges();
  const neverBan = new NeverBan(
    protectedText === undefined ? [] : [{ prefix: requirePrefix(protectedText), why: "--allow" }],
  );
  const folding = new Folding(bans, neverBan, kernel.fence);
  const ban = (text: string, untilMs: number): Ban => {
    const made: Ban = {
      prefix: requirePrefix(text),
      ...{ reason: "http", origin: "sniffer", sinceMs: 0, untilMs },
      ...{ evidence: undefined, others: [], standsIn: undefined },
    };
    bans.add(made);
    return made;
  };
  /** Bans one neighbour after the other in a full map, as far as the first fold. */
  const banUntilFolded = (count: number, address: (index: number) => string, expiresMs = (index: number) => index) => {
    for (let index = 0; index < count; index++) {
      const members = folding.fold(ban(address(index), 1000 + expiresMs(index)), 0);
      if (members !== undefined) return { at: index + 1, members };
    }
    return undefined;
  };
  return { bans, kernel, folding, ban, banUntilFolded };
}

const ipv4 = (index: number) => `192.0.2.${index}`;
const ipv6 = (index: number) => `2001:db8:0:${(0x4200 + index).toString(16)}::/64`;

describe("a full map", () => {
  test.each([
    [ipv4, "192.0.2.0/24"],
    [ipv6, "2001:db8:0:4200::/56"],
  ])("has one entry for 256 neighbours when half of them are banned", (address, prefix) => {
    const { banUntilFolded, kernel, folding } = setUp();
    const folded = banUntilFolded(256, address);
    expect(folded?.at).toBe(128);
    expect(folded?.members.length).toBe(128);
    expect([...kernel.entries.keys()]).toEqual([prefix]);
    expect(folding.covering(requirePrefix(address(200)))?.text).toBe(prefix);
  });

  test("looks for few neighbours of each stranger where they come from everywhere", () => {
    const { folding, ban } = setUp();
    const strangers = Array.from({ length: 1000 }, (_, index) => ban(`198.${index >> 8}.${index & 255}.7`, 1000));
    using looks = spyOn(PrefixIndex.prototype, "find");
    for (const stranger of strangers) expect(folding.fold(stranger, 0)).toBeUndefined();
    expect(looks.mock.calls.length / strangers.length).toBeLessThan(16);
  });

  test("is folded also where its neighbours were banned before it was full, and come in any order", () => {
    const { ban, folding } = setUp();
    for (let index = 0; index < 180; index++) ban(ipv4((index * 77) % 256), 1000);
    const late = Array.from({ length: 20 }, (_, index) => ban(ipv4(((180 + index) * 77) % 256), 1000));
    const folded = late.findIndex((one, nowMs) => folding.fold(one, nowMs) !== undefined);
    expect(folded).toBeGreaterThanOrEqual(0);
  });

  test("is not folded where fewer are banned", () => {
    const { banUntilFolded, kernel } = setUp();
    expect(banUntilFolded(127, ipv4)).toBeUndefined();
    expect(kernel.entries.size).toBe(0);
  });

  test.each(["192.0.2.250", "192.0.0.0/16"])("is not folded over what is never banned: %s", (protectedText) => {
    const { banUntilFolded, kernel } = setUp(protectedText);
    expect(banUntilFolded(240, ipv4)).toBeUndefined();
    expect(kernel.entries.size).toBe(0);
  });

  test("is not folded where an operator's ban of the same range stands", () => {
    const { ban, banUntilFolded } = setUp();
    ban("192.0.2.0/24", 10_000);
    expect(banUntilFolded(256, ipv4)).toBeUndefined();
  });

  test("is not folded when the map of ranges is full too", () => {
    const { banUntilFolded, kernel, folding } = setUp();
    kernel.fill();
    expect(banUntilFolded(256, ipv4)).toBeUndefined();
    expect(folding.size).toBe(0);
  });
});

describe("a fold", () => {
  test("ends when so many members have ended that the others are not dense", () => {
    const { bans, ban, folding, kernel } = setUp();
    for (let index = 0; index < 199; index++) ban(ipv4(index), 10_000 + index * 100);
    folding.fold(ban(ipv4(199), 10_000 + 199 * 100), 0);
    // 200 members: with the end of number 72 (from 0) fewer than 128 are left.
    expect(kernel.entries.get("192.0.2.0/24")).toBe(10_000 + 72 * 100);
    for (const ended of bans.due(18_000)) bans.remove(ended.prefix);
    const released = folding.tick(17_000);
    expect(folding.size).toBe(0);
    expect(kernel.entries.size).toBe(0);
    expect(released.every(({ untilMs }) => untilMs > 17_000)).toBeTrue();
    expect(released.length).toBe([...bans.all()].length);
  });

  test("is renewed while new members keep it dense", () => {
    const { banUntilFolded, ban, folding, kernel } = setUp();
    banUntilFolded(128, ipv4, () => 0);
    for (let index = 128; index < 256; index++) ban(ipv4(index), 60_000);
    expect(folding.tick(500)).toEqual([]);
    expect(kernel.entries.get("192.0.2.0/24")).toBe(60_000);
  });

  test("ends with a lift of anybody in it, and for good", () => {
    const { bans, banUntilFolded, ban, folding, kernel } = setUp();
    banUntilFolded(256, ipv4);
    bans.remove(requirePrefix("192.0.2.5"));
    const released = folding.unfold(requirePrefix("192.0.2.5"), 0);
    expect(released.length).toBe(127);
    expect(kernel.entries.size).toBe(0);
    for (let index = 128; index < 256; index++) expect(folding.fold(ban(ipv4(index), 2000), 0)).toBeUndefined();
  });
});
