// SPDX-License-Identifier: Apache-2.0
// Whatever a TCP segment may be wrapped in on its way: tags, options, fragments, extension headers; and
// frames that are cut off or lie about themselves. The source is banned throughout.

import { expect, test } from "bun:test";
import type { NativeBuffer } from "../../src/runtime/types.ts";
import { describeWith } from "../harness/needs.ts";
import { type Gate, guardedPort, openGate, otherPort, type Way, ways } from "./gate.ts";
import {
  authentication,
  destinationOptions,
  ethernet,
  etherServiceVlan,
  extension,
  hopByHop,
  type Ipv4Options,
  type Ipv6Options,
  ipv4,
  ipv6,
  ipv6Fragment,
  type Layer,
  packet,
  payload,
  resized,
  routing,
  tcp,
  udp,
  vlan,
} from "./packet.ts";

const source4 = "203.0.113.9";
const source6 = "2001:db8:1:2:3:4:5:6";
const guarded = tcp({ destinationPort: guardedPort });
const other = tcp({ destinationPort: otherPort });

const over4 = (options: Partial<Ipv4Options>, ...inner: readonly Layer[]) =>
  packet(ethernet(), ipv4({ source: source4, ...options }), ...inner);
const over6 = (options: Partial<Ipv6Options>, ...inner: readonly Layer[]) =>
  packet(ethernet(), ipv6({ source: source6, ...options }), ...inner);

async function banned(way: Way): Promise<Gate> {
  const gate = await openGate({ way });
  gate.ban(source4);
  gate.ban("2001:db8:1:2::");
  return gate;
}

/** The kernel's test run wants the Ethernet header, and with tc an IP header that is whole. */
function shortest(way: Way, frame: NativeBuffer): number {
  const etherType = new DataView(frame.buffer).getUint16(12);
  return 14 + (way !== "tc" ? 0 : etherType === 0x0800 ? 20 : etherType === 0x86dd ? 40 : 0);
}

/** Ways to wrap a segment, none of which may make a difference. */
const wrappings: Readonly<Record<string, (inner: Layer) => NativeBuffer>> = {
  "802.1Q": (inner) => packet(ethernet(), vlan(5), ipv4({ source: source4 }), inner),
  "802.1ad alone": (inner) => packet(ethernet(), vlan(5, etherServiceVlan), ipv6({ source: source6 }), inner),
  "802.1ad around 802.1Q": (inner) =>
    packet(ethernet(), vlan(5, etherServiceVlan), vlan(6), ipv4({ source: source4 }), inner),
  "802.1Q around 802.1Q, IPv6": (inner) => packet(ethernet(), vlan(5), vlan(6), ipv6({ source: source6 }), inner),
  "a priority tag": (inner) => packet(ethernet(), vlan(0xe000), ipv4({ source: source4 }), inner),
  "4 bytes of IPv4 options": (inner) => over4({ optionBytes: 4 }, inner),
  "40 bytes of IPv4 options": (inner) => over4({ optionBytes: 40 }, inner),
  "IPv4 options and two tags": (inner) =>
    packet(ethernet(), vlan(1), vlan(2), ipv4({ source: source4, optionBytes: 20 }), inner),
  "first IPv4 fragment": (inner) => over4({ moreFragments: true }, inner),
  "first IPv6 fragment": (inner) => over6({}, ipv6Fragment(0), inner),
  "IPv6 atomic fragment (RFC 6946)": (inner) => over6({}, ipv6Fragment(0, false), inner),
  "hop-by-hop options": (inner) => over6({}, extension(hopByHop), inner),
  "long hop-by-hop options": (inner) => over6({}, extension(hopByHop, 100), inner),
  "a routing header": (inner) => over6({}, extension(routing, 2), inner),
  "destination options": (inner) => over6({}, extension(destinationOptions, 1), inner),
  "an authentication header": (inner) => over6({}, extension(authentication, 4), inner),
  "six extension headers, each once, in the order of RFC 8200": (inner) =>
    over6(
      {},
      extension(hopByHop),
      extension(destinationOptions),
      extension(routing, 2),
      ipv6Fragment(0),
      extension(authentication, 4),
      extension(destinationOptions, 3),
      inner,
    ),
  "six of the longest extension headers": (inner) =>
    over6({}, ...Array.from({ length: 6 }, () => extension(destinationOptions, 70)), inner),
  "extension headers behind two tags": (inner) =>
    packet(
      ethernet(),
      vlan(5, etherServiceVlan),
      vlan(6),
      ipv6({ source: source6 }),
      extension(hopByHop),
      ipv6Fragment(0),
      inner,
    ),
};

for (const way of ways) {
  describeWith("root")(way, () => {
    for (const [name, wrap] of Object.entries(wrappings)) {
      test(`${name}: the banned source is dropped at the guarded port, and there only`, async () => {
        using gate = await banned(way);
        expect(gate.outcome(wrap(guarded))).toBe("drop_ban");
        expect(gate.outcome(wrap(other))).toBe("pass");
        expect(gate.outcome(wrap(udp({ destinationPort: guardedPort })))).toBe("pass");
        gate.configure({ scope: 1 });
        expect(gate.outcome(wrap(other))).toBe("drop_ban");
      });

      test(`${name}: no cut makes a wrong verdict`, async () => {
        using gate = await banned(way);
        const whole = wrap(guarded);
        const enough = whole.length - 20 + 4;
        for (let length = shortest(way, whole); length <= whole.length; length++) {
          const outcome = gate.outcome(resized(whole, length));
          expect([length, outcome]).toEqual([length, length < enough ? "pass_unparsed" : "drop_ban"]);
          expect(gate.drops(resized(wrap(other), length))).toBe(false);
        }
      });
    }

    test("a later fragment has no port: it passes, and with the whole host banned it does not", async () => {
      using gate = await banned(way);
      const later = [
        over4({ fragmentOffset: 1, protocol: 6 }, guarded),
        over4({ fragmentOffset: 185, moreFragments: true, protocol: 6 }, guarded),
        over6({}, ipv6Fragment(1), guarded),
        over6({}, extension(hopByHop), ipv6Fragment(185, false), guarded),
      ];
      for (const frame of later) expect(gate.outcome(frame)).toBe("pass");
      gate.configure({ scope: 1 });
      for (const frame of later) expect(gate.outcome(frame)).toBe("drop_ban");
    });

    test("the don't-fragment and reserved bits are no offset", async () => {
      using gate = await banned(way);
      for (const bits of [0x40, 0x80, 0xc0, 0xe0]) {
        const frame = over4({}, guarded);
        frame[20] = bits;
        expect(gate.outcome(frame)).toBe("drop_ban");
      }
    });

    test("beyond the bounds a frame passes and is counted as such", async () => {
      using gate = await banned(way);
      expect(gate.outcome(packet(ethernet(), vlan(1), vlan(2), vlan(3), ipv4({ source: source4 }), guarded))).toBe(
        "pass_unparsed",
      );
      const seven = Array.from({ length: 7 }, () => extension(destinationOptions));
      expect(gate.outcome(over6({}, ...seven, guarded))).toBe("pass_unparsed");
      // The source can be read all the same.
      gate.configure({ scope: 1 });
      expect(gate.outcome(over6({}, ...seven, guarded))).toBe("drop_ban");
    });

    test("malformed headers pass and are counted as such", async () => {
      using gate = await banned(way);
      for (const scope of [0, 1]) {
        gate.configure({ scope });
        expect(gate.outcome(over4({ version: 6 }, guarded))).toBe("pass_unparsed");
        expect(gate.outcome(over4({ headerWords: 4 }, guarded))).toBe("pass_unparsed");
        expect(gate.outcome(over4({ headerWords: 0 }, guarded))).toBe("pass_unparsed");
        expect(gate.outcome(over6({ version: 4 }, guarded))).toBe("pass_unparsed");
      }
      gate.configure({});
      expect(gate.outcome(over4({ headerWords: 15 }, guarded))).toBe("pass_unparsed");
    });

    test("the reserved byte of a fragment header is no length", async () => {
      using gate = await banned(way);
      const frame = over6({}, ipv6Fragment(0), guarded);
      frame[14 + 40 + 1] = 1;
      expect(gate.outcome(frame)).toBe("drop_ban");
    });

    test("extension headers that IPv6 does not know end the chain", async () => {
      using gate = await banned(way);
      expect(gate.outcome(over6({}, extension(135), guarded))).toBe("pass");
      expect(gate.outcome(over6({ protocol: 59 }, guarded))).toBe("pass");
      expect(gate.outcome(over6({ protocol: 50 }, payload(64, 6)))).toBe("pass");
    });

    test("a segment within another packet is not the source's own", async () => {
      using gate = await banned(way);
      expect(gate.outcome(packet(ethernet(), ipv4({ source: "192.0.2.1" }), ipv4({ source: source4 }), guarded))).toBe(
        "pass",
      );
      expect(
        gate.outcome(packet(ethernet(), ipv6({ source: "2001:db8::1" }), ipv4({ source: source4 }), guarded)),
      ).toBe("pass");
    });

    test("lengths in the headers do not matter to the verdict", async () => {
      using gate = await banned(way);
      for (const length of [0, 1, 20, 39, 41, 1500, 65535]) {
        expect(gate.outcome(over4({ totalBytes: length }, guarded))).toBe("drop_ban");
        expect(gate.outcome(over6({ payloadBytes: length }, guarded))).toBe("drop_ban");
      }
    });
  });
}
