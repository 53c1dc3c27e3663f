// SPDX-License-Identifier: Apache-2.0
// The header of the PROXY protocol: read, written, and cut anywhere.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { concatenated } from "../../../src/core/concatenated.ts";
import { parseProxyHeader, version1Limit, version2Limit } from "../../../src/core/proxy_protocol/header.ts";
import { localHeader, proxyHeader } from "../../../src/core/proxy_protocol/written.ts";

const encoder = new TextEncoder();
const bytesOf = (text: string) => encoder.encode(text);
const hex = (text: string) => Uint8Array.fromHex(text.replaceAll(" ", ""));

const signature = "0d0a0d0a000d0a515549540a";
const source = { address: "192.0.2.1", port: 56324 };
const destination = { address: "198.51.100.2", port: 443 };
const version2Tcp4 = hex(`${signature} 21 11 000c c0000201 c6336402 dc04 01bb`);

/** What every cut of it gets, all of them but the whole. @returns what the whole gets, with bytes behind it too. */
function byEveryCut(header: Uint8Array) {
  for (let length = 0; length < header.length; length++) {
    expect([length, parseProxyHeader(header.subarray(0, length)).kind]).toEqual([length, "more"]);
  }
  const whole = parseProxyHeader(header);
  expect(parseProxyHeader(concatenated(header, bytesOf("GET / HTTP/1.1\r\n\r\n")))).toEqual(whole);
  return whole;
}

describe("a header", () => {
  const good: readonly (readonly [string, Uint8Array, unknown])[] = [
    ["v1 of IPv4", bytesOf("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"), { source, destination }],
    [
      "v1 of IPv6, the longest",
      bytesOf(`PROXY TCP6 ${"ffff:".repeat(7)}ffff ${"ffff:".repeat(7)}ffff 65535 65535\r\n`),
      {
        source: { address: `${"ffff:".repeat(7)}ffff`, port: 65535 },
        destination: { address: `${"ffff:".repeat(7)}ffff`, port: 65535 },
      },
    ],
    ["v1 UNKNOWN", bytesOf("PROXY UNKNOWN\r\n"), undefined],
    [
      "v1 UNKNOWN of 107 bytes",
      bytesOf(`PROXY UNKNOWN ${"ffff:".repeat(7)}ffff ${"ffff:".repeat(7)}ffff 65535 65535\r\n`),
      undefined,
    ],
    ["v2 of IPv4", version2Tcp4, { source, destination }],
    [
      "v2 of IPv6",
      hex(`${signature} 21 21 0024 20010db8${"00".repeat(11)}01 20010db8${"00".repeat(11)}02 0001 0002`),
      { source: { address: "2001:db8::1", port: 1 }, destination: { address: "2001:db8::2", port: 2 } },
    ],
    [
      "v2 of IPv4 with a CRC and a name behind the addresses",
      hex(`${signature} 21 11 0018 c0000201 c6336402 dc04 01bb 030004 01020304 020002 6162`),
      { source, destination },
    ],
    ["v2 LOCAL", hex(`${signature} 20 00 0000`), undefined],
    ["v2 LOCAL with a family that nobody knows", hex(`${signature} 20 ff 0001 00`), undefined],
    ["v2 without a family", hex(`${signature} 21 00 0000`), undefined],
    ["v2 of a unix socket", hex(`${signature} 21 31 00d8 ${"00".repeat(216)}`), undefined],
  ];
  test.each(good)("%s", (_, header, client) => {
    expect(byEveryCut(header)).toEqual({ kind: "header", length: header.length, client } as never);
  });

  test("a mapped IPv4 address is IPv4", () => {
    const mapped = `${"00".repeat(10)}ffff`;
    const header = hex(`${signature} 21 21 0024 ${mapped}c0000201 ${mapped}c6336402 dc04 01bb`);
    expect(parseProxyHeader(header)).toMatchObject({ client: { source, destination } });
  });
});

describe("no header", () => {
  const bad: readonly (readonly [string, Uint8Array])[] = [
    ["another protocol", bytesOf("GET / HTTP/1.1\r\n\r\n")],
    ["one byte of another protocol", Uint8Array.of(22)],
    ["v1 without a space", bytesOf("PROXYTCP4 192.0.2.1 198.51.100.2 1 2\r\n")],
    ["v1 in small letters", bytesOf("proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n")],
    ["v1 of another family", bytesOf("PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n")],
    ["v1 with two spaces", bytesOf("PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n")],
    ["v1 with a field too many", bytesOf("PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n")],
    ["v1 with a field too few", bytesOf("PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n")],
    ["v1 with an octet of three digits and a zero", bytesOf("PROXY TCP4 192.0.2.010 198.51.100.2 1 2\r\n")],
    ["v1 with the other family's address", bytesOf("PROXY TCP4 2001:db8::1 198.51.100.2 1 2\r\n")],
    ["v1 with a zone", bytesOf("PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n")],
    ["v1 with a port too great", bytesOf("PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n")],
    ["v1 with a port that begins with zero", bytesOf("PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n")],
    ["v1 with a sign", bytesOf("PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n")],
    ["v1 that ends with LF alone", bytesOf(`PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n${"x".repeat(80)}`)],
    ["v1 with CR and no LF", bytesOf("PROXY TCP4 192.0.2.1 198.51.100.2 1 2\rx")],
    ["v1 of 108 bytes", bytesOf(`PROXY UNKNOWN ${"x".repeat(92)}\r\n`)],
    ["v2 of version 3", hex(`${signature} 31 11 000c c0000201 c6336402 dc04 01bb`)],
    ["v2 with another command", hex(`${signature} 22 11 000c c0000201 c6336402 dc04 01bb`)],
    ["v2 of UDP", hex(`${signature} 21 12 000c c0000201 c6336402 dc04 01bb`)],
    ["v2 of a family that nobody knows", hex(`${signature} 21 41 000c c0000201 c6336402 dc04 01bb`)],
    ["v2 too short for its addresses", hex(`${signature} 21 11 000b c0000201 c6336402 dc04 01`)],
    ["v2 too long", hex(`${signature} 21 11 ${(version2Limit - 15).toString(16).padStart(4, "0")}`)],
  ];
  test.each(bad)("%s", (_, bytes) => {
    const whole = parseProxyHeader(bytes);
    expect(whole.kind).toBe("invalid");
    // As soon as it is known, and for good.
    const kinds = Array.from({ length: bytes.length }, (_, length) => parseProxyHeader(bytes.subarray(0, length)).kind);
    const first = kinds.indexOf("invalid");
    if (first >= 0) expect(new Set(kinds.slice(first))).toEqual(new Set(["invalid"]));
    expect(kinds).not.toContain("header");
  });

  test("v1 is given up at its limit", () => {
    const endless = bytesOf(`PROXY UNKNOWN ${"x".repeat(200)}`);
    expect(parseProxyHeader(endless.subarray(0, version1Limit - 1)).kind).toBe("more");
    expect(parseProxyHeader(endless.subarray(0, version1Limit)).kind).toBe("invalid");
  });
});

describe("what is written", () => {
  test("is what HAProxy's paper shows", () => {
    expect(new TextDecoder().decode(proxyHeader("v1", source, destination))).toBe(
      "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
    );
    expect(proxyHeader("v2", source, destination)).toEqual(version2Tcp4);
    expect(new TextDecoder().decode(localHeader("v1"))).toBe("PROXY UNKNOWN\r\n");
    expect(localHeader("v2")).toEqual(hex(`${signature} 20 00 0000`));
  });

  test("of two families is IPv6, and a mapped address or a zone is none", () => {
    const ipv6 = { address: "fe80::1%eth0", port: 7 };
    const text = (...ends: Parameters<typeof proxyHeader>) => new TextDecoder().decode(proxyHeader(...ends));
    expect(text("v1", ipv6, destination)).toBe("PROXY TCP6 fe80::1 ::ffff:198.51.100.2 7 443\r\n");
    expect(text("v1", { address: "::ffff:192.0.2.1", port: 1 }, { address: "::ffff:198.51.100.2", port: 2 })).toBe(
      "PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
    );
  });

  const port = fc.nat(65_535);
  const address = fc.oneof(
    fc.ipV4(),
    fc.ipV6().filter((text) => !text.includes("%")),
  );
  test("is read again, whoever talks to whom, by every cut", () => {
    fc.assert(
      fc.property(fc.constantFrom("v1", "v2"), address, port, address, port, (version, from, fromPort, to, toPort) => {
        const header = proxyHeader(version, { address: from, port: fromPort }, { address: to, port: toPort });
        const read = byEveryCut(header);
        if (read.kind !== "header" || read.client === undefined) throw new Error(`Not read: ${read.kind}`);
        expect(proxyHeader(version, read.client.source, read.client.destination)).toEqual(header);
        expect([read.client.source.port, read.client.destination.port]).toEqual([fromPort, toPort]);
      }),
      { numRuns: 200 },
    );
  });
});
