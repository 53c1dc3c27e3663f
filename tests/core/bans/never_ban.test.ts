// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { contains, requirePrefix } from "../../../src/core/address.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { Client } from "../../../src/core/client.ts";

function protecting(...texts: readonly string[]): NeverBan {
  return new NeverBan(texts.map((text) => ({ prefix: requirePrefix(text), why: `test ${text}` })));
}

describe("a conflict", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "192.0.2.2", false],
    ["192.0.2.0/24", "192.0.2.7", true],
    ["192.0.2.7", "192.0.2.0/24", true],
    ["192.0.2.7", "0.0.0.0/0", true],
    ["192.0.2.0/25", "192.0.2.128/25", false],
    ["2001:db8::1", "2001:db8::/64", true],
    ["2001:db8::/32", "2001:db8:1:2::/64", true],
    ["2001:db8::1", "2001:db8:0:1::/64", false],
    ["192.0.2.1", "::/0", false],
    ["192.0.2.1", "::/64", false],
    ["::1", "192.0.2.1", false],
    ["::/0", "192.0.2.1", false],
  ])("%s is protected, a ban of %s: %p", (entry, ban, conflict) => {
    const found = protecting(entry).conflict(requirePrefix(ban));
    expect(found?.prefix.text).toBe(conflict ? entry : undefined);
  });

  test("stands for any two prefixes of which one holds the other", () => {
    const prefix = fc
      .tuple(fc.constantFrom("192.0.2.1", "192.0.2.200", "::1", "2001:db8::1", "2001:db8::2"), fc.nat(128))
      .map(([text, bits]) => requirePrefix(`${text}/${text.includes(":") ? bits : bits % 33}`));
    fc.assert(
      fc.property(fc.array(prefix, { maxLength: 4 }), prefix, (entries, ban) => {
        const neverBan = new NeverBan(entries.map((entry) => ({ prefix: entry, why: "test" })));
        const standing = entries.some((entry) => contains(entry, ban) || contains(ban, entry));
        expect(neverBan.conflict(ban) !== undefined).toBe(standing);
      }),
    );
  });
});

describe("what of a client may be banned", () => {
  function bannable(neverBan: NeverBan, address: string, ipv6Bits = 64) {
    const target = neverBan.bannable(new Client(address, 1, ipv6Bits));
    return "conflict" in target ? { spared: target.conflict.why } : target.prefix.text;
  }

  test("its source, where nobody in it is protected", () => {
    const neverBan = protecting("192.0.2.1", "2001:db8::1");
    expect(bannable(neverBan, "192.0.2.2")).toBe("192.0.2.2");
    expect(bannable(neverBan, "2001:db8:0:1::9")).toBe("2001:db8:0:1::/64");
  });

  test("its own address alone, where a neighbour in its IPv6 network is protected", () => {
    const neverBan = protecting("2001:db8::1");
    expect(bannable(neverBan, "2001:db8::2")).toBe("2001:db8::2");
    expect(bannable(protecting("2001:db8::/96"), "2001:db8::1:0:0:1")).toBe("2001:db8::1:0:0:1");
  });

  test("nothing, where it is protected itself", () => {
    expect(bannable(protecting("2001:db8::1"), "2001:db8::1")).toEqual({ spared: "test 2001:db8::1" });
    expect(bannable(protecting("2001:db8::/48"), "2001:db8::1")).toEqual({ spared: "test 2001:db8::/48" });
    expect(bannable(protecting("192.0.2.0/24"), "::ffff:192.0.2.9")).toEqual({ spared: "test 192.0.2.0/24" });
    expect(bannable(protecting("192.0.2.1"), "192.0.2.1")).toEqual({ spared: "test 192.0.2.1" });
  });
});

test("the first reason given for a prefix stays, and all are told", () => {
  const neverBan = new NeverBan([{ prefix: requirePrefix("192.0.2.1"), why: "--allow" }]);
  neverBan.add({ prefix: requirePrefix("::ffff:192.0.2.1"), why: "upstream" });
  neverBan.add({ prefix: requirePrefix("2001:db8::/32"), why: "gateway of eth0" });
  expect(neverBan.entries().map(({ prefix, why }) => [prefix.text, why])).toEqual([
    ["192.0.2.1", "--allow"],
    ["2001:db8::/32", "gateway of eth0"],
  ]);
  expect(neverBan.conflict(requirePrefix("192.0.2.1"))?.why).toBe("--allow");
});
