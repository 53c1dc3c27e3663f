// SPDX-License-Identifier: Apache-2.0
// Run by load.test.ts with few capabilities: loads every program, runs each on a frame, and prints what
// became of it, with the capabilities that this process has.
import { readFileSync } from "node:fs";
import { guardedPort, openGate } from "./gate.ts";
import { ethernet, ipv4, packet, tcp } from "./packet.ts";

const frame = packet(ethernet(), ipv4({ source: "203.0.113.9" }), tcp({ destinationPort: guardedPort }));
const outcomes: string[] = [];
for (const way of ["xdp without CAP_PERFMON", "tc"] as const) {
  for (const flavour of ["own", "seconds", "nanoseconds"] as const) {
    using gate = await openGate({ way, flavour, live: true });
    gate.ban("203.0.113.9");
    outcomes.push(gate.outcome(frame));
  }
}
const capabilities = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
console.log(JSON.stringify({ capabilities, outcomes }));
