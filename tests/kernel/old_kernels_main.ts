// SPDX-License-Identifier: Apache-2.0
// What an old kernel makes of ttgate, for tests/kernel/old_kernels.sh: in each mode a friend is served, a
// stranger is banned, and its next SYN is dropped, over IPv4 and IPv6. Slow: the machine is an emulated one.
import assert from "node:assert/strict";
import { release } from "node:os";
import process from "node:process";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";

const slowMs = 60_000;
const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");

async function guards(mode: "proxy" | "inline"): Promise<string> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const at = mode === "proxy" ? ["--port", "5001"] : ["--host", "::", "--port", "5000"];
  const server = stack.use(await startServer(network.gate, ...at));
  const flags = ["--mode", mode, "-B", map.name, "-l", "5000", "-i", network.device];
  const gate = stack.use(await RunningGate.start(flags, { namespace: network.gate }));
  for (const host of [network.gateIpv4, network.gateIpv6]) {
    const from = host.includes(":") ? network.clientIpv6(1) : network.clientIpv4(1);
    await using friend = await startClient(network.client, "--host", host, "--from", from, "--port", "5000");
    await friend.until(`an exchange with ${host}`, ({ packets }) => packets > 0, slowMs);
    assert.equal((await friend.stop()).failures, 0);
  }
  for (const host of [network.gateIpv4, network.gateIpv6]) {
    const from = host.includes(":") ? network.clientIpv6(2) : network.clientIpv4(2);
    const visit = { host, port: 5000, from, send: [request], waitMs: 3000 };
    await probeFrom(network.client, visit);
    assert.equal((await gate.banned(from)).protocol, "http");
    assert.equal((await probeFrom(network.client, visit)).outcome, "no answer");
  }
  const { kernel } = await gate.until("drops", (status) => status.kernel.droppedPackets > 1, slowMs);
  assert.equal((await server.stop()).strangers, 0);
  if (mode === "inline") assert.deepEqual([kernel.unseen?.unobserved, kernel.unseen?.connections], [null, 0]);
  const observed = `, observed ${kernel.unseen?.observed}`;
  const judged = kernel.judged === null ? "" : `${observed}, judged ${JSON.stringify(kernel.judged)}`;
  return `attached ${kernel.attach}, ${kernel.droppedPackets} packets dropped${judged}`;
}

async function refuses(): Promise<string> {
  const refused = await run(ttgate(["--mode", "inline", "-B", "map", "-i", "lo", "-s", "off"]));
  assert.equal(refused.code, 3, refused.stderr);
  assert.match(refused.stderr, /needs Linux 5\.15 or later .* use --mode proxy/);
  return refused.stderr.trim();
}

const [, minor] = release().split(".");
const isBelow = release().startsWith("5.") && Number(minor) < 15;
const steps: readonly [string, () => Promise<string>][] = [
  ["proxy", () => guards("proxy")],
  ["inline", isBelow ? refuses : () => guards("inline")],
];
for (const [name, step] of steps) {
  try {
    console.log(`${name}: ${await step()}`);
  } catch (error) {
    console.log(`${name}: FAILED: ${error instanceof Error ? error.stack : error}`);
    process.exitCode = 1;
  }
}
