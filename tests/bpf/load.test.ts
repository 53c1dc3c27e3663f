// SPDX-License-Identifier: Apache-2.0
// What the kernel makes of the programs that production loads: how far the verifier has to go, which
// capabilities it wants, and what they do by the real clock.

import { expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { describeWith } from "../harness/needs.ts";
import { guardedPort, openGate, secondNs, ways } from "./gate.ts";
import { loadInline, readings } from "./inline.ts";
import { ethernet, ipv4, ipv6, packet, tcp } from "./packet.ts";
import { verifiedInstructions } from "./test_run.ts";

const guarded = tcp({ destinationPort: guardedPort });
const libraries = await openLibraries(native);

/** A fiftieth of the verifier's limit: kernels before ours take more steps for the same program. */
const instructionLimit = 20_000;

/** Of the programs that judge first bytes: less than half of the verifier's limit. */
const inlineLimit = 400_000;

/** CLOCK_BOOTTIME, to the 10 ms of /proc/uptime. */
function bootNs(): bigint {
  const seconds = Number.parseFloat(readFileSync("/proc/uptime", "latin1"));
  return BigInt(Math.round(seconds * 100)) * (secondNs / 100n);
}

describeWith("root")("loading", () => {
  for (const way of ways) {
    for (const flavour of ["own", "seconds", "nanoseconds"] as const) {
      test(`the verifier goes through few instructions: ${way}, ${flavour} map`, async () => {
        using gate = await openGate({ way, flavour, live: true });
        const instructions = verifiedInstructions(libraries, gate.programFd);
        expect(instructions).toBeGreaterThan(100);
        expect(instructions).toBeLessThan(instructionLimit);
      });
    }
  }

  test.each([...readings.map((reading) => ["gate_xdp", reading] as const), ["gate_tc", "helpers"] as const])(
    "the verifier does not give up on inline mode: %s by %s",
    (program, reading) => {
      using object = loadInline(libraries, program, reading);
      const instructions = verifiedInstructions(libraries, object.programFd(program));
      expect(instructions).toBeGreaterThan(instructionLimit);
      expect(instructions).toBeLessThan(inlineLimit);
    },
  );

  test("CAP_BPF and CAP_NET_ADMIN are enough: no pointer arithmetic that wants CAP_PERFMON", () => {
    const few = "-all,+bpf,+net_admin";
    const result = spawnSync(
      "setpriv",
      [
        ...["--securebits", "+noroot", "--bounding-set", few, "--inh-caps", few, "--ambient-caps", few],
        ...[process.execPath, new URL("./least_privilege_main.ts", import.meta.url).pathname],
      ],
      { encoding: "utf8" },
    );
    expect([result.status, result.stderr]).toEqual([0, ""]);
    expect(JSON.parse(result.stdout)).toEqual({
      capabilities: "0000008000001000",
      outcomes: Array.from({ length: 6 }, () => "drop_ban"),
    });
  });
});

describeWith("root")("the kernel's clock", () => {
  for (const way of ways) {
    for (const flavour of ["own", "seconds", "nanoseconds"] as const) {
      test(`decides when a ban ends: ${way}, ${flavour} map`, async () => {
        using gate = await openGate({ way, flavour, live: true });
        const frame = packet(ethernet(), ipv4({ source: "203.0.113.9" }), guarded);
        gate.ban("203.0.113.9", bootNs() + 60n * secondNs);
        expect(gate.outcome(frame)).toBe("drop_ban");
        gate.ban("203.0.113.9", bootNs() - 60n * secondNs);
        expect(gate.outcome(frame)).toBe("pass_expired");
      });
    }

    test(`is read often enough for a ban to end within a tick of its time: ${way}`, async () => {
      using gate = await openGate({ way, live: true });
      const frame = packet(ethernet(), ipv6({ source: "2001:db8::7" }), guarded);
      const endNs = bootNs() + secondNs / 10n;
      gate.ban("2001:db8::", endNs);
      let droppedNs = bootNs();
      while (gate.drops(frame) && droppedNs < endNs + secondNs) droppedNs = bootNs();
      // The clock of this test has steps of 10 ms, and the slowest tick (CONFIG_HZ=100) has the same.
      expect(droppedNs - endNs).toBeLessThan(secondNs / 20n);
      expect(endNs - bootNs()).toBeLessThanOrEqual(secondNs / 100n);
      const lastSeenNs = gate.counts("2001:db8::")?.lastSeenNs ?? 0n;
      expect(lastSeenNs).toBeLessThan(endNs);
      expect(endNs - lastSeenNs).toBeLessThan(secondNs / 20n);
    });
  }
});
