// SPDX-License-Identifier: Apache-2.0
// Which sources an entry stands for: IPv4 and its mapped form, IPv6 cut to the ban prefix, CIDR bans.

import { expect, test } from "bun:test";
import { prefixFromBytes, requirePrefix } from "../../src/core/address.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";
import { describeWith } from "../harness/needs.ts";
import { type Gate, guardedPort, nowNs, openGate, secondNs, ways } from "./gate.ts";
import { ethernet, ipv4, ipv6, packet, tcp } from "./packet.ts";

const guarded = tcp({ destinationPort: guardedPort });
const from4 = (source: string) => packet(ethernet(), ipv4({ source }), guarded);
const from6 = (source: string) => packet(ethernet(), ipv6({ source }), guarded);
const from = (source: string) => (source.includes(":") ? from6(source) : from4(source));

/** The address with one bit turned over. */
function flipped(address: string, bit: number): string {
  const bytes = requirePrefix(address).bytes.slice();
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
  return prefixFromBytes(bytes).text;
}

describeWith("root").each(ways)("%s", (way) => {
  test("IPv4 is kept as v4-mapped IPv6", async () => {
    using gate = await openGate({ way });
    gate.ban("::ffff:203.0.113.9");
    expect(gate.drops(from4("203.0.113.9"))).toBe(true);
    expect(gate.drops(from4("203.0.113.8"))).toBe(false);
  });

  test("a mapped source on the wire is IPv6: it is cut to the ban prefix like any other", async () => {
    using gate = await openGate({ way });
    gate.ban("203.0.113.9");
    expect(gate.drops(from6("::ffff:203.0.113.9"))).toBe(false);
    gate.configure({ ipv6Bits: 128 });
    expect(gate.drops(from6("::ffff:203.0.113.9"))).toBe(true);
    expect(gate.drops(from6("::ffff:203.0.113.8"))).toBe(false);
  });

  test("IPv4 is never cut to the IPv6 prefix", async () => {
    using gate = await openGate({ way });
    gate.ban("::");
    for (const ipv6Bits of [1, 64, 96, 127, 128]) {
      gate.configure({ ipv6Bits });
      expect(gate.drops(from4("203.0.113.9"))).toBe(false);
    }
  });

  for (const ipv6Bits of [1, 8, 47, 48, 56, 63, 64, 65, 96, 127, 128]) {
    test(`IPv6 is cut to /${ipv6Bits}`, async () => {
      using gate = await openGate({ way });
      const source = "2001:db8:aaaa:5555:aaaa:5555:aaaa:5555";
      gate.configure({ ipv6Bits });
      gate.ban(prefixFromBytes(requirePrefix(source).bytes, ipv6Bits).text.replace(/\/.*/, ""));
      expect(gate.drops(from6(source))).toBe(true);
      for (let bit = 0; bit < 128; bit++) {
        expect([bit, gate.drops(from6(flipped(source, bit)))]).toEqual([bit, bit >= ipv6Bits]);
      }
    });
  }

  // NAT64 and Teredo: strangers to one another share a /64. The third of each is just outside.
  for (const [one, other, outside] of [
    ["64:ff9b::c000:201", "64:ff9b::c000:202", "64:ff9a:ffff:ffff::1"],
    ["64:ff9b:1:ffff:1:2:3:4", "64:ff9b:1:ffff:1:2:3:5", "64:ff9b:2::1"],
    ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:0:4136:e378:8000:63bf:3fff:fdd3", "2001:1::1"],
  ] as const) {
    test(`IPv6 is not cut at ${one}`, async () => {
      using gate = await openGate({ way });
      gate.ban(prefixFromBytes(requirePrefix(one).bytes, 64).text.replace(/\/.*/, ""));
      expect(gate.drops(from6(one))).toBe(false);
      gate.ban(one);
      expect([gate.drops(from6(one)), gate.drops(from6(other))]).toEqual([true, false]);
      gate.ban(prefixFromBytes(requirePrefix(outside).bytes, 64).text.replace(/\/.*/, ""));
      expect(gate.drops(from6(outside))).toBe(true);
    });
  }

  test("a prefix length out of range bans no IPv6 source, and IPv4 as ever", async () => {
    using gate = await openGate({ way });
    gate.ban("::");
    gate.ban("2001:db8::");
    gate.ban("2001:db8::1");
    gate.ban("203.0.113.9");
    for (const ipv6Bits of [0, 129, 255, 0xffff_ffff]) {
      gate.configure({ ipv6Bits });
      expect(gate.outcome(from6("2001:db8::1"))).toBe("pass");
      expect(gate.outcome(from4("203.0.113.9"))).toBe("drop_ban");
    }
  });
});

/** Prefixes of every kind of length, each with the address that it is made of. */
const cidrs: readonly (readonly [address: string, bits: readonly number[]])[] = [
  ["203.0.113.9", [0, 1, 7, 8, 9, 15, 16, 22, 24, 25, 31, 32]],
  ["2001:db8:aaaa:5555:aaaa:5555:aaaa:5555", [1, 16, 29, 32, 48, 56, 63, 64, 65, 96, 127, 128]],
];

describeWith("root").each(ways)("CIDR bans, %s", (way) => {
  for (const [address, lengths] of cidrs) {
    for (const length of lengths) {
      test(`${address}/${length} covers what it should and nothing beside`, async () => {
        using gate = await openGate({ way });
        gate.configure({ cidrEntries: 1 });
        gate.banCidr(`${address}/${length}`);
        const first = address.includes(":") ? 0 : 96;
        expect(gate.outcome(from(address))).toBe("drop_cidr");
        for (let bit = first; bit < 128; bit++) {
          const outside = bit < first + length;
          expect([bit, gate.drops(from(flipped(address, bit)))]).toEqual([bit, !outside]);
        }
      });
    }
  }

  test("0.0.0.0/0 is all of IPv4 and nothing else, ::/0 is everything", async () => {
    using gate = await openGate({ way });
    gate.configure({ cidrEntries: 1 });
    gate.banCidr("0.0.0.0/0");
    expect(gate.outcome(from4("192.0.2.1"))).toBe("drop_cidr");
    expect(gate.outcome(from6("2001:db8::1"))).toBe("pass");
    gate.banCidr("::/0");
    expect(gate.outcome(from6("2001:db8::1"))).toBe("drop_cidr");
  });

  test("a single IPv6 address can be banned without its neighbours", async () => {
    using gate = await openGate({ way });
    gate.configure({ cidrEntries: 1 });
    gate.banCidr("2001:db8::7");
    expect(gate.outcome(from6("2001:db8::7"))).toBe("drop_cidr");
    expect(gate.outcome(from6("2001:db8::6"))).toBe("pass");
  });

  test("the trie is not looked at while the settings say that it is empty", async () => {
    using gate = await openGate({ way });
    gate.banCidr("0.0.0.0/0");
    expect(gate.outcome(from4("192.0.2.1"))).toBe("pass");
  });

  test("a prefix that is over does not hide a wider one that runs", async () => {
    using gate = await openGate({ way });
    const past = nowNs - secondNs;
    const future = nowNs + secondNs;
    gate.configure({ cidrEntries: 1 });
    gate.banCidr("203.0.113.0/24", past);
    expect(gate.outcome(from4("203.0.113.9"))).toBe("pass_expired");
    gate.banCidr("203.0.0.0/16", past);
    gate.banCidr("203.0.113.9/32", past);
    expect(gate.outcome(from4("203.0.113.9"))).toBe("pass_expired");
    gate.banCidr("203.0.0.0/12", future);
    expect(gate.outcome(from4("203.0.113.9"))).toBe("drop_cidr");
    expect(gate.cidrCounts("203.0.0.0/12")?.packets).toBe(1n);
    expect(gate.cidrCounts("203.0.113.0/24")?.packets).toBe(0n);
    gate.banCidr("2001:db8::5/128", past);
    gate.banCidr("::/0", future);
    expect(gate.outcome(from6("2001:db8::5"))).toBe("drop_cidr");
  });

  test("of the prefixes that run, the longest counts the drop", async () => {
    using gate = await openGate({ way });
    gate.configure({ cidrEntries: 2 });
    gate.banCidr("203.0.0.0/16");
    gate.banCidr("203.0.113.0/24");
    gate.drops(from4("203.0.113.9"));
    expect([gate.cidrCounts("203.0.113.0/24")?.packets, gate.cidrCounts("203.0.0.0/16")?.packets]).toEqual([1n, 0n]);
  });

  for (const flavour of ["own", "seconds", "nanoseconds"] as const) {
    test(`the ${flavour} map's sources are subject to CIDR bans too`, async () => {
      using gate = await openGate({ way, flavour });
      gate.configure({ cidrEntries: 1 });
      gate.banCidr("203.0.113.0/24", nowNs + secondNs);
      expect(outcomes(gate, from4("203.0.113.9"), from4("203.0.114.9"))).toEqual(["drop_cidr", "pass"]);
    });
  }
});

function outcomes(gate: Gate, ...frames: readonly NativeBuffer[]): string[] {
  return frames.map((frame) => gate.outcome(frame));
}
