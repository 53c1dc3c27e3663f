// SPDX-License-Identifier: Apache-2.0
// Real clients of other protocols: each is banned on its first bytes, its next packets are dropped in
// the kernel, the good client notices nothing, and the ban ends by itself.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { type StandInClient, type StandInServer, startClient, startServer } from "../harness/standin.ts";
import { strangers } from "../harness/strangers.ts";

setDefaultTimeout(30_000);

const timeoutSeconds = 6;

describeWith("namespaces", "executable")("a gate with the kernel block", () => {
  let stack: AsyncDisposableStack;
  let network: Network;
  let map: BlockMap;
  let gate: RunningGate;
  let server: StandInServer;
  let friend: StandInClient;
  let friend6: StandInClient;
  let nextClient = 10;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    network = stack.use(new Network({ clients: 40 }));
    map = stack.use(new BlockMap());
    server = stack.use(await startServer(network.gate, "--port", "5001"));
    const options = ["-B", map.name, "-i", network.device, "-t", `${timeoutSeconds}s`];
    gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
    const port = ["--port", "5000", "--rate", "50", "--reconnect", "5"];
    friend = stack.use(
      await startClient(network.client, "--host", network.gateIpv4, "--from", network.clientIpv4(1), ...port),
    );
    friend6 = stack.use(
      await startClient(network.client, "--host", network.gateIpv6, "--from", network.clientIpv6(2), ...port),
    );
    await friend.until("an exchange", ({ packets }) => packets > 0);
    await friend6.until("an exchange over IPv6", ({ packets }) => packets > 0);
  });

  afterAll(() => stack.disposeAsync());

  test("XDP is attached natively on the veth pair", async () => {
    const { kernel } = await gate.status();
    expect(kernel).toMatchObject({ attach: "native", reason: null, map: map.path, failed: 0 });
    expect(xdpPrograms(network.gate, network.device)).toHaveLength(1);
    const ready = await gate.fetch("/readyz");
    expect(await ready.json()).toEqual({ ready: true, reasons: [] });
  });

  describe.each(strangers)("$name", (stranger) => {
    test.each(["IPv4", "IPv6"])("over %s is out with its first bytes, and its next SYN is dropped", async (family) => {
      const client = nextClient++;
      const v4 = family === "IPv4";
      const host = v4 ? network.gateIpv4 : network.gateIpv6;
      const from = v4 ? network.clientIpv4(client) : network.clientIpv6(client);
      const input = stranger.input === undefined ? {} : { input: stranger.input };
      const before = await gate.status();

      const visit = await run(stranger.argv(host, from), { namespace: network.client, ...input });
      const source = v4 ? from : `fd77:0:${client.toString(16)}::/64`;
      const ban = await gate.banned(from);
      expect(ban).toMatchObject({ source, protocol: stranger.protocol, by: "sniffer" });
      expect(ban.evidence).toMatchObject({ client: from, port: 5000 });
      // nc takes a reset for the end of the conversation.
      if (stranger.name !== "nc") expect(visit.code).not.toBe(0);

      const second = await probeFrom(network.client, { host, port: 5000, from, waitMs: 300 });
      expect(second.outcome).toBe("no answer");
      const after = await gate.until(
        "a dropped SYN",
        ({ kernel }) => kernel.droppedPackets > before.kernel.droppedPackets,
      );
      expect((await gate.ban(from))?.packets).toBeGreaterThan(0);
      expect(after.connections.refusedBanned).toBe(before.connections.refusedBanned);
      expect(after.connections.foreign).toBe(before.connections.foreign + 1);
    });
  });

  test("a ban ends on time, and the same source gets in again", async () => {
    const from = network.clientIpv4(5);
    await run(["curl", "-sS", "--interface", from, `http://${network.gateIpv4}:5000/`], { namespace: network.client });
    const started = performance.now();
    const ban = await gate.banned(from);
    expect(ban.remainingSeconds).toBeGreaterThan(timeoutSeconds - 2);
    expect(ban.remainingSeconds).toBeLessThanOrEqual(timeoutSeconds);
    const back = await startClient(
      network.client,
      "--host",
      network.gateIpv4,
      "--port",
      "5000",
      "--from",
      from,
      "--rate",
      "10",
    );
    await using client = back;
    await client.until("an exchange after the ban", ({ packets }) => packets > 0, 20_000);
    // The kernel lets it in to the millisecond; the rest is SYN retries, a second and then two apart.
    expect(performance.now() - started).toBeGreaterThan((timeoutSeconds - 1) * 1000);
    await gate.until("the end of the ban", ({ bans }) => bans.active === 0, 20_000);
    const { kernel } = await gate.until("an empty map", (status) => status.kernel.entries === 0);
    expect(kernel.entries).toBe(0);
  });

  test("the good clients noticed nothing, and the server met no stranger", async () => {
    for (const client of [friend, friend6]) {
      const { packets, failures, lastFailure } = await client.stop();
      expect({ failures, lastFailure }).toEqual({ failures: 0, lastFailure: undefined });
      expect(packets).toBeGreaterThan(100);
    }
    const { strangers: met, packets } = await server.stop();
    expect(met).toBe(0);
    expect(packets).toBeGreaterThan(200);
    const { bans, connections } = await gate.status();
    expect(bans.byProtocol).toEqual({ http: 3, tls: 4, ssh: 2, text: 2 });
    expect(connections.cut).toBe(0);
  });
});
