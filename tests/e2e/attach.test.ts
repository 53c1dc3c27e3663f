// SPDX-License-Identifier: Apache-2.0
// Where the gate has to put its program somewhere else, or put it back: what is told is what is done.

import { expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../harness/child.ts";
import { attachForeign } from "../harness/foreign_xdp.ts";
import { BlockMap, RunningGate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(30_000);

async function speakHttp(network: Network, gate: RunningGate, from: string): Promise<void> {
  const argv = ["curl", "-sS", "--max-time", "5", "--interface", from, `http://${network.gateIpv4}:5000/`];
  await run(argv, { namespace: network.client });
  await gate.banned(from);
}

describeWith("namespaces", "executable")("the way to the packets", () => {
  test("somebody else's XDP program stays; the gate blocks beside it and says so", async () => {
    using network = new Network();
    using map = new BlockMap();
    await using _server = await startServer(network.gate, "--port", "5001");
    await attachForeign(network, map);
    const foreign = xdpPrograms(network.gate, network.device);
    expect(foreign).toHaveLength(1);
    await using gate = await RunningGate.start(["-B", map.name, "-i", network.device], { namespace: network.gate });
    const { kernel } = await gate.status();
    expect(kernel.attach).toBe("tc");
    expect(kernel.reason).toContain("EBUSY");
    await gate.child.said(`Interface "${network.device}": guarded by tc`);
    await speakHttp(network, gate, network.clientIpv4(3));
    const knock = await probeFrom(network.client, {
      ...{ host: network.gateIpv4, port: 5000, from: network.clientIpv4(3), waitMs: 300 },
    });
    expect(knock.outcome).toBe("no answer");
    expect(xdpPrograms(network.gate, network.device)).toEqual(foreign);
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    expect(xdpPrograms(network.gate, network.device)).toEqual(foreign);
    expect(map.pins()).toEqual([`${map.path}_foreign`]);
  });

  test("on loopback it is generic XDP, with the reason", async () => {
    using network = new Network();
    using map = new BlockMap();
    await using gate = await RunningGate.start(["-B", map.name, "-i", "lo"], { namespace: network.gate });
    const { kernel } = await gate.status();
    expect(kernel.attach).toBe("generic");
    expect(kernel.reason).toContain("EOPNOTSUPP");
  });

  test("an interface that goes away and comes back is guarded again within 2 s", async () => {
    using network = new Network();
    using map = new BlockMap();
    await using _server = await startServer(network.gate, "--port", "5001");
    const options = ["-B", map.name, "-i", "lo", "-i", network.device];
    await using gate = await RunningGate.start(options, { namespace: network.gate });
    const modeOf = async (name: string) =>
      (await gate.status()).kernel.interfaces.find((one) => one.name === name)?.attach ?? "not listed";
    expect(await modeOf(network.device)).toBe("native");
    await speakHttp(network, gate, network.clientIpv4(3));
    network.cut();
    await waitFor("the loss to be told", async () => (await modeOf(network.device)) === "none");
    expect(await modeOf("lo")).toBe("generic");
    network.join();
    const joined = performance.now();
    await waitFor("the program on the new interface", () => xdpPrograms(network.gate, network.device).length === 1);
    expect(performance.now() - joined).toBeLessThan(2000);
    const knock = (client: number) =>
      probeFrom(network.client, {
        ...{ host: network.gateIpv4, port: 5000, from: network.clientIpv4(client), waitMs: 400 },
      });
    expect((await knock(3)).outcome).toBe("no answer");
    await waitFor("the good client's way in", async () => (await knock(4)).outcome === "open");
    expect(await modeOf(network.device)).toBe("native");
    expect(ip("-n", network.gate, "-br", "link")).toContain(network.device);
  });
});
