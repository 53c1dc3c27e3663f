// SPDX-License-Identifier: Apache-2.0
// Ten thousand clients that send a byte a second, more than the gate has places for: clients that speak at once are
// served meanwhile, the memory is what so many sockets cost, and the deadline ends them all.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { Child } from "../../harness/child.ts";
import { RunningGate } from "../../harness/gate.ts";
import { describeWith } from "../../harness/needs.ts";
import { Network } from "../../harness/netns.ts";
import { startClient, startServer } from "../../harness/standin.ts";
import { ownNetwork } from "../../harness/swarm.ts";
import type { Trickle } from "../../harness/trickle_main.ts";
import { sleep, waitFor } from "../../harness/wait.ts";

setDefaultTimeout(240_000);

const count = 10_000;
const script = join(import.meta.dirname, "../../harness/trickle_main.ts");

describeWith("namespaces", "executable")(`${count} clients that send a byte a second`, () => {
  test("hold up nobody else, and are closed when their time is over", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    ownNetwork(network, "10.78.0.0/16");
    stack.use(await startServer(network.gate, "--port", "5001"));
    const options = ["--max-connections", "8000", "--first-packet", "40s"];
    const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
    const address = ["--host", network.gateIpv4, "--port", "5000", "--from", network.clientIpv4(2)];
    const client = stack.use(await startClient(network.client, ...address, "--reconnect", "5"));
    await client.until("answers", ({ packets }) => packets > 20);
    const before = await gate.residentBytes();
    const argv = [process.execPath, script, network.gateIpv4, "5000", "10.78.0.0", String(count)];
    const trickle = stack.use(new Child(argv, { namespace: network.client }));
    const last = () => JSON.parse(trickle.stdout.trim().split("\n").at(-1) ?? "{}") as Partial<Trickle>;
    await waitFor("all of them", () => (last().opened ?? 0) >= count, 60_000);
    const full = await gate.status();
    expect(full.connections.pending).toBeWithin(7900, 8001);
    expect(full.connections.madeRoom).toBeWithin(1900, 2500);
    const cpuBefore = await gate.cpuMs();
    const sinceMs = performance.now();
    await sleep(5000);
    const cpuShare = ((await gate.cpuMs()) - cpuBefore) / (performance.now() - sinceMs);
    const grown = (await gate.residentBytes()) - before;
    const latencies = client.reports().flatMap(({ latenciesMs }) => latenciesMs);
    const figures = `${(grown / full.connections.pending / 1024).toFixed(1)} KiB each, ${(cpuShare * 100).toFixed(0)} % of a CPU`;
    console.log(`${figures}, slowest exchange of a friend ${Math.max(...latencies).toFixed(0)} ms`);
    expect(grown / full.connections.pending).toBeLessThan(8 * 1024);
    await gate.until("their end", ({ connections }) => connections.pending === 0, 90_000);
    const { connections, bans } = await gate.status();
    expect({ bans: bans.total, foreign: connections.foreign }).toEqual({ bans: 0, foreign: 0 });
    expect(connections.undecided).toBe(count);
    const report = await client.stop();
    expect([report.failures, report.lastFailure]).toEqual([0, undefined]);
    expect(report.connections).toBeGreaterThan(20);
  });
});
