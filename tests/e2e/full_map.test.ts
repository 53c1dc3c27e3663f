// SPDX-License-Identifier: Apache-2.0
// More banned sources than the kernel's map has room for: user space goes on enforcing, nobody banned
// gets in, nobody good is hurt, and the status says so.

import { expect, setDefaultTimeout, test } from "bun:test";
import { BlockMap, bpftool, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { ownNetwork, swarm } from "../harness/swarm.ts";

setDefaultTimeout(180_000);

const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
const sources = 20_000;
/** Apart, so that no prefix holds two of them without holding strangers. */
const step = 3;

describeWith("namespaces", "executable")("a full map", () => {
  test.each([
    ["the documented map", ["key", "4", "value", "4", "entries", "1024"], 1024],
    ["ttgate's own map, made small", ["key", "16", "value", "40", "entries", "512", "flags", "1"], 512],
  ] as const)("%s and 20,000 sources", async (_name, geometry, capacity) => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    ownNetwork(network, "10.78.0.0/15");
    const map = stack.use(new BlockMap());
    bpftool(["map", "create", map.path, "type", "hash", ...geometry, "name", "tapetrack_block_map"]);
    const server = stack.use(await startServer(network.gate, "--port", "5001"));
    const options = ["-B", map.name, "-i", network.device, "-t", "1h", "--allow", "10.78.0.4/30"];
    const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
    const where = ["--host", network.gateIpv4, "--port", "5000", "--from", network.clientIpv4(2)];
    const friend = stack.use(await startClient(network.client, ...where));

    // The first is to be remembered for longest: it must not make room for later ones.
    expect((await gate.command("ban", "10.79.200.1", "--for", "7d")).code).toBe(0);
    const first = await swarm(network, { base: "10.78.0.10", count: sources, step, send: request });
    expect(first).toEqual({ reset: sources });
    const { bans, kernel, connections } = await gate.status();
    expect(connections.foreign).toBe(sources);
    expect(bans.active).toBe(sources + 1);
    expect(kernel.capacity).toBe(capacity);
    expect(kernel.entries).toBeLessThanOrEqual(capacity);
    expect(kernel.entries).toBeGreaterThan(capacity * 0.9);
    expect(kernel.failed).toBe(0);
    expect(bans.userSpaceOnly).toBe(sources + 1 - kernel.entries);

    const again = await swarm(network, { base: "10.78.0.10", count: 400, step: step * 50, waitMs: 400 });
    const { reset = 0, "no answer": dropped = 0 } = again;
    expect(reset + dropped).toBe(400);
    expect((await gate.status()).connections.refusedBanned).toBe(reset);
    const long = await swarm(network, { base: "10.79.200.1", count: 1, waitMs: 400 });
    expect(long).toEqual({ "no answer": 1 });
    // Neighbours that did nothing, among them the allowed ones.
    const neighbours = await swarm(network, { base: "10.78.0.4", count: 4, waitMs: 400 });
    expect(neighbours).toEqual({ open: 4 });

    expect(await friend.stop()).toMatchObject({ failures: 0 });
    expect(await server.stop()).toMatchObject({ strangers: 0 });
  });

  test("dense neighbours are folded, never over an allowed address, and one of them can be let out", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    ownNetwork(network, "10.78.0.0/15");
    const map = stack.use(new BlockMap());
    const geometry = ["type", "hash", "key", "16", "value", "40", "entries", "256", "flags", "1"];
    bpftool(["map", "create", map.path, ...geometry, "name", "small"]);
    stack.use(await startServer(network.gate, "--port", "5001"));
    const allowed = "10.78.3.77";
    const options = ["-B", map.name, "-i", network.device, "-t", "1h", "--allow", allowed];
    const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));

    // Those who come when their neighbours are folded already do not get so far as to speak.
    const first = await swarm(network, { base: "10.78.0.0", count: 2048, send: request, waitMs: 700 });
    expect(first.ended).toBeUndefined();
    expect(first.reset).toBeGreaterThan(1000);
    const { bans, connections } = await gate.status();
    expect(connections).toMatchObject({ relayed: 0, spared: 1 });
    expect(bans.folds).toBeGreaterThanOrEqual(4);

    const whole = await swarm(network, { base: "10.78.5.0", count: 256, waitMs: 400 });
    expect(whole).toEqual({ "no answer": 256 });
    const around = await swarm(network, { base: "10.78.3.0", count: 256, waitMs: 400 });
    expect(around).toMatchObject({ open: 1 });
    expect((around.reset ?? 0) + (around["no answer"] ?? 0)).toBe(255);

    expect((await gate.command("lift", "10.78.5.9")).code).toBe(0);
    expect(await swarm(network, { base: "10.78.5.9", count: 1, waitMs: 400 })).toEqual({ open: 1 });
    const others = await swarm(network, { base: "10.78.5.10", count: 100, waitMs: 400 });
    expect((others.reset ?? 0) + (others["no answer"] ?? 0)).toBe(100);
  });
});
