// SPDX-License-Identifier: Apache-2.0
// The gateway of a VRF's table; not every kernel has VRF.
import { expect } from "bun:test";
import process from "node:process";
import { Loopback } from "../commands/bed.ts";
import { run } from "../harness/child.ts";
import { testWith } from "../harness/needs.ts";
import { ip } from "../harness/netns.ts";

const script = `
  const { native } = await import("${import.meta.resolve("../../src/runtime/bun_ffi.ts")}");
  const { openLibc } = await import("${import.meta.resolve("../../src/kernel/libc.ts")}");
  const { readNextHops } = await import("${import.meta.resolve("../../src/kernel/next_hops.ts")}");
  const { finished } = await import("${import.meta.resolve("../../src/core/work.ts")}");
  const { hops } = finished(readNextHops(native, openLibc(native)));
  console.log(hops.map(({ prefix, interfaceName }) => prefix.text + " " + interfaceName).join());`;

testWith("namespaces", "vrf")("a gateway of a VRF is one of this host's", async () => {
  using loopback = new Loopback();
  const inside = (line: string) => ip("-n", loopback.name, ...line.split(" "));
  inside("link add red type vrf table 10");
  inside("link add one type veth peer name two");
  inside("link set one master red");
  for (const device of ["red", "one", "two"]) inside(`link set ${device} up`);
  inside("address add 10.88.0.2/24 dev one");
  inside("route add default via 10.88.0.1 vrf red");
  const { stdout, stderr } = await run([process.execPath, "-e", script], { namespace: loopback.name });
  expect([stdout.trim(), stderr]).toEqual(["10.88.0.1 one", ""]);
});
