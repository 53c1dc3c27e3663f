// SPDX-License-Identifier: Apache-2.0
// Start and stop: how soon it listens, what it weighs, and what it leaves behind.
// Runs alone: it measures how soon a gate listens.

import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { Child, run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { openScene } from "../harness/scene.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(30_000);

async function start(network: Network, map: BlockMap, ...args: readonly string[]): Promise<RunningGate> {
  const options = ["-B", map.name, "-i", network.device, "-t", "60s", ...args];
  return RunningGate.start(options, { namespace: network.gate });
}

async function speakHttp(network: Network, from: string): Promise<void> {
  const url = `http://${network.gateIpv4}:5000/`;
  await run(["curl", "-sS", "--max-time", "5", "--interface", from, url], { namespace: network.client });
}

/** How long a process was ready to run and others had the CPU: that is not its own slowness. */
function waitedMs(pid: number): number {
  if (!existsSync(`/proc/${pid}/schedstat`)) return 0;
  return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
}

/** Mebibytes: 65 measured, 25 of them its own; up to 12 more of a file written just now, mapped in larger pieces. */
const idleLimit = 80;
const listenLimitMs = 200;

describeWith("namespaces", "executable")("a gate with -B", () => {
  test(`listens within ${listenLimitMs} ms of exec, and stays below ${idleLimit} MiB`, async () => {
    using network = new Network();
    const durations: number[] = [];
    const sizes: number[] = [];
    for (let attempt = 0; attempt < 5; attempt++) {
      using map = new BlockMap();
      const startedMs = Date.now();
      await using gate = await start(network, map);
      const logged = /^(\S+) info Listening on/m.exec(gate.child.stderr)?.[1];
      durations.push(new Date(logged ?? 0).getTime() - startedMs - waitedMs(gate.child.pid));
      await sleep(500);
      sizes.push((await gate.residentBytes()) / 1024 / 1024);
    }
    console.log(
      `listening after ${durations.map(Math.round).join(", ")} ms; ${sizes.map((size) => size.toFixed(1)).join(", ")} MiB`,
    );
    expect(Math.min(...durations)).toBeWithin(1, listenLimitMs);
    expect(Math.min(...sizes)).toBeWithin(1, idleLimit);
  });

  test("goes on when it gets a signal that other daemons open their logs anew by, and says so", async () => {
    await using stack = new AsyncDisposableStack();
    const { gate } = await openScene(stack);
    for (const signal of ["SIGUSR1", "SIGUSR2"] as const) {
      gate.child.signal(signal);
      await gate.child.said(`Nothing is done on ${signal}: SIGHUP reloads, SIGTERM stops`);
    }
    expect((await gate.fetch("/readyz")).status).toBe(200);
  });

  test("that gets SIGHUP while it starts reloads once it has started", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    const directory = stack.use(new TempDir());
    const config = directory.write("gate.toml", 'timeout = "1m"\n');
    const status = `unix:${directory.file("status")}`;
    // A server that does not answer is waited for a moment before the start is over.
    const silent = "10.77.9.9:5001";
    const argv = ttgate(["-c", config, "-s", status, "-B", map.name, "-u", silent]);
    const gate = stack.use(new Child(argv, { namespace: network.gate, cwd: directory.path }));
    await gate.said(/Listening on/);
    directory.write("gate.toml", 'timeout = "2m"\n');
    gate.signal("SIGHUP");
    await gate.said(/Audit: reload by the signal SIGHUP/);
    await waitFor("the new time-out", async () => {
      const { stdout } = await run(["curl", "-s", "--unix-socket", directory.file("status"), "http://x/status"]);
      return JSON.parse(stdout).gates[0].timeoutSeconds === 120;
    });
    expect(await gate.stop()).toMatchObject({ code: 0 });
  });

  test.each(["SIGTERM", "SIGINT"] as const)("leaves nothing behind after %s", async (signal) => {
    using network = new Network();
    using map = new BlockMap();
    await using _server = await startServer(network.gate, "--port", "5001");
    await using gate = await start(network, map);
    await using _client = await startClient(
      network.client,
      ...["--host", network.gateIpv4, "--port", "5000", "--from", network.clientIpv4(1)],
    );
    await speakHttp(network, network.clientIpv4(2));
    await gate.banned(network.clientIpv4(2));
    expect(map.pins().length).toBeGreaterThan(0);
    expect(xdpPrograms(network.gate, network.device)).toHaveLength(1);
    const { pid } = gate.child;
    const end = await gate.child.stop(signal);
    expect(end).toMatchObject({ code: 0, signal: undefined });
    expect(map.pins()).toEqual([]);
    expect(xdpPrograms(network.gate, network.device)).toEqual([]);
    expect(existsSync(`/run/ttgate/${pid}.json`)).toBe(false);
  });

  test("with --keep leaves the block in place, and ttgate detach takes it away", async () => {
    using network = new Network();
    using map = new BlockMap();
    await using _server = await startServer(network.gate, "--port", "5001");
    const from = network.clientIpv4(2);
    {
      await using gate = await start(network, map, "--keep");
      await speakHttp(network, from);
      await gate.banned(from);
      expect(await gate.child.stop()).toMatchObject({ code: 0 });
    }
    expect(xdpPrograms(network.gate, network.device)).toHaveLength(1);
    await using _listener = await startServer(network.gate, "--host", network.gateIpv4, "--port", "5000");
    const knock = () => probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 400 });
    expect((await knock()).outcome).toBe("no answer");
    const detached = await run(ttgate(["detach", map.name]), { namespace: network.gate });
    expect(detached).toMatchObject({ code: 0, stderr: "" });
    expect(map.pins()).toEqual([]);
    await waitFor("the way in", async () => (await knock()).outcome === "open");
  });
});
