// SPDX-License-Identifier: Apache-2.0
// kill -9, twenty times at any moment, while a banned source knocks and strangers come: no ban is lost, nothing of
// the banned source gets through, and the last one to stop leaves nothing.
import { expect, setDefaultTimeout, test } from "bun:test";
import process from "node:process";
import { BlockMap, RunningGate, xdpPrograms } from "../../harness/gate.ts";
import { describeWith } from "../../harness/needs.ts";
import { Network } from "../../harness/netns.ts";
import { probeFrom } from "../../harness/probe.ts";
import { createFractions } from "../../harness/random.ts";
import { startServer } from "../../harness/standin.ts";
import { listenForStreams, sendStream } from "../../harness/stream.ts";
import { TempDir } from "../../harness/temp_dir.ts";
import { sleep } from "../../harness/wait.ts";

const kills = 20;
const streamPort = 7000;
const seed = Number(process.env["KILL_SEED"] ?? Date.now() % 1_000_000);

setDefaultTimeout(300_000);

const http = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n")];

describeWith("namespaces", "executable")(`${kills} times kill -9 (KILL_SEED=${seed})`, () => {
  test.each(["proxy", "inline"] as const)("in mode %s", async (mode) => {
    await using stack = new AsyncDisposableStack();
    const random = createFractions(seed);
    const network = stack.use(new Network({ clients: 60 }));
    const map = stack.use(new BlockMap());
    const state = stack.use(new TempDir());
    const isInline = mode === "inline";
    stack.use(await startServer(network.gate, "--host", "0.0.0.0", "--port", isInline ? "5000" : "5001"));
    const scope = ["--scope", "host", "-i", network.device];
    const options = ["-B", map.name, "-m", mode, "-t", "1h", "--state", state.path, ...scope];
    const start = async () => stack.use(await RunningGate.start(options, { namespace: network.gate }));
    const knock = (from: string) =>
      probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send: http, waitMs: 1000 });
    let gate = await start();
    const banned = [network.clientIpv4(2)];
    await knock(network.clientIpv4(2));
    await gate.banned(network.clientIpv4(2));
    const listener = stack.use(await listenForStreams(network.gate, network.gateIpv4, streamPort));
    const stream = stack.use(await sendStream(network.client, network.clientIpv4(2), network.gateIpv4, streamPort));
    let slowestMs = 0;
    for (let turn = 0; turn < kills; turn++) {
      const stranger = network.clientIpv4(turn + 3);
      await knock(stranger);
      await gate.banned(stranger);
      banned.push(stranger);
      // The journal is written four times a second; the kernel has the ban at once.
      await sleep(random() * 400);
      gate.child.signal("SIGKILL");
      expect(await gate.child.done()).toMatchObject({ signal: "SIGKILL" });
      const startedMs = performance.now();
      gate = await start();
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
      const held = new Set((await gate.bans()).map(({ source }) => source));
      expect(banned.filter((source) => !held.has(source))).toEqual([]);
      expect(xdpPrograms(network.gate, network.device)).toHaveLength(1);
    }
    const sent = await stream.stop();
    expect(await listener.stop()).toEqual({ datagrams: {}, connections: {} });
    expect(sent.sent).toBeGreaterThan(500);
    console.log(`${mode}: ${sent.sent} datagrams of a banned source, slowest start ${slowestMs.toFixed(0)} ms`);
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    expect(map.pins()).toEqual([]);
    expect(xdpPrograms(network.gate, network.device)).toEqual([]);
  });
});
