// SPDX-License-Identifier: Apache-2.0
// What the kernel makes of the programs that production loads: how far the verifier has to go, which
// capabilities it wants, how they read packets that lie in pieces, and what they do by the real clock.
import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { KernelError } from "../../src/kernel/errno.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { guardedPort, noKernel, openGate, secondNs, ways } from "./gate.ts";
import { ethernet, extension, hopByHop, ipv4, ipv6, packet, payload, tcp, vlan } from "./packet.ts";
import { runProgram, verifiedInstructions } from "./test_run.ts";

const guarded = tcp({ destinationPort: guardedPort });
const libraries = await openLibraries(native);

/** A fiftieth of the verifier's limit: kernels before ours take more steps for the same program. */
const instructionLimit = 20_000;

/** CLOCK_BOOTTIME, to the 10 ms of /proc/uptime. */
function bootNs(): bigint {
  const seconds = Number.parseFloat(readFileSync("/proc/uptime", "latin1"));
  return BigInt(Math.round(seconds * 100)) * (secondNs / 100n);
}

describe.skipIf(noKernel !== undefined)("loading", () => {
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

describe.skipIf(noKernel !== undefined)("the kernel's clock", () => {
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

/** Why the test run makes no packets in pieces, or undefined where it does (kernel 6.18). */
async function noPieces(): Promise<string | undefined> {
  if (noKernel !== undefined) return noKernel;
  using gate = await openGate({ way: "tc" });
  try {
    runProgram(libraries, gate.programFd, packet(ethernet(), ipv4({ source: "192.0.2.1" }), guarded), {
      linearBytes: 40,
    });
    return undefined;
  } catch (error) {
    if (error instanceof KernelError) return `the kernel's test run makes no packets in pieces: ${error.code}`;
    throw error;
  }
}

const reason = await noPieces();
const shot = 2;

describe.skipIf(reason !== undefined)(
  `tc packets that lie in pieces${reason === undefined ? "" : ` (${reason})`}`,
  () => {
    const frames = {
      IPv4: packet(ethernet(), ipv4({ source: "203.0.113.9", optionBytes: 40 }), guarded, payload(1000)),
      "IPv6 with extension headers": packet(
        ethernet(),
        ipv6({ source: "2001:db8::7" }),
        extension(hopByHop, 100),
        guarded,
        payload(1000),
      ),
      "two tags": packet(ethernet(), vlan(1), vlan(2), ipv4({ source: "203.0.113.9" }), guarded, payload(1000)),
    };
    for (const [name, frame] of Object.entries(frames)) {
      test(`${name}: put together as far as the headers go, wherever the first piece ends`, async () => {
        using gate = await openGate({ way: "tc" });
        const run = (linearBytes: number) => runProgram(libraries, gate.programFd, frame, { linearBytes }).verdict;
        for (let linearBytes = name === "IPv6 with extension headers" ? 54 : 34; linearBytes < 120; linearBytes++) {
          expect([linearBytes, run(linearBytes)]).not.toEqual([linearBytes, shot]);
        }
        gate.ban("203.0.113.9");
        gate.ban("2001:db8::");
        for (let linearBytes = name === "IPv6 with extension headers" ? 54 : 34; linearBytes < 120; linearBytes++) {
          expect([linearBytes, run(linearBytes)]).toEqual([linearBytes, shot]);
        }
        expect(gate.counters().pass_unparsed.packets).toBe(0);
      });
    }
  },
);
