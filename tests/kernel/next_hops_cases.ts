// SPDX-License-Identifier: Apache-2.0
// The gateways of every kind of route that the kernel has; VRF is in tests/host.test.ts.
import assert from "node:assert/strict";
import { finished } from "../../src/core/work.ts";
import { openLibc } from "../../src/kernel/libc.ts";
import { NetworkChanges } from "../../src/kernel/network_changes.ts";
import { readNextHops } from "../../src/kernel/next_hops.ts";
import type { Native } from "../../src/runtime/types.ts";
import { routesByKind } from "../harness/gateways.ts";
import { ip } from "../harness/netns.ts";
import type { KernelCase } from "./kernel_case.ts";
import { Sandbox, shell } from "./sandbox.ts";

function gateways(native: Native): string[] {
  const { hops, isWhole } = finished(readNextHops(native, openLibc(native)));
  assert.equal(isWhole, true);
  return hops.map(({ prefix, interfaceName }) => `${prefix.text} ${interfaceName}`).sort();
}

export const nextHopsCases: readonly KernelCase[] = [
  ...routesByKind.map(({ kind, routes }) => ({
    name: `next hops: ${kind}`,
    async run(native: Native) {
      await using sandbox = new Sandbox(native);
      const { gate, device } = sandbox.network;
      assert.deepEqual(gateways(native), []);
      // Without it a route by an object does not tell the object's gateways as its own.
      shell("ip", "netns", "exec", gate, "sysctl", "-qw", "net.ipv4.nexthop_compat_mode=0");
      const made = routes(device);
      using changes = new NetworkChanges(openLibc(native));
      for (const args of made.commands) {
        const before = changes.version();
        ip("-n", gate, ...args);
        if (args.every((arg) => arg !== "rule")) assert.notEqual(changes.version(), before, args.join(" "));
      }
      assert.deepEqual(gateways(native), made.gateways.map((address) => `${address} ${device}`).sort());
    },
  })),
  {
    name: "next hops: each once, however many routes lead by it and answers the kernel needs; no tunnel's far end",
    async run(native) {
      await using sandbox = new Sandbox(native);
      const { gate, device } = sandbox.network;
      const lines = Array.from({ length: 2000 }, (_, index) => {
        return `route add 10.${100 + (index >> 8)}.${index & 255}.0/24 via 10.77.1.${1 + (index % 2)}\n`;
      });
      const add = `printf '${lines.join("").replaceAll("\n", "\\n")}' | ip -n ${gate} -batch -`;
      shell("sh", "-ec", add);
      ip("-n", gate, "nexthop", "add", "id", "1", "via", "10.77.1.9", "fdb");
      assert.deepEqual(gateways(native), [`10.77.1.1 ${device}`, `10.77.1.2 ${device}`]);
    },
  },
];
