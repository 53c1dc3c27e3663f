// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import {
  addressHead,
  contains,
  coversBoth,
  formatEndpoint,
  isIpv4,
  overlap,
  parsePrefix,
  prefixFromBytes,
  sameHead,
} from "../../src/core/address.ts";

const bytes16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
const octets = fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.nat(255));

function required(text: string) {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new Error(`Not parsed: "${text}"`);
  return prefix;
}

/** The bits of an address, each a digit: slow and plain, to hold the fast code against. */
function bitsOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
}

function mapped(address: readonly number[]): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...address);
}

/** Groups in full, as nobody writes them but everybody may. */
function longForm(bytes: Uint8Array): string {
  return Array.from({ length: 8 }, (_, at) =>
    (((bytes[at * 2] ?? 0) << 8) | (bytes[at * 2 + 1] ?? 0)).toString(16).padStart(4, "0"),
  ).join(":");
}

describe("text and bytes", () => {
  test("any 16 bytes come back from their text", () => {
    fc.assert(
      fc.property(bytes16, (bytes) => {
        const { text } = prefixFromBytes(bytes);
        expect(isIPv4(text) || isIPv6(text)).toBe(true);
        expect(required(text).bytes).toEqual(Uint8Array.from(bytes));
        expect(required(text).text).toBe(text);
      }),
    );
  });

  test("sparse addresses too, where groups of zeros are folded", () => {
    const sparse = fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(sparse, (list) => {
        const bytes = Uint8Array.from(list);
        const { text } = prefixFromBytes(bytes);
        expect(required(text).bytes).toEqual(bytes);
        expect(required(longForm(bytes)).text).toBe(text);
        expect(required(longForm(bytes).toUpperCase()).text).toBe(text);
        // The canonical host of a URL is RFC 5952 in hex: another program's word for the same bytes.
        if (text.includes(":")) expect(new URL(`http://[${text}]/`).hostname).toBe(`[${text}]`);
      }),
      { numRuns: 500 },
    );
  });

  test("every spelling of an IPv4-mapped address is the IPv4 address", () => {
    fc.assert(
      fc.property(octets, (address) => {
        const dotted = address.join(".");
        const hex = longForm(mapped(address)).split(":").slice(6).join(":");
        for (const spelling of [
          dotted,
          `::ffff:${dotted}`,
          `::FFFF:${dotted}`,
          `0:0:0:0:0:ffff:${dotted}`,
          `0000:0000:0000:0000:0000:ffff:${dotted}`,
          `::ffff:${hex}`,
          `0::ffff:${hex}`,
          longForm(mapped(address)),
        ]) {
          const prefix = required(spelling);
          expect([spelling, prefix.text, prefix.bits]).toEqual([spelling, dotted, 128]);
          expect(prefix.bytes).toEqual(Uint8Array.from(mapped(address)));
          expect(isIpv4(prefix)).toBe(true);
        }
      }),
    );
  });

  test.each([
    // RFC 5952 section 4 and 5.
    ["2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:DB8::AAAA:BBBB", "2001:db8::aaaa:bbbb"],
    ["2001:0db8:aaaa:bbbb:cccc:dddd:eeee:0001", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["1:0:0:0:0:0:0:0", "1::"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
    // IPv4-compatible (RFC 4291 2.5.5.1) and IPv4-translated (RFC 2765) are not IPv4-mapped.
    ["::192.0.2.1", "::c000:201"],
    ["::ffff:0:192.0.2.1", "::ffff:0:c000:201"],
    ["::fffe:192.0.2.1", "::fffe:c000:201"],
    // RFC 4007 11: the zone is the interface, which a ban does not ask for.
    ["fe80::1%eth0", "fe80::1"],
    ["febf::1%3", "febf::1"],
    ["fe80::1%eth0.100/64", "fe80::/64"],
  ])("%s is %s", (given, canonical) => {
    expect(required(given).text).toBe(canonical);
    expect(required(canonical).bytes).toEqual(required(given).bytes);
  });

  test.each([
    "",
    " ",
    "192.0.2",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.",
    ".1.2.3",
    "1..2.3",
    "01.2.3.4",
    "1.2.3.04",
    "1.2.3.00",
    "0x7f.0.0.1",
    "1.2.3.256",
    "1.2.3.4 ",
    " 1.2.3.4",
    "1.2.3.4\n",
    "+1.2.3.4",
    "1.2.3.-4",
    "１.2.3.4",
    "2130706433",
    "localhost",
    "1.2.3.4/",
    "/24",
    "1.2.3.4/33",
    "1.2.3.4/-1",
    "1.2.3.4/024",
    "1.2.3.4/1e1",
    "1.2.3.4/ 8",
    "1.2.3.4/8/8",
    "1.2.3.4/255.255.255.0",
    "::/129",
    "::/",
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "::12345",
    "::g",
    "::ffff:1.2.3",
    "::ffff:1.2.3.400",
    "::ffff:01.2.3.4",
    "[::1]",
    "::1 ",
    "2001:db8::1%eth0",
    "::1%lo",
    "fe80::1%",
    "fe80::1%a-name-of-sixteen",
    "fe80::1%et h0",
    "fe80::1%\u001b[2J",
  ])("%j is neither an address nor a prefix", (text) => {
    expect(parsePrefix(text)).toBeUndefined();
  });

  test("it takes what node:net takes, and nothing else", () => {
    const dice = fc.string({ unit: fc.constantFrom(..."0123456789afF.:"), maxLength: 24 });
    fc.assert(
      fc.property(fc.oneof(dice, fc.ipV4(), fc.ipV6()), (text) => {
        expect(parsePrefix(text) !== undefined).toBe(isIPv4(text) || isIPv6(text));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("prefixes", () => {
  test("bits beyond the prefix are cleared, those before it kept", () => {
    fc.assert(
      fc.property(bytes16, fc.nat(128), (bytes, bits) => {
        const prefix = prefixFromBytes(bytes, bits);
        expect(bitsOf(prefix.bytes)).toBe(bitsOf(bytes).slice(0, bits).padEnd(128, "0"));
        expect(prefix.bits).toBe(bits);
        const again = required(prefix.text);
        expect([again.text, again.bits, bitsOf(again.bytes)]).toEqual([prefix.text, bits, bitsOf(prefix.bytes)]);
      }),
    );
  });

  test("an IPv4 prefix is 96 bits longer in its IPv4-mapped form", () => {
    fc.assert(
      fc.property(octets, fc.nat(32), (address, length) => {
        const prefix = required(`${address.join(".")}/${length}`);
        expect(prefix.bits).toBe(96 + length);
        expect(bitsOf(prefix.bytes)).toBe(
          bitsOf(mapped(address))
            .slice(0, 96 + length)
            .padEnd(128, "0"),
        );
        expect(required(`::ffff:${address.join(".")}/${96 + length}`).text).toBe(prefix.text);
        expect(isIpv4(prefix)).toBe(true);
      }),
    );
  });

  test.each([
    ["192.0.2.77/24", "192.0.2.0/24"],
    ["192.0.2.1/32", "192.0.2.1"],
    ["255.255.255.255/0", "0.0.0.0/0"],
    ["10.255.255.255/9", "10.128.0.0/9"],
    ["2001:db8:1:2:3:4:5:6/64", "2001:db8:1:2::/64"],
    ["2001:db8::1/128", "2001:db8::1"],
    ["2001:db8:ffff::/33", "2001:db8:8000::/33"],
    ["ffff::/1", "8000::/1"],
    ["2001:db8::1/0", "::/0"],
    ["::ffff:0:0/96", "0.0.0.0/0"],
  ])("%s is %s", (given, canonical) => {
    expect(required(given).text).toBe(canonical);
  });

  test("one contains another when the bits before its end agree", () => {
    const wild = fc.record({ bytes: bytes16, bits: fc.nat(128) });
    const near = fc
      .record({ bytes: bytes16, bits: fc.nat(128), more: fc.nat(128), flip: fc.nat(127) })
      .map(({ bytes, bits, more, flip }) => {
        const other = Uint8Array.from(bytes);
        other[flip >> 3] = (other[flip >> 3] ?? 0) ^ (0x80 >> (flip & 7));
        return [
          { bytes, bits },
          { bytes: other, bits: Math.min(128, bits + more) },
        ] as const;
      });
    fc.assert(
      fc.property(fc.oneof(fc.tuple(wild, wild), near), ([a, b]) => {
        const [outer, inner] = [prefixFromBytes(a.bytes, a.bits), prefixFromBytes(b.bytes, b.bits)];
        const heads = bitsOf(outer.bytes).slice(0, a.bits) === bitsOf(inner.bytes).slice(0, a.bits);
        expect(contains(outer, inner)).toBe(b.bits >= a.bits && heads);
        expect(sameHead(outer.words, inner.words, a.bits)).toBe(heads);
        expect(overlap(outer, inner)).toBe(contains(outer, inner) || contains(inner, outer));
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ["0.0.0.0/0", "203.0.113.9", true],
    ["192.0.2.0/24", "192.0.2.255", true],
    ["192.0.2.0/24", "192.0.3.0", false],
    ["192.0.2.0/24", "192.0.2.0/24", true],
    ["192.0.2.0/25", "192.0.2.0/24", false],
    ["2001:db8::/64", "2001:db8::ffff", true],
    ["2001:db8::/64", "2001:db8:0:1::1", false],
    ["0.0.0.0/0", "::1", false],
  ])("%s contains %s: %p", (outer, inner, answer) => {
    expect(contains(required(outer), required(inner))).toBe(answer);
  });

  // An IPv4 address lies at ::ffff:0:0/96 for storage only: nobody who writes ::/64 means all of IPv4.
  test.each(["::/0", "::/64", "::/80"])("the IPv6 prefix %s contains no IPv4 address", (outer) => {
    expect(contains(required(outer), required("::1"))).toBe(true);
    expect(contains(required(outer), required("192.0.2.1"))).toBe(false);
    expect(contains(required(outer), required("0.0.0.0/0"))).toBe(false);
  });
});

test.each([
  ["::/0", true],
  ["::/64", true],
  ["::/80", true],
  ["::ffff:0:0/95", true],
  ["::fffe:0:0/96", false],
  ["0.0.0.0/0", false],
  ["192.0.2.0/24", false],
  ["2000::/3", false],
  ["::1", false],
])("%s covers both families: %p", (text, answer) => {
  expect(coversBoth(required(text))).toBe(answer);
});

test.each([
  ["192.0.2.1", 5000, "192.0.2.1:5000"],
  ["::", 5000, "[::]:5000"],
  ["server.example", 1, "server.example:1"],
])("the endpoint of %s and %d is %s", (address, port, text) => {
  expect(formatEndpoint({ address, port })).toBe(text);
});

describe("the head of an address", () => {
  const prefixes = fc
    .tuple(fc.oneof(bytes16, octets.map(mapped)), fc.oneof(fc.nat(128), fc.constantFrom(8, 104, 128)))
    .map(([bytes, bits]) => prefixFromBytes(bytes, bits));
  /** IPv4 before IPv6, then the bytes. */
  const place = (prefix: ReturnType<typeof required>) => `${isIpv4(prefix) ? 0 : 1}${bitsOf(prefix.bytes)}`;

  test("orders like the bytes that it is made of", () => {
    fc.assert(
      fc.property(prefixes, prefixes, (a, b) => {
        const [left, right] = [addressHead(a), addressHead(b)];
        if (left !== right) expect(left < right).toBe(place(a) < place(b));
        else expect(place(a).slice(0, 54)).toBe(place(b).slice(0, 54));
      }),
      { numRuns: 2000 },
    );
  });
});
