// SPDX-License-Identifier: Apache-2.0
// A ban of the whole host: all that a source sends, but for what a link needs to live.

import { expect, test } from "bun:test";
import { describeWith } from "../harness/needs.ts";
import { type Gate, guardedPort, openGate, otherPort, type Way, ways } from "./gate.ts";
import {
  ethernet,
  extension,
  hopByHop,
  icmpv6,
  ipv4,
  ipv6,
  packet,
  payload,
  resized,
  tcp,
  udp,
  vlan,
} from "./packet.ts";

const source4 = "203.0.113.9";
const source6 = "2001:db8:1:2::7";

async function hostBanned(way: Way): Promise<Gate> {
  const gate = await openGate({ way });
  gate.configure({ scope: 1, ports: [] });
  gate.ban(source4);
  gate.ban("2001:db8:1:2::");
  gate.ban("fe80::");
  return gate;
}

describeWith("root").each(ways)("%s", (way) => {
  test("every packet of the source is dropped, of others none", async () => {
    using gate = await hostBanned(way);
    const contents = [
      [tcp({ destinationPort: guardedPort })],
      [tcp({ destinationPort: otherPort })],
      [udp({ destinationPort: 53 })],
      [icmpv6(128)],
      [payload(0)],
      [payload(1)],
    ];
    for (const inner of contents) {
      expect(gate.outcome(packet(ethernet(), ipv4({ source: source4 }), ...inner))).toBe("drop_ban");
      expect(gate.outcome(packet(ethernet(), vlan(5), ipv6({ source: source6 }), ...inner))).toBe("drop_ban");
      expect(gate.outcome(packet(ethernet(), ipv4({ source: "203.0.113.10" }), ...inner))).toBe("pass");
      expect(gate.outcome(packet(ethernet(), ipv6({ source: "2001:db8:1:3::7" }), ...inner))).toBe("pass");
    }
  });

  test("no cut behind the address lets it through", async () => {
    using gate = await hostBanned(way);
    const whole4 = packet(ethernet(), ipv4({ source: source4, optionBytes: 40 }), tcp({ destinationPort: 1 }));
    for (let length = 14 + 20; length < whole4.length; length++) {
      expect(gate.outcome(resized(whole4, length))).toBe("drop_ban");
    }
    const whole6 = packet(ethernet(), ipv6({ source: source6 }), extension(hopByHop, 3), tcp({ destinationPort: 1 }));
    for (let length = 14 + 40; length < whole6.length; length++) {
      expect(gate.outcome(resized(whole6, length))).toBe("drop_ban");
    }
    // Without a tag the kernel's test run of tc wants an IP header that is whole.
    const tagged4 = packet(ethernet(), vlan(5), ipv4({ source: source4 }), tcp({ destinationPort: 1 }));
    const tagged6 = packet(ethernet(), vlan(5), ipv6({ source: source6 }), tcp({ destinationPort: 1 }));
    expect(gate.outcome(resized(tagged4, 18 + 20))).toBe("drop_ban");
    expect(gate.outcome(resized(tagged4, 18 + 19))).toBe("pass_unparsed");
    expect(gate.outcome(resized(tagged6, 18 + 40))).toBe("drop_ban");
    expect(gate.outcome(resized(tagged6, 18 + 39))).toBe("pass_unparsed");
  });

  test("neighbour discovery of the link passes, and nothing else of ICMPv6", async () => {
    using gate = await hostBanned(way);
    for (const source of [source6, "fe80::1"]) {
      for (let type = 0; type < 256; type++) {
        const frame = packet(ethernet(), ipv6({ source, hopLimit: 255 }), icmpv6(type));
        expect([type, gate.outcome(frame)]).toEqual([type, type >= 133 && type <= 137 ? "pass" : "drop_ban"]);
      }
    }
  });

  test("neighbour discovery that came through a router does not", async () => {
    using gate = await hostBanned(way);
    for (const hopLimit of [0, 1, 64, 254]) {
      expect(gate.outcome(packet(ethernet(), ipv6({ source: source6, hopLimit }), icmpv6(135)))).toBe("drop_ban");
    }
    const behindHeader = packet(ethernet(), ipv6({ source: source6, hopLimit: 255 }), extension(hopByHop), icmpv6(135));
    expect(gate.outcome(behindHeader)).toBe("drop_ban");
    const cut = packet(ethernet(), ipv6({ source: source6, hopLimit: 255, protocol: 58 }), payload(7, 135));
    expect(gate.outcome(cut)).toBe("drop_ban");
    expect(
      gate.outcome(packet(ethernet(), ipv6({ source: source6, hopLimit: 255 }), udp({ destinationPort: 135 }))),
    ).toBe("drop_ban");
  });

  test("a scope that is neither is the narrower one", async () => {
    using gate = await hostBanned(way);
    gate.configure({ scope: 2 });
    expect(gate.outcome(packet(ethernet(), ipv4({ source: source4 }), udp({ destinationPort: 1 })))).toBe("pass");
    expect(gate.outcome(packet(ethernet(), ipv4({ source: source4 }), tcp({ destinationPort: guardedPort })))).toBe(
      "drop_ban",
    );
  });
});
