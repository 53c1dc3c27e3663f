// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { type Decision, parseDecision } from "../../../src/core/crowdsec/decision.ts";
import { DecisionReader, type StreamItem } from "../../../src/core/crowdsec/decision_reader.ts";

/** As LAPI 1.4.6 wrote it. */
const ban = {
  ...{ duration: "59m59.346158198s", id: 1, origin: "cscli", scenario: "manual 'ban' from 'scout'" },
  ...{ scope: "Ip", type: "ban", value: "203.0.113.7" },
};

function read(changes: Readonly<Record<string, unknown>>) {
  return parseDecision(JSON.stringify({ ...ban, ...changes }), 64);
}

function banOf(changes: Readonly<Record<string, unknown>>): Decision {
  const reading = read(changes);
  if (reading.kind !== "ban") throw new Error(reading.kind);
  return reading.decision;
}

describe("a decision", () => {
  test.each<[Readonly<Record<string, unknown>>, string]>([
    [{}, "203.0.113.7"],
    [{ scope: "Range", value: "198.51.100.0/24" }, "198.51.100.0/24"],
    [{ scope: "range", value: "198.51.100.7/24" }, "198.51.100.0/24"],
    [{ scope: "ip", value: "2001:DB8::7" }, "2001:db8::/64"],
    [{ scope: "Range", value: "2001:db8::7/128" }, "2001:db8::7"],
    [{ value: "::ffff:192.0.2.1" }, "192.0.2.1"],
    [{ tomorrow: "more" }, "203.0.113.7"],
  ])("%j bans %p", (changes, source) => {
    expect(banOf(changes).prefix.text).toBe(source);
  });

  test.each([
    ["crowdsecurity/ssh-bf", "crowdsecurity/ssh-bf"],
    ["manual 'ban' from 'scout'", "decided"],
    ["a/b c", "decided"],
    ["", "decided"],
  ])("scenario %p is called %p", (scenario, reason) => {
    expect(banOf({ scenario }).reason).toBe(reason);
  });

  test.each([
    ["59m59.346158198s", 3_599_346],
    ["-1.2s", -1200],
    ["87600h0m0s", 315_360_000_000],
  ])("%p is left", (duration, leftMs) => {
    expect(banOf({ duration }).leftMs).toBe(leftMs);
  });

  test.each([
    [{ type: "captcha" }, "remedy"],
    [{ scope: "Country", value: "CH" }, "scope"],
    [{ scope: "AS", value: "64496" }, "scope"],
    [{ simulated: true }, "simulation"],
    [{ value: "somewhere" }, "malformed"],
    [{ value: "1.2.3.4; drop" }, "malformed"],
    [{ value: "x".repeat(600) }, "malformed"],
    [{ duration: "soon" }, "malformed"],
    [{ duration: "9999999999999h" }, "malformed"],
    [{ id: "1" }, "malformed"],
    [{ id: -1 }, "malformed"],
    [{ scope: "Range", value: "0.0.0.0/0" }, "wide"],
    [{ scope: "Range", value: "::/0" }, "wide"],
    [{ scope: "Range", value: "10.0.0.0/7" }, "wide"],
    [{ scope: "Range", value: "2000::/3" }, "wide"],
  ] as const)("%p is %p", (changes, kind) => {
    expect(read(changes)).toEqual({ kind });
  });

  test.each(["", "null", "[]", "{", '"ban"', "{}"])("%p is none", (text) => {
    expect(parseDecision(text, 64)).toEqual({ kind: "malformed" });
  });
});

function items(text: string, size = text.length): StreamItem[] {
  const reader = new DecisionReader();
  const found: StreamItem[] = [];
  for (let start = 0; start < text.length; start += size) found.push(...reader.read(text.slice(start, start + size)));
  reader.end();
  return found;
}

describe("an answer of the stream", () => {
  const odd = { ...ban, scenario: 'a "quoted\\" } ] {', more: { deep: [1, { deeper: "]" }] } };
  const text = JSON.stringify({ deleted: [ban], new: [odd, ban] });

  test("is taken apart the same, however it is cut", () => {
    const whole = items(text);
    expect(whole.map(({ list }) => list)).toEqual(["deleted", "new", "new"]);
    expect(whole.map((item) => JSON.parse(item.text))).toEqual([ban, odd, ban]);
    for (let size = 1; size < 90; size++) expect(items(text, size)).toEqual(whole);
  });

  test.each([
    ['{"deleted":null,"new":null}', 0],
    [' { "new" : [ ] , "deleted" : null }\n', 0],
    [`{"new":[${JSON.stringify(ban)}],"deleted":null,"more":[1,"x"]}`, 1],
  ])("%p is one", (answer, count) => {
    expect(items(answer)).toHaveLength(count);
  });

  test("that is cut short is none, wherever", () => {
    for (let length = 0; length < text.length; length++) expect(() => items(text.slice(0, length))).toThrow();
  });

  test.each([
    "<html><body>502 Bad Gateway</body></html>",
    "[]",
    "null",
    '{"message":"access forbidden"}',
    '{"new":null}',
    '{"deleted":null,"new":null}{"deleted":null,"new":null}',
    "",
  ])("%.40p is none", (answer) => {
    expect(() => items(answer)).toThrow("its answer");
  });

  test("with one item that is far too long has the others all the same", () => {
    const long = `{"id":1,"scenario":"${"x".repeat(100_000)}"}`;
    const found = items(`{"deleted":null,"new":[${long},{"id":2},{"scenario":"${"y".repeat(9000)}"}]}`);
    expect(found.map(({ text }) => text.length)).toEqual([0, 8, 9015]);
  });
});
