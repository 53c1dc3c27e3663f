// SPDX-License-Identifier: Apache-2.0
// Everybody who may come to a gate, everything that an operator may do with it, and at the end it holds what it held
// at the beginning: memory, descriptors, entries, timers, listeners, maps, pins. `make soak` takes ten minutes,
// SOAK_SEED repeats a run.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { Child } from "../harness/child.ts";
import type { Crowd } from "../harness/crowd_main.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { holdings, wakeUps } from "../harness/holdings.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { createRandom, pick } from "../harness/random.ts";
import { slopeOf } from "../harness/slope.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep } from "../harness/wait.ts";

const seconds = Number(process.env["SOAK_SECONDS"] ?? 60);
const seed = Number(process.env["SOAK_SEED"] ?? Date.now() % 1_000_000);
const rate = Number(process.env["SOAK_RATE"] ?? 200);
/** What an operator does in a second. */
const deedsPerSecond = 10;
/** After 50,000 connections and 3000 deeds the heap has found its size: a shorter run says nothing of a slope. */
const warmUpSeconds = Math.ceil(seconds / 2);
const hasSlope = warmUpSeconds >= 300;
/** What the heap takes until then. */
const mostAtFirst = 64;
const blockSeconds = Math.max(5, Math.floor(seconds / 20));
/** So little may be chance: a connection leaves less than 25 bytes. */
const mostPerMinute = 0.25;

setDefaultTimeout((seconds + 120) * 1000);

const crowd = join(import.meta.dirname, "../harness/crowd_main.ts");

type Deed = (gate: RunningGate, source: string) => Promise<unknown>;

async function text(gate: RunningGate, path: string): Promise<string> {
  return (await gate.fetch(path)).text();
}

const deeds: Readonly<Record<string, Deed>> = {
  status: (gate) => text(gate, "/status"),
  metrics: (gate) => text(gate, "/metrics"),
  readyz: (gate) => text(gate, "/readyz"),
  page: (gate) => text(gate, "/"),
  bans: (gate) => text(gate, "/bans"),
  why: (gate, source) => text(gate, `/why/${source}`),
  "follow and hang up": async (gate) => {
    const stop = new AbortController();
    const reply = await gate.fetch("/events", { signal: stop.signal });
    await reply.body?.getReader().read();
    stop.abort();
  },
  "ask and hang up": async (gate) => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 1);
    await gate.fetch("/history", { signal: stop.signal }).catch(() => {});
  },
  ban: (gate, source) =>
    gate.fetch("/bans", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ address: source, for: "2s" }),
    }),
  lift: (gate, source) => gate.fetch(`/bans/${source}`, { method: "DELETE" }),
  reload: async (gate) => gate.child.signal("SIGHUP"),
};

describeWith("namespaces", "executable")(`a soak of ${seconds} s (SOAK_SEED=${seed})`, () => {
  test("leaves nothing behind", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network({ clients: 200 }));
    const map = stack.use(new BlockMap());
    const state = stack.use(new TempDir());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const options = ["-B", map.name, "-t", "2s", "--first-packet", "1s", "--idle", "5s", "--state", state.path];
    const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
    const at = ["--host", network.gateIpv4, "--port", "5000"];
    const addresses = (first: number, last: number) =>
      Array.from({ length: last - first + 1 }, (_, index) => network.clientIpv4(first + index));
    const [friends, others] = [addresses(2, 30), addresses(31, 199)];
    const from = [...friends.flatMap((one) => ["--friend", one]), ...others.flatMap((one) => ["--from", one])];
    await sleep(3000);
    const before = { ...(await holdings(gate, network, map)), wakeUps: await wakeUps(gate, 5) };

    const client = stack.use(await startClient(network.client, ...at, "--from", network.clientIpv4(1)));
    const people = stack.use(
      new Child([process.execPath, crowd, ...at, "--rate", String(rate), "--seed", String(seed), ...from], {
        namespace: network.client,
      }),
    );
    await people.said(/ready/);
    const random = createRandom(seed);
    const done: Record<string, number> = {};
    const memory: number[] = [];
    for (const startMs = performance.now(); performance.now() - startMs < seconds * 1000; ) {
      const secondMs = startMs + memory.length * 1000;
      for (let count = 0; count < deedsPerSecond; count++) {
        const [name, deed] = pick(random, Object.entries(deeds));
        done[name] = (done[name] ?? 0) + 1;
        await deed(gate, pick(random, others));
      }
      memory.push((await gate.residentBytes()) / 1048576);
      await sleep(Math.max(0, secondMs + 1000 - performance.now()));
    }
    const { stdout } = await people.stop();
    const said = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Crowd;
    const { failures } = await client.stop();
    const { connections } = await gate.status();
    await gate.until("the end of all connections and bans", (status) => {
      return status.connections.active === 0 && status.bans.active === 0;
    });
    await sleep(3000);
    const after = { ...(await holdings(gate, network, map)), wakeUps: await wakeUps(gate, 5) };

    const slope = slopeOf(memory.slice(warmUpSeconds), blockSeconds);
    const figures = [memory[0], memory[warmUpSeconds], memory.at(-1)].map((mebibytes) => mebibytes?.toFixed(0));
    console.log(`${connections.accepted} connections, ${JSON.stringify(said.came)}, ${JSON.stringify(done)}`);
    console.log(`MiB at the start, when warm, at the end: ${figures.join(", ")}; a minute ${JSON.stringify(slope)}`);
    const halfMinutes = Array.from({ length: Math.ceil(memory.length / 30) }, (_, at) =>
      Math.min(...memory.slice(at * 30, at * 30 + 30)).toFixed(0),
    );
    console.log(`least MiB of each half minute: ${halfMinutes.join(" ")}`);
    console.log(`before ${JSON.stringify(before)}\nafter  ${JSON.stringify(after)}`);
    expect({ failures, crowd: said.failures }).toEqual({ failures: 0, crowd: {} });
    const { wakeUps: wokeBefore, ...heldBefore } = before;
    const { wakeUps: wokeAfter, ...heldAfter } = after;
    expect(heldAfter).toEqual(heldBefore);
    expect(wokeAfter).toBeLessThan(wokeBefore * 1.5 + 10);
    if (hasSlope) expect(slope.atLeast).toBeLessThan(mostPerMinute);
    expect((memory.at(-1) ?? 0) - (memory[0] ?? 0)).toBeLessThan(mostAtFirst);
    await gate.child.stop();
    expect(map.pins()).toEqual([]);
  });
});
