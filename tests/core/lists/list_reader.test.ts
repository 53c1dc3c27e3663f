// SPDX-License-Identifier: Apache-2.0
// Every form of list that ttgate reads, and that no line of one is lost: it is read, refused with a reason, or a
// comment.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ListReader } from "../../../src/core/lists/list_reader.ts";
import { prefixesOfRange } from "../../../src/core/lists/range.ts";

/** `ADDR`, `ADDR 1000` (milliseconds), or `! MESSAGE`. */
function read(text: string): string[] {
  const reader = new ListReader();
  return text.split("\n").flatMap((line) =>
    reader.read(line).flatMap((reading) => {
      if (reading.kind === "mistake") return [`! ${reading.message}`];
      return reading.entries.map(({ source, forMs }) => (forMs === undefined ? source : `${source} ${forMs}`));
    }),
  );
}

const hour = 3_600_000;

const endless = "9".repeat(1_000_000);

test.each([
  `192.0.2.1 ${endless}`,
  `192.0.2.1-${endless}`,
  `add x 192.0.2.1 timeout ${endless}x`,
  `add x ${endless} nomatch`,
])("a mistake of any length is told in a line that can be read: %#", (line) => {
  const [mistake = ""] = read(line);
  expect(mistake).toStartWith("! ");
  expect(mistake).toContain('…"');
  expect(mistake.length).toBeLessThan(300);
});

describe("a list", () => {
  test.each<[form: string, text: string, wanted: readonly string[]]>([
    [
      "own",
      "\ufeff198.51.100.2 1h # x\r\n\r\n# c\n2001:db8::/32 ever\r",
      ["198.51.100.2 3600000", "2001:db8::/32 Infinity"],
    ],
    ["AbuseIPDB, CrowdSec raw IP list", "45.9.20.5\n198.51.100.0/24", ["45.9.20.5", "198.51.100.0/24"]],
    ["FireHOL netset", "#\n# firehol_level1\n0.0.0.0/8\n45.9.20.5", ["0.0.0.0/8", "45.9.20.5"]],
    [
      "Spamhaus DROP text",
      "; Spamhaus DROP List 2026/11/28\n1.10.16.0/20 ; SBL256894\n1.19.0.0/16;SBL434604",
      ["1.10.16.0/20", "1.19.0.0/16"],
    ],
    [
      "Spamhaus DROP JSON lines",
      '{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}\n{"type":"metadata","records":1}',
      ["1.10.16.0/20"],
    ],
    [
      "cscli decisions list -o raw",
      [
        "id,source,ip,reason,action,country,as,events_count,expiration,simulated,alert_id",
        "11,cscli,Ip:203.0.113.50,manual 'ban' from 'scout',ban,,,1,53m47.5s,false,11",
        '12,cscli,Range:198.51.100.0/24,"a, ""b""",ban,,,1,1h0m0.25s,false,12',
      ].join("\n"),
      ["203.0.113.50 3227500", "198.51.100.0/24 3600250"],
    ],
    [
      "ipset save",
      [
        "create bl hash:net family inet hashsize 1024 maxelem 65536 timeout 3600",
        "add bl 45.9.20.5 timeout 3599",
        "add bl 45.9.21.0/24 timeout 0",
        'add bl 45.9.22.1 packets 1 bytes 2 comment "timeout"',
      ].join("\n"),
      ["45.9.20.5 3599000", "45.9.21.0/24 Infinity", "45.9.22.1"],
    ],
    [
      "nft list set",
      [
        "table inet filter {",
        "\tset bl {",
        "\t\ttype ipv4_addr",
        "\t\tflags interval,timeout",
        "\t\telements = { 45.9.22.5 timeout 1h expires 59m59s,",
        '\t\t\t     45.9.23.0/24 comment "a, } b", 45.9.24.1-45.9.24.2 timeout 2h counter packets 0 bytes 0 }',
        "\t}",
        "}",
      ].join("\n"),
      ["45.9.22.5 3599000", "45.9.23.0/24", `45.9.24.1 ${2 * hour}`, `45.9.24.2 ${2 * hour}`],
    ],
    ["an nft set without elements", "table ip t {\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}", []],
    [
      "nft -j list set",
      JSON.stringify({
        nftables: [
          { metainfo: { version: "1.0.6" } },
          {
            set: {
              elem: [
                { elem: { val: "45.9.22.5", timeout: 3600, expires: 3599 } },
                { prefix: { addr: "45.9.23.0", len: 24 } },
                { range: ["45.9.24.0", "45.9.24.255"] },
                { elem: { val: { prefix: { addr: "2001:db8::", len: 32 } }, timeout: 60 } },
                "45.9.25.1",
              ],
            },
          },
        ],
      }),
      ["45.9.22.5 3599000", "45.9.23.0/24", "45.9.24.0/24", "2001:db8::/32 60000", "45.9.25.1"],
    ],
    [
      "ranges",
      "10.0.0.0-10.0.0.255 1h\n2001:db8::1 - 2001:db8::2",
      [`10.0.0.0/24 ${hour}`, "2001:db8::1", "2001:db8::2"],
    ],
    ["what is no address is left to who knows", "nobody\nexample.org 1h", ["nobody", `example.org ${hour}`]],
  ])("of %s", (_form, text, wanted) => {
    expect(read(text)).toEqual([...wanted]);
  });

  test.each<[line: string, words: string]>([
    ["192.0.2.1 soon", 'Invalid duration "soon"'],
    ["192.0.2.1 1h more", 'Invalid duration "1h more"'],
    ["10.0.0.9-10.0.0.1", 'Invalid range "10.0.0.9-10.0.0.1"'],
    ["10.0.0.1-2001:db8::1", "Invalid range"],
    ["10.0.0.0/24-10.0.1.0/24", "Invalid range"],
    ["add bl", 'Invalid address ""'],
    ["add bl 45.9.20.5 timeout x", 'Invalid timeout "x"'],
    ["add bl 45.9.20.0/24 nomatch", "nomatch"],
    ["add bl 45.9.20.5 timeout 99999999999", "at most 3650d"],
    ["7,cscli,Country:DE,r,ban,,,1,1h,false,7", "about a Country"],
    ["7,cscli,Ip:192.0.2.1,r,captcha,,,1,1h,false,7", "is a captcha"],
    ["7,cscli,Ip:192.0.2.1,r,ban,,,1,1h,true,7", "simulated"],
    ["7,cscli,Ip:192.0.2.1,r,ban,,,1,-1.2s,false,7", "ended 1.2s ago"],
    ["7,cscli,Ip:192.0.2.1,r,ban,,,1,soon,false,7", 'Invalid expiration "soon"'],
    ['{"cidr":"1.10.16.0/20"', "Not JSON"],
    ['{"cidr":7}', "Unknown JSON"],
    ['{"cidr":"192.0.2.1\\n192.0.2.2"}', "Invalid address"],
    ['{"nftables":[{"set":{"elem":[{"map":1}]}}]}', "Invalid element"],
    ["elements = { 45.9.22.5 expires soon }", 'Invalid time "soon"'],
    ["elements = { 45.9.22.9-45.9.22.1 }", "Invalid range"],
  ])("%j is refused with the reason", (line, words) => {
    expect(read(line)).toEqual([expect.stringContaining(words)]);
    expect(read(line)[0]).toStartWith("! ");
  });

  test("may have another form after each line", () => {
    const text =
      "table ip t {\n\tset s {\n\t\telements = { 192.0.2.1,\n\t\t\t192.0.2.2 }\n\t}\n}\n192.0.2.3\nadd x 192.0.2.4";
    expect(read(text)).toEqual(["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]);
  });

  test("loses no line, whatever stands in it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (line) => {
        const isComment = /^\ufeff?\s*([#;]|$)/.test(line);
        const frames = /^\s*(create|flush|COMMIT|(table|set|map)\s.*\{$|elements)/.test(line.trim());
        const found = new ListReader()
          .read(line)
          .flatMap((reading) =>
            reading.kind === "mistake" ? [reading.message] : reading.entries.map(({ source }) => source),
          );
        if (!isComment && !frames && !line.includes("\n")) expect(found.length).toBeGreaterThan(0);
      }),
    );
  });
});

test("a range is held by its prefixes exactly", () => {
  const address = fc.nat({ max: 2 ** 16 - 1 });
  fc.assert(
    fc.property(address, address, (a, b) => {
      const [first, last] = [Math.min(a, b), Math.max(a, b)];
      const text = (number: number) => `10.0.${number >> 8}.${number & 255}`;
      let next = first;
      for (const prefix of prefixesOfRange(`${text(first)}-${text(last)}`) ?? []) {
        const [start = "", bits = "32"] = prefix.split("/");
        expect(start).toBe(text(next));
        next += 2 ** (32 - Number(bits));
      }
      expect(next).toBe(last + 1);
    }),
  );
  expect(prefixesOfRange("0.0.0.0-255.255.255.255")).toEqual(["0.0.0.0/0"]);
  expect(prefixesOfRange("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")).toEqual(["::/0"]);
});
