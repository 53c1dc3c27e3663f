// SPDX-License-Identifier: Apache-2.0
// Take-over after take-over, while clients come 500 a second and a thousand sources are banned: nobody is refused or
// reset, nothing banned or unjudged comes through, and nothing grows. SOAK_SEED repeats a run, SOAK_TAKEOVERS=50 makes
// it as long as a release wants it.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Arrivals } from "../harness/arrivals_main.ts";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { createFractions } from "../harness/random.ts";
import { startServer } from "../harness/standin.ts";
import { listenForStreams, sendStream } from "../harness/stream.ts";
import { handsOver } from "../harness/takeover.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep } from "../harness/wait.ts";

const takeovers = Number(process.env["SOAK_TAKEOVERS"] ?? 4);
const seed = Number(process.env["SOAK_SEED"] ?? Date.now() % 1_000_000);
const rate = 500;
const streamPort = 7000;

setDefaultTimeout((takeovers * 8 + 120) * 1000);

const arrivals = join(import.meta.dirname, "../harness/arrivals_main.ts");
const http = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n")];

/** What a process has in its hands. */
function descriptors(gate: RunningGate): number {
  return readdirSync(`/proc/${gate.child.pid}/fd`).length;
}

describeWith("namespaces", "executable")(`${takeovers} take-overs (SOAK_SEED=${seed})`, () => {
  test.each(["proxy", "inline"] as const)("in mode %s", async (mode) => {
    await using stack = new AsyncDisposableStack();
    const random = createFractions(seed);
    const network = stack.use(new Network({ clients: 120 }));
    const map = stack.use(new BlockMap());
    const state = stack.use(new TempDir());
    const isInline = mode === "inline";
    const host = isInline ? network.gateIpv4 : "127.0.0.1";
    const server = stack.use(await startServer(network.gate, "--host", host, "--port", isInline ? "5000" : "5001"));
    const options = ["-B", map.name, "-i", network.device, "--scope", "host", "-m", mode, "--state", state.path];
    const begin = async (...more: readonly string[]) => {
      const gate = await RunningGate.start([...options, "-l", `${network.gateIpv4}:5000`, ...more], {
        namespace: network.gate,
      });
      stack.use(gate);
      await handsOver(gate);
      return gate;
    };
    let gate = await begin();
    const banned = network.clientIpv4(119);
    const list = Array.from({ length: 999 }, (_, index) => `198.18.${index >> 8}.${index & 255}`);
    for (let start = 0; start < list.length; start += 500) {
      const body = list.slice(start, start + 500).join("\n");
      expect((await gate.fetch("/bans/list?for=1h", { method: "POST", body })).status).toBe(200);
    }
    await gate.command("ban", banned, "--for", "1h");
    const listener = stack.use(await listenForStreams(network.gate, network.gateIpv4, streamPort));
    const stream = stack.use(await sendStream(network.client, banned, network.gateIpv4, streamPort));
    const sources = Array.from({ length: 20 }, (_, index) => ["--from", network.clientIpv4(index + 2)]).flat();
    const argv = [process.execPath, arrivals, "--host", network.gateIpv4, "--port", "5000", "--rate", String(rate)];
    const clients = stack.use(new Child([...argv, ...sources], { namespace: network.client }));
    await clients.said(/ready/);
    await sleep(1000);

    const memory: number[] = [];
    const fds: number[] = [];
    let knocked = 0;
    for (let turn = 0; turn < takeovers; turn++) {
      await sleep(200 + random() * 400);
      const before = gate;
      const drainMs = Math.round(200 + random() * 1000);
      // A stranger knocks at any moment of it.
      const stranger = network.clientIpv4(25 + (knocked++ % 90));
      const knock = sleep(random() * 600).then(() =>
        probeFrom(network.client, {
          ...{ host: network.gateIpv4, port: 5000, from: stranger, send: http },
          ...{ delayMs: Math.round(random() * 300), waitMs: 1500 },
        }),
      );
      gate = await begin("--takeover", "--drain", `${drainMs}ms`).catch((cause: unknown) => {
        throw new Error(`Take-over ${turn + 1} failed; the one before says:\n${before.child.stderr}`, { cause });
      });
      await knock;
      expect(await gate.banned(stranger)).toMatchObject({ protocol: "http" });
      expect(await before.child.done(10_000)).toMatchObject({ code: 0 });
      await gate.command("lift", stranger);
      await sleep(300);
      memory.push(await gate.residentBytes());
      // The least of some moments: a program that lists rules has pipes for as long as it runs.
      const counts: number[] = [];
      for (let moment = 0; moment < 5; moment++) {
        counts.push(descriptors(gate));
        await sleep(50);
      }
      fds.push(Math.min(...counts));
      expect(xdpPrograms(network.gate, network.device)).toHaveLength(1);
      expect((await gate.status()).bans.active).toBe(1000);
    }
    const { stdout } = await clients.stop();
    const said = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Arrivals;
    const sent = await stream.stop();
    const received = await listener.stop();
    const { strangers } = await server.stop();
    const mebibytes = memory.map((bytes) => Math.round(bytes / 1048576));
    const figures = `${said.arrived} arrivals, longest ${said.longestMs.toFixed(0)} ms, banned ${sent.sent} datagrams`;
    console.log(`${mode}: ${figures}; MiB ${mebibytes.join(" ")}; descriptors ${fds.join(" ")}`);
    expect({ failures: said.failures, strangers }).toEqual({ failures: {}, strangers: 0 });
    expect(said.served).toBe(said.arrived);
    expect(said.arrived).toBeGreaterThan(takeovers * 200);
    expect(sent.sent).toBeGreaterThan(500);
    expect(received).toEqual({ datagrams: {}, connections: {} });
    // Those of clients come and go; what each gate leaves to the next would be there for good.
    const half = Math.ceil(takeovers / 2);
    const least = (values: readonly number[]) => [Math.min(...values.slice(0, half)), Math.min(...values.slice(half))];
    const [fdsBefore = 0, fdsAfter = 0] = least(fds);
    expect(fdsAfter).toBeLessThanOrEqual(fdsBefore + 4);
    const [memoryBefore = 0, memoryAfter = 0] = least(mebibytes);
    expect(memoryAfter).toBeLessThan(memoryBefore * 1.1 + 5);
  });
});
