// SPDX-License-Identifier: Apache-2.0
// Every rule of the verdict, positive and negative, in both hooks and over every flavour of map.

import { expect, test } from "bun:test";
import { outcomes } from "../../src/fences/xdp/maps/layout.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";
import { describeWith, testWith } from "../harness/needs.ts";
import { type Gate, guardedPort, type MapFlavour, nowNs, openGate, otherPort, secondNs, ways } from "./gate.ts";
import { etherArp, ethernet, icmpv6, ipv4, ipv6, type Layer, packet, payload, tcp, udp } from "./packet.ts";

const guarded = tcp({ destinationPort: guardedPort });

interface Family {
  readonly name: string;
  readonly source: string;
  /** What is in the map for it. */
  readonly key: string;
  readonly neighbour: string;
  frame(source: string, ...inner: readonly Layer[]): NativeBuffer;
}

const families: readonly Family[] = [
  {
    name: "IPv4",
    source: "203.0.113.9",
    key: "203.0.113.9",
    neighbour: "203.0.113.10",
    frame: (source, ...inner) => packet(ethernet(), ipv4({ source }), ...inner),
  },
  {
    name: "IPv6",
    source: "2001:db8:1:2:3:4:5:6",
    key: "2001:db8:1:2::",
    neighbour: "2001:db8:1:3:3:4:5:6",
    frame: (source, ...inner) => packet(ethernet(), ipv6({ source }), ...inner),
  },
];

interface Rule {
  readonly name: string;
  run(gate: Gate, family: Family): void;
}

const rules: readonly Rule[] = [
  {
    name: "a banned source is dropped at the guarded port",
    run(gate, { source, key, frame }) {
      gate.ban(key, nowNs + 2n * secondNs);
      expect(gate.outcome(frame(source, guarded))).toBe("drop_ban");
      expect(gate.outcome(frame(source, guarded, payload(1400)))).toBe("drop_ban");
    },
  },
  {
    name: "a source that nobody banned passes",
    run(gate, { neighbour, key, source, frame }) {
      expect(gate.outcome(frame(source, guarded))).toBe("pass");
      gate.ban(key, nowNs + 2n * secondNs);
      expect(gate.outcome(frame(neighbour, guarded))).toBe("pass");
    },
  },
  {
    name: "other ports of a banned source pass",
    run(gate, { source, key, frame }) {
      gate.ban(key);
      expect(gate.outcome(frame(source, tcp({ destinationPort: otherPort })))).toBe("pass");
      // The guarded port as the source's own.
      expect(gate.outcome(frame(source, tcp({ sourcePort: guardedPort, destinationPort: otherPort })))).toBe("pass");
      expect(gate.outcome(frame(source, tcp({ destinationPort: 0x8813 })))).toBe("pass");
    },
  },
  {
    name: "other protocols of a banned source pass",
    run(gate, { source, key, frame }) {
      gate.ban(key);
      expect(gate.outcome(frame(source, udp({ destinationPort: guardedPort })))).toBe("pass");
      expect(gate.outcome(frame(source, icmpv6(128)))).toBe("pass");
      expect(gate.outcome(frame(source, payload(40)))).toBe("pass");
    },
  },
  {
    name: "a ban ends at its time, not before",
    run(gate, { source, key, frame }) {
      gate.ban(key, nowNs + secondNs);
      expect(gate.outcome(frame(source, guarded))).toBe("drop_ban");
      gate.ban(key, nowNs);
      expect(gate.outcome(frame(source, guarded))).toBe("pass_expired");
      gate.ban(key, nowNs - secondNs);
      expect(gate.outcome(frame(source, guarded))).toBe("pass_expired");
    },
  },
  {
    name: "an entry of zero bytes blocks without an end",
    run(gate, { source, key, frame }) {
      gate.ban(key, 0n);
      expect(gate.outcome(frame(source, guarded))).toBe("drop_ban");
    },
  },
  {
    name: "every guarded port is guarded, up to eight",
    run(gate, { source, key, frame }) {
      const ports = [5000, 5002, 5004, 5006, 5008, 5010, 5012, 65535];
      gate.ban(key);
      gate.configure({ ports });
      for (const port of ports) expect(gate.outcome(frame(source, tcp({ destinationPort: port })))).toBe("drop_ban");
      for (const port of [0, 4999, 5001, 5013, 65534]) {
        expect(gate.outcome(frame(source, tcp({ destinationPort: port })))).toBe("pass");
      }
    },
  },
  {
    name: "without a guarded port nothing is dropped",
    run(gate, { source, key, frame }) {
      gate.ban(key);
      gate.configure({ ports: [] });
      expect(gate.outcome(frame(source, guarded))).toBe("pass");
      expect(gate.outcome(frame(source, tcp({ destinationPort: 0 })))).toBe("pass");
    },
  },
  {
    name: "settings of another program or layout drop nothing",
    run(gate, { source, key, frame }) {
      gate.ban(key);
      for (const change of [{ magic: 0 }, { layout: 0 }, { layout: 2 }, { magic: 0x74746775 }]) {
        gate.configure(change);
        expect(gate.outcome(frame(source, guarded))).toBe("pass");
        gate.configure({ ...change, scope: 1 });
        expect(gate.outcome(frame(source, guarded))).toBe("pass");
      }
      gate.configure({});
      expect(gate.outcome(frame(source, guarded))).toBe("drop_ban");
    },
  },
  {
    name: "what is not IP passes",
    run(gate, { key }) {
      gate.ban(key);
      gate.configure({ scope: 1 });
      expect(gate.outcome(packet(ethernet({ etherType: etherArp }), payload(28)))).toBe("pass");
      expect(gate.outcome(packet(ethernet({ etherType: 0x88cc }), payload(50, 0)))).toBe("pass");
    },
  },
  {
    name: "an exact ban that is over leaves it to the CIDR bans",
    run(gate, { source, key, frame }) {
      gate.ban(key, nowNs - secondNs);
      gate.banCidr(source.includes(":") ? "2001:db8::/32" : "203.0.113.0/24");
      expect(gate.outcome(frame(source, guarded))).toBe("pass_expired");
      gate.configure({ cidrEntries: 1 });
      expect(gate.outcome(frame(source, guarded))).toBe("drop_cidr");
      gate.banCidr(source.includes(":") ? "2001:db8::/32" : "203.0.113.0/24", nowNs - secondNs);
      expect(gate.outcome(frame(source, guarded))).toBe("pass_expired");
    },
  },
];

const flavours: readonly MapFlavour[] = ["own", "seconds", "nanoseconds"];

for (const way of ways) {
  for (const flavour of flavours) {
    describeWith("root")(`${way}, ${flavour} map`, () => {
      for (const family of families) {
        for (const rule of rules) {
          test(`${family.name}: ${rule.name}`, async () => {
            using gate = await openGate({ way, flavour });
            rule.run(gate, family);
          });
        }
      }
    });
  }
}

describeWith("root")("the documented map", () => {
  for (const way of ways) {
    for (const flavour of ["seconds", "nanoseconds"] as const) {
      const valueBytes = flavour === "seconds" ? 4 : 8;
      test(`${way}, ${flavour}: 0 and 1 block without an end, 2 is long over`, async () => {
        using gate = await openGate({ way, flavour });
        const frame = packet(ethernet(), ipv4({ source: "203.0.113.9" }), guarded);
        for (const [raw, outcome] of [
          [0, "drop_ban"],
          [1, "drop_ban"],
          [2, "pass_expired"],
        ] as const) {
          const value = nativeBytes(valueBytes);
          value[0] = raw;
          gate.write("203.0.113.9", value);
          expect(gate.outcome(frame)).toBe(outcome);
        }
      });

      test(`${way}, ${flavour}: the latest end of all blocks`, async () => {
        using gate = await openGate({ way, flavour });
        gate.write("203.0.113.9", nativeBytes(valueBytes).fill(0xff));
        expect(gate.outcome(packet(ethernet(), ipv4({ source: "203.0.113.9" }), guarded))).toBe("drop_ban");
      });

      test(`${way}, ${flavour}: the operator's key is the address as it is on the wire, no other`, async () => {
        using gate = await openGate({ way, flavour });
        gate.ban("203.0.113.9");
        expect(gate.drops(packet(ethernet(), ipv4({ source: "203.0.113.9" }), guarded))).toBe(true);
        expect(gate.drops(packet(ethernet(), ipv4({ source: "9.113.0.203" }), guarded))).toBe(false);
        // Nothing of ttgate's own map is asked for IPv4.
        expect(gate.counts("203.0.113.9")).toBeUndefined();
      });
    }
  }
});

testWith("root")("the outcomes of the map are those of the layout", async () => {
  using gate = await openGate();
  expect(Object.keys(gate.counters())).toEqual([...outcomes]);
});
