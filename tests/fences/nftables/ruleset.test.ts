// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { requirePrefix } from "../../../src/core/address.ts";
import {
  elementCommands,
  prefixIn,
  readComment,
  setOf,
  structure,
  tableOf,
} from "../../../src/fences/nftables/ruleset.ts";

const entry = (text: string, expiresMs: number) => ({
  prefix: requirePrefix(text),
  expiresMs,
  reason: "http",
  origin: "sniffer" as const,
});

describe("the table's name", () => {
  test.each([
    ["ttgate_map", "ttgate_ttgate_map"],
    ["id:17", "ttgate_ttgate_map_17"],
    ["/sys/fs/bpf/a", "ttgate_a"],
  ])("of %p is %p", (map, table) => expect(tableOf(map)).toBe(table));

  test("is another one for every map, also where letters have to be left out", () => {
    const names = ["a-b", "a_b", "a+b", "/sys/fs/bpf/x/y", "x_y", "/mnt/a_b", "é", "x".repeat(230)].map(tableOf);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^\w{1,255}$/);
  });
});

describe("sets", () => {
  test.each(["192.0.2.7", "192.0.2.0/24", "0.0.0.0/1", "2001:db8::/64", "2001:db8::1", "::/3", "fd00::/8"])(
    "%p is found again by its set and value",
    (text) => {
      const prefix = requirePrefix(text);
      const [value = ""] = text.split("/");
      expect(prefixIn(setOf(prefix), value)?.text).toBe(text);
    },
  );

  test.each([
    ["other", "192.0.2.7"],
    ["ipv4_24", "192.0.2.0/23"],
    ["ipv4_99", "192.0.2.7"],
    ["ipv4_32", "2001:db8::1"],
    ["ipv4_32", "x"],
  ])("%p with %p is none of ours", (set, value) => expect(prefixIn(set, value)).toBeUndefined());

  test("a rule masks the source by its set's length", () => {
    const shape = { table: "t", places: ["eth0"], ports: [5000, 5001], owner: "gate_1_2" } as const;
    const text = JSON.stringify(structure({ ...shape, sets: ["ipv4_32", "ipv4_12", "ipv6_61"] }));
    expect(text).toContain('"255.240.0.0"');
    expect(text).toContain('"ffff:ffff:ffff:fff8::"');
    expect(text).toContain('{"set":[5000,5001]}');
    expect(JSON.stringify(structure({ ...shape, ports: "all", sets: [] }))).not.toContain("dport");
    // Nothing to guard: nothing is led to the rules that drop.
    for (const idle of [{ places: [] }, { ports: [] }])
      expect(JSON.stringify(structure({ ...shape, ...idle, sets: ["ipv4_32"] }))).not.toContain("jump");
  });
});

describe("elements", () => {
  test("never end before their ban, and have no end where it has none", () => {
    const added = [entry("192.0.2.7", 1001), entry("192.0.2.8", Number.POSITIVE_INFINITY), entry("192.0.2.9", 2)];
    const [command] = elementCommands("t", { added, replaced: [], removed: [] }, 0);
    expect(command).toMatchObject({
      add: {
        element: {
          name: "ipv4_32",
          elem: [
            { elem: { val: "192.0.2.7", timeout: 2, comment: "sniffer http" } },
            { elem: { val: "192.0.2.8", comment: "sniffer http" } },
            { elem: { val: "192.0.2.9", timeout: 1 } },
          ],
        },
      },
    });
    expect(JSON.stringify(command).match(/timeout/g)).toHaveLength(2);
  });

  test("are put in before they are taken out: what is not there any more cannot be deleted", () => {
    const changes = { added: [], replaced: [entry("192.0.2.7", 9000)], removed: [requirePrefix("192.0.2.0/24")] };
    const verbs = elementCommands("t", changes, 0).map((command) => Object.keys(command)[0]);
    expect(verbs).toEqual(["add", "add", "delete", "delete", "add"]);
  });

  test.each([
    ["sniffer http", { origin: "sniffer", reason: "http" }],
    ["list:spam listed", { origin: "list:spam", reason: "listed" }],
    ["by hand", { origin: "map", reason: "unknown" }],
    [undefined, { origin: "map", reason: "unknown" }],
    ["foreign x", { origin: "map", reason: "unknown" }],
  ] as const)("the comment %p is read as it was meant", (comment, expected) => {
    expect(readComment(comment)).toEqual(expected);
  });

  test("a comment has nothing in it that nft would trip over", () => {
    const odd = { ...entry("192.0.2.7", 1), reason: `a"b\\c\n${"x".repeat(300)}` };
    const [{ add }] = elementCommands("t", { added: [odd], replaced: [], removed: [] }, 0) as [
      { add: { element: { elem: [{ elem: { comment: string } }] } } },
    ];
    expect(add.element.elem[0].elem.comment).toMatch(/^sniffer a_b_c_x{100,}$/);
    expect(add.element.elem[0].elem.comment.length).toBeLessThanOrEqual(127);
  });
});
