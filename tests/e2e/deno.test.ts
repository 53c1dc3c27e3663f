// SPDX-License-Identifier: Apache-2.0
// The same gate from its sources under Deno: relay, ban, kernel block, expiry, clean stop.

import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

describeWith("namespaces", "deno")("ttgate under Deno", () => {
  test("relays friends, bans strangers in the kernel, lets them in again, and leaves nothing behind", async () => {
    using network = new Network();
    using map = new BlockMap();
    await using server = await startServer(network.gate, "--port", "5001");
    const options = ["-B", map.name, "-i", network.device, "-t", "5s"];
    await using gate = await RunningGate.start(options, { namespace: network.gate, form: "deno" });
    const to = ["--host", network.gateIpv4, "--port", "5000"];
    await using friend = await startClient(network.client, ...to, "--from", network.clientIpv4(1), "--reconnect", "5");
    await friend.until("an exchange", ({ packets }) => packets > 0);
    const { kernel, runtime } = await gate.status();
    expect(kernel).toMatchObject({ attach: "native", map: map.path });
    expect(runtime).toStartWith("deno ");

    for (const [client, host] of [
      [3, network.gateIpv4],
      [4, `[${network.gateIpv6}]`],
    ] as const) {
      const from = host.startsWith("[") ? network.clientIpv6(client) : network.clientIpv4(client);
      const curl = ["curl", "-sSk", "--max-time", "5", "--interface", from, `https://${host}:5000/`];
      expect((await run(curl, { namespace: network.client })).code).not.toBe(0);
      expect(await gate.banned(from)).toMatchObject({ protocol: "tls" });
      const plainHost = host.replace(/[[\]]/g, "");
      const second = await probeFrom(network.client, { host: plainHost, port: 5000, from, waitMs: 300 });
      expect(second.outcome).toBe("no answer");
    }
    await gate.until("dropped SYNs", (status) => status.kernel.droppedPackets >= 2);
    await gate.until("the end of the bans", ({ bans }) => bans.active === 0, 15_000);
    await using back = await startClient(network.client, ...to, "--from", network.clientIpv4(3));
    await back.until("an exchange after the ban", ({ packets }) => packets > 0);

    expect(await friend.stop()).toMatchObject({ failures: 0 });
    expect(await server.stop()).toMatchObject({ strangers: 0 });
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    expect(map.pins()).toEqual([]);
    expect(xdpPrograms(network.gate, network.device)).toEqual([]);
  });

  test("saves bans and records what strangers send, over a restart", async () => {
    using network = new Network();
    using directory = new TempDir();
    const recording = directory.file("recording");
    const options = ["--state", directory.file("state"), "--record", recording, "-u", "127.0.0.1:9"];
    const from = network.clientIpv4(3);
    {
      await using gate = await RunningGate.start(options, { namespace: network.gate, form: "deno" });
      const send = [new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n")];
      await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send, waitMs: 500 });
      await gate.banned(from);
      await waitFor("a recording", () => readFileSync(recording, "utf8") !== "");
      expect(await (await gate.fetch("/readyz")).json()).not.toHaveProperty("notes");
    }
    await using gate = await RunningGate.start(options, { namespace: network.gate, form: "deno" });
    expect(await gate.banned(from)).toMatchObject({ protocol: "http", by: "sniffer" });
  });
});
