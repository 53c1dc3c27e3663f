// SPDX-License-Identifier: Apache-2.0
// What is counted: packets and bytes by outcome and by ban, every byte of a frame and none that its
// headers only claim, with CAP_PERFMON's pointer arithmetic or without.

import { expect, test } from "bun:test";
import { wouldDrop } from "../../src/fences/xdp/proof/test_run.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";
import { describeWith } from "../harness/needs.ts";
import { type Gate, guardedPort, nowNs, openGate, secondNs, ways } from "./gate.ts";
import { etherArp, ethernet, ipv4, ipv6, packet, payload, resized, tcp, udp, vlan } from "./packet.ts";
import { runProgram } from "./test_run.ts";

const guarded = tcp({ destinationPort: guardedPort });
const from4 = (source: string) => packet(ethernet(), ipv4({ source }), guarded);

describeWith("root").each(ways)("%s", (way) => {
  test("a ban counts its own packets and bytes, and when the last one came", async () => {
    using gate = await openGate({ way });
    gate.ban("203.0.113.9", nowNs + secondNs);
    gate.ban("203.0.113.10", nowNs + secondNs);
    expect(gate.counts("203.0.113.9")).toEqual({ packets: 0n, bytes: 0n, lastSeenNs: 0n });
    const short = from4("203.0.113.9");
    const long = packet(ethernet(), vlan(5), ipv4({ source: "203.0.113.9" }), guarded, payload(1000));
    for (const frame of [short, long, short]) gate.drops(frame);
    const bytes = BigInt(2 * short.length + long.length);
    expect(gate.counts("203.0.113.9")).toEqual({ packets: 3n, bytes, lastSeenNs: nowNs });
    expect(gate.counts("203.0.113.10")).toEqual({ packets: 0n, bytes: 0n, lastSeenNs: 0n });
  });

  test("a CIDR ban counts its own too", async () => {
    using gate = await openGate({ way });
    gate.configure({ cidrEntries: 1 });
    gate.banCidr("2001:db8::/32", nowNs + secondNs);
    const frame = packet(ethernet(), ipv6({ source: "2001:db8::7" }), guarded);
    gate.drops(frame);
    gate.drops(frame);
    const bytes = BigInt(2 * frame.length);
    expect(gate.cidrCounts("2001:db8::/32")).toEqual({ packets: 2n, bytes, lastSeenNs: nowNs });
  });

  test("a question has the same answer and is not counted to the ban", async () => {
    using gate = await openGate({ way });
    gate.configure({ cidrEntries: 1 });
    gate.ban("203.0.113.9");
    gate.ban("2001:db8::");
    gate.banCidr("198.51.100.0/24");
    const hook = way === "tc" ? "tc" : "xdp";
    const libraries = await openLibraries(native);
    const asked = (frame: NativeBuffer) => wouldDrop(libraries, gate.programFd, hook, frame);
    const six = packet(ethernet(), ipv6({ source: "2001:db8::1" }), guarded);
    for (const frame of [from4("203.0.113.9"), six, from4("198.51.100.7")]) expect(asked(frame)).toBe(true);
    expect(asked(from4("203.0.113.10"))).toBe(false);
    expect(asked(packet(ethernet(), ipv4({ source: "203.0.113.9" }), udp({ destinationPort: guardedPort })))).toBe(
      false,
    );
    const untouched = { packets: 0n, bytes: 0n, lastSeenNs: 0n };
    expect([gate.counts("203.0.113.9"), gate.counts("2001:db8::"), gate.cidrCounts("198.51.100.0/24")]).toEqual([
      untouched,
      untouched,
      untouched,
    ]);
    gate.drops(from4("203.0.113.9"));
    expect(gate.counts("203.0.113.9")?.packets).toBe(1n);
  });

  test("what passes is not counted to a ban", async () => {
    using gate = await openGate({ way });
    gate.ban("203.0.113.9", nowNs - secondNs);
    gate.drops(from4("203.0.113.9"));
    gate.ban("203.0.113.10");
    gate.drops(packet(ethernet(), ipv4({ source: "203.0.113.10" }), udp({ destinationPort: guardedPort })));
    for (const address of ["203.0.113.9", "203.0.113.10"]) {
      expect(gate.counts(address)).toEqual({ packets: 0n, bytes: 0n, lastSeenNs: 0n });
    }
  });

  test("every outcome has its counter", async () => {
    using gate = await openGate({ way });
    const frames = {
      pass: from4("203.0.113.1"),
      drop_ban: from4("203.0.113.2"),
      drop_cidr: from4("203.0.113.200"),
      pass_expired: from4("203.0.113.3"),
      pass_unparsed: packet(ethernet(), vlan(1), vlan(2), vlan(3), ipv4({ source: "203.0.113.2" }), guarded),
    };
    gate.configure({ cidrEntries: 1 });
    gate.ban("203.0.113.2");
    gate.ban("203.0.113.3", nowNs - secondNs);
    gate.banCidr("203.0.113.192/26");
    const times = { pass: 5, drop_ban: 4, drop_cidr: 3, pass_expired: 2, pass_unparsed: 1 };
    for (const [outcome, frame] of Object.entries(frames)) {
      for (let count = times[outcome as keyof typeof times]; count > 0; count--) gate.drops(frame);
    }
    const counters = gate.counters();
    for (const outcome of Object.keys(frames) as (keyof typeof frames)[]) {
      expect([outcome, counters[outcome]]).toEqual([
        outcome,
        { packets: times[outcome], bytes: times[outcome] * frames[outcome].length },
      ]);
    }
  });

  test("frames go on as they came", async () => {
    using gate = await openGate({ way });
    gate.ban("203.0.113.9");
    const libraries = await openLibraries(native);
    for (const frame of [
      from4("203.0.113.1"),
      from4("203.0.113.9"),
      packet(ethernet(), vlan(5), ipv6({ source: "2001:db8::1" }), guarded, payload(77)),
    ]) {
      expect(runProgram(libraries, gate.programFd, frame).frame).toEqual(frame);
    }
  });

  test("a hundred thousand drops are a hundred thousand", async () => {
    using gate = await openGate({ way });
    gate.ban("203.0.113.9");
    const frame = from4("203.0.113.9");
    runProgram(await openLibraries(native), gate.programFd, frame, { repeat: 100_000 });
    expect(gate.counts("203.0.113.9")?.packets).toBe(100_000n);
    expect(gate.counts("203.0.113.9")?.bytes).toBe(BigInt(100_000 * frame.length));
    expect(gate.counters().drop_ban).toEqual({ packets: 100_000, bytes: 100_000 * frame.length });
  });
});

describeWith("root")("bytes of a frame", () => {
  const counted = (gate: Gate, frame: Parameters<Gate["drops"]>[0]) => {
    const before = gate.counters();
    gate.drops(frame);
    const after = gate.counters();
    return (Object.keys(after) as (keyof typeof after)[]).reduce(
      (sum, outcome) => sum + after[outcome].bytes - before[outcome].bytes,
      0,
    );
  };

  for (const way of ways) {
    test(`${way}: every length, told by the header`, async () => {
      using gate = await openGate({ way });
      gate.ban("203.0.113.9");
      for (let extra = 0; extra < 1460; extra += 7) {
        const frame = packet(ethernet(), ipv4({ source: "203.0.113.9" }), guarded, payload(extra));
        expect(counted(gate, frame)).toBe(frame.length);
      }
    });

    test(`${way}: every length, whatever the header says`, async () => {
      using gate = await openGate({ way });
      gate.ban("203.0.113.9");
      const lies = [0, 20, 40, 46, 1500, 0x7fff, 0xffff];
      for (const totalBytes of lies) {
        for (const extra of [0, 1, 6, 59, 200, 469, 470, 1000, 1460]) {
          const frame = packet(ethernet(), ipv4({ source: "203.0.113.9", totalBytes }), guarded, payload(extra));
          expect(counted(gate, frame)).toBe(frame.length);
          const wide = packet(ethernet(), ipv6({ source: "2001:db8::1", payloadBytes: totalBytes }), payload(extra));
          expect(counted(gate, wide)).toBe(wide.length);
        }
      }
    });

    test(`${way}: padding counts, and so do frames that are not IP`, async () => {
      using gate = await openGate({ way });
      for (const length of [60, 61, 64, 100, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 2047, 2048, 3500]) {
        expect(counted(gate, resized(from4("203.0.113.9"), length))).toBe(length);
        expect(counted(gate, resized(packet(ethernet({ etherType: etherArp })), length))).toBe(length);
        expect(counted(gate, resized(packet(ethernet(), vlan(1), vlan(2), vlan(3)), length))).toBe(length);
      }
      gate.configure({ magic: 0 });
      expect(counted(gate, resized(from4("203.0.113.9"), 333))).toBe(333);
    });
  }

  for (const way of ["xdp", "xdp without CAP_PERFMON"] as const) {
    test(`${way}: frames of several buffers are judged and counted whole`, async () => {
      using gate = await openGate({ way });
      gate.ban("203.0.113.9");
      for (const extra of [4000, 8946, 60_000]) {
        const frame = packet(ethernet(), ipv4({ source: "203.0.113.9" }), guarded, payload(extra));
        expect(gate.outcome(frame)).toBe("drop_ban");
        const other = packet(ethernet(), vlan(1), ipv4({ source: "203.0.113.10" }), guarded, payload(extra));
        expect(gate.outcome(other)).toBe("pass");
      }
      for (const length of [4000, 9000]) {
        const untold = packet(ethernet(), ipv6({ source: "2001:db8::1", payloadBytes: 0 }), guarded, payload(length));
        expect(counted(gate, untold)).toBe(untold.length);
        expect(counted(gate, resized(packet(ethernet({ etherType: etherArp })), length))).toBe(length);
      }
    });
  }
});
