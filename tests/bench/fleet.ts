// SPDX-License-Identifier: Apache-2.0
// How fast a ban travels in a fleet, from a ban at one gate to the entry in another one's kernel; what a delivered ban
// costs; how long the gates take to be of one mind after a partition, and to catch up with a long list. Real gates, a
// real redis-server, all on this machine. Run it by `make bench FLEET=1`, as root: FLEET_GATES=8 FLEET_RATE=200
// FLEET_SECONDS=10 FLEET_BANS=100000 FLEET_WARM=20000 FLEET_PARTITION=60 (seconds; 0: none). Of what the gates do no more
// is looked at than has to be: one of them is followed, the others are asked when all is over.
import { cpus, loadavg } from "node:os";
import process from "node:process";
import type { BanView } from "../../src/status/snapshot.ts";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { freePort } from "../harness/ports.ts";
import { RedisServer } from "../harness/redis.ts";
import { sleep, waitFor } from "../harness/wait.ts";
import { cpuSeconds } from "./subjects.ts";

const number = (name: string, usual: number) => Number(process.env[name] ?? usual);
const gates = number("FLEET_GATES", 8);
const rate = number("FLEET_RATE", 200);
const seconds = number("FLEET_SECONDS", 10);
const bans = number("FLEET_BANS", 100_000);
const partition = number("FLEET_PARTITION", 60);
/** While some gates are cut off. */
const partitionRate = 20;
/** On either side of the cut. */
const lifts = 50;
/** Beyond what a gate takes by default, which is not what is measured. */
const limits = ["--fleet-rate", "10000000", "--fleet-most", "10000000"];
const patienceMs = 300_000;
const pageSize = 10_000;
/**
 * Gates run for weeks: what is measured is not their first steps. What follows the others is compiled again and again by
 * the runtime until it has seen some 20,000 of their bans, half a second of a CPU in each gate, and on this machine the
 * processors for that are those of all gates.
 */
const warmBans = number("FLEET_WARM", 20_000);
const warmRate = 500;

await using stack = new AsyncDisposableStack();
const redis = stack.use(await RedisServer.start("--unixsocket", "redis.sock"));
const socket = `unix:${redis.directory.file("redis.sock")}`;

async function member(name: string, url: string, args: readonly string[], namespace?: string): Promise<RunningGate> {
  const argv = ["-u", "127.0.0.1:9", "--fleet", url, "--fleet-gate", name, ...limits, ...args];
  const gate = stack.use(await RunningGate.start(argv, namespace === undefined ? {} : { namespace }));
  await gate.until("the fleet joined", ({ fleet }) => fleet?.state === "joined", 30_000);
  return gate;
}

/** When it had what it bans, by this machine's clock; the fence has it then, to some microseconds. */
async function follow(gate: RunningGate, seen: Map<string, number>): Promise<void> {
  const { body } = await gate.fetch("/events");
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body ?? []) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("data: ")) continue;
      const { type, source, at } = JSON.parse(line.slice("data: ".length)) as Record<string, string>;
      if (type === "ban" && source !== undefined && !seen.has(source)) seen.set(source, Date.parse(at ?? ""));
    }
  }
}

/** @returns when the gate banned it, by this machine's clock. */
async function ban(gate: RunningGate, address: string): Promise<number> {
  const ask = () => gate.fetch("/bans", { method: "POST", body: JSON.stringify({ address, for: "1h" }) });
  // A connection that was kept from an earlier question may be closed just then.
  const reply = await ask().catch(ask);
  const { since } = (await reply.json()) as BanView;
  return Date.parse(since);
}

/** So many bans a second, by the gates in turn. @returns by source when it was banned. */
async function banAtRate(at: readonly RunningGate[], network: number, perSecond: number, forSeconds: number) {
  const made = new Map<string, number>();
  const posts: Promise<void>[] = [];
  const total = Math.round(perSecond * forSeconds);
  const began = performance.now();
  while (posts.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - began) / 1000) * perSecond));
    while (posts.length < due) {
      const address = `10.${network}.${posts.length >> 8}.${posts.length & 255}`;
      const gate = at[posts.length % at.length];
      if (gate !== undefined) posts.push(ban(gate, address).then((when) => void made.set(address, when)));
    }
    await sleep(1);
  }
  await Promise.all(posts);
  return made;
}

/** One gate after the other is asked: all at once would be more work than what they are asked about. */
async function allHave(count: number): Promise<void> {
  for (const gate of [watched, ...others]) await has(gate, count);
}

function has(gate: RunningGate, count: number): Promise<unknown> {
  return gate.until(`${count} bans`, (status) => status.bans.active === count, patienceMs);
}

/** By source when its ban ends. */
async function table(gate: RunningGate): Promise<ReadonlyMap<string, number>> {
  const ends = new Map<string, number>();
  for (;;) {
    const reply = await gate.fetch(`/bans?limit=${pageSize}&offset=${ends.size}&sort=oldest`);
    const { total: all, bans: rows } = (await reply.json()) as { total: number; bans: readonly BanView[] };
    for (const { source, until } of rows) ends.set(source, Date.parse(until ?? ""));
    if (ends.size >= all || rows.length === 0) return ends;
  }
}

/** Every gate bans the same sources. @returns by how much the ends of a ban differ at most, in milliseconds. */
async function compareTables(): Promise<number> {
  const first = await table(watched);
  let apart = 0;
  for (const gate of others) {
    const other = await table(gate);
    for (const source of new Set([...first.keys(), ...other.keys()])) {
      const [one, two] = [first.get(source), other.get(source)];
      if (one === undefined || two === undefined) throw new Error(`${source} is not banned at every gate`);
      apart = Math.max(apart, Math.abs(one - two));
    }
  }
  return apart;
}

async function usedBy(pid: number): Promise<number> {
  const { user, kernel } = await cpuSeconds(pid);
  return user + kernel;
}

async function used(): Promise<{ readonly gates: number; readonly engine: number }> {
  const each = await Promise.all([watched, ...others].map(({ child }) => usedBy(child.pid)));
  return { gates: each.reduce((sum, one) => sum + one, 0), engine: await usedBy(redis.pid) };
}

/** What it took of a CPU, for each ban and gate that it came to. */
async function costs(deliveries: number, idle: Awaited<ReturnType<typeof used>>, work: () => Promise<unknown>) {
  const [before, began] = [await used(), performance.now()];
  await work();
  const [after, took] = [await used(), (performance.now() - began) / 1000];
  const each = (part: "gates" | "engine") =>
    `${(((after[part] - before[part] - idle[part] * took) * 1e6) / deliveries).toFixed(0)} µs`;
  console.log(
    `a ban takes ${each("gates")} of a CPU at each gate, and ${each("engine")} of the engine's for each gate`,
  );
}

const network = stack.use(new Network());
const map = stack.use(new BlockMap());
const watched = await member("watched", socket, ["-B", map.name], network.gate);
const others: RunningGate[] = [];
/** Half of the gates reach the engine by a way that can be cut. */
const cut: RunningGate[] = [];
for (let n = 1; n < gates; n++) {
  const isCut = n % 2 === 0;
  const gate = await member(`g${n}`, isCut ? redis.url : socket, ["-l", `127.0.0.1:${await freePort()}`]);
  others.push(gate);
  if (isCut) cut.push(gate);
}
const [first] = others;
if (first === undefined) throw new Error("There are too few gates: FLEET_GATES=2 at least");
const load = () => `load ${loadavg()[0]?.toFixed(1)}`;
console.log(`${gates} gates; ${cpus().length} processors`);

await sleep(3000);
const idleSeconds = 5;
const before = await used();
await sleep(idleSeconds * 1000);
const after = await used();
const idle = {
  gates: (after.gates - before.gates) / idleSeconds,
  engine: (after.engine - before.engine) / idleSeconds,
};
console.log(
  `with nothing to do a gate takes ${((idle.gates * 1000) / gates).toFixed(1)} ms of a CPU a second; ${load()}`,
);

const seen = new Map<string, number>();
void follow(watched, seen).catch(() => {});
await sleep(200);
const warm = (await banAtRate(others, 49, warmRate, warmBans / warmRate)).size;
await allHave(warm);
await sleep(3000);
const total = rate * seconds;
let made = new Map<string, number>();
let ended = 0;
await costs(total * gates, idle, async () => {
  made = await banAtRate(others, 50, rate, seconds);
  ended = performance.now();
  await allHave(warm + total);
});
const converged = performance.now() - ended;
await waitFor("all to be told", () => seen.size >= warm + total, 5000).catch(() => {});
const times = [...made].flatMap(([address, from]) => {
  const to = seen.get(address);
  return to === undefined ? [] : [to - from];
});
times.sort((a, b) => a - b);
const quantile = (part: number) => (times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0).toFixed(1);
console.log(
  `${rate} bans/s for ${seconds} s, one gate to the other's kernel, ms: p50 ${quantile(0.5)}, p99 ${quantile(0.99)}, max ${quantile(1)} (${times.length} of ${total} seen)`,
);
console.log(`every gate has every ban ${Math.round(converged)} ms after the last request; ${load()}`);
console.log(`none lost; the ends of a ban differ by ${await compareTables()} ms at most`);

let held = warm + total;
if (partition > 0 && cut.length > 0) {
  await nft("add table inet cut; add chain inet cut in { type filter hook input priority 0; }");
  await nft(`add rule inet cut in tcp dport ${redis.port} drop; add rule inet cut in tcp sport ${redis.port} drop`);
  const banned = await banAtRate(others, 60, partitionRate, partition);
  const liftedSources = [...made.keys()].slice(0, 2 * lifts);
  for (const [index, source] of liftedSources.entries()) {
    const gate = index < lifts ? watched : cut[0];
    await gate?.fetch(`/bans/${source}`, { method: "DELETE" });
  }
  held += banned.size - liftedSources.length;
  await nft("delete table inet cut");
  const healed = performance.now();
  await allHave(held);
  const tookMs = performance.now() - healed;
  const apart = await compareTables();
  console.log(
    `${cut.length} gates cut off for ${partition} s, ${banned.size} bans and ${liftedSources.length} lifts on both sides: every gate is as the others ${(tookMs / 1000).toFixed(1)} s after it heals, none lost, none revived, ends differ by ${apart} ms at most; ${load()}`,
  );
}

async function nft(commands: string): Promise<void> {
  const { code, stderr } = await run(["nft", commands]);
  if (code !== 0) throw new Error(stderr);
}

const lines = Array.from({ length: bans }, (_, n) => `10.${100 + (n >> 16)}.${(n >> 8) & 255}.${n & 255} 1h`);
const since = (ms: number) => `${((performance.now() - ms) / 1000).toFixed(1)} s`;
const listed = performance.now();
await costs(bans * gates, idle, async () => {
  const { ok, statusText } = await first.fetch("/bans/list", { method: "POST", body: lines.join("\n") });
  if (!ok) throw new Error(statusText);
  await waitFor(
    "the engine to have all",
    async () => Number(await redis.cli("hlen", "ttgate:{ttgate}:g1:records")) >= bans,
    patienceMs,
  );
  console.log(`${bans} bans of one list with the engine after ${since(listed)}`);
  await has(watched, held + bans);
  console.log(`in the other gate's kernel after ${since(listed)}`);
  await allHave(held + bans);
  console.log(`at all ${gates} gates after ${since(listed)}; ${load()}`);
});
const started = performance.now();
const lateArgs = [
  "-l",
  `127.0.0.1:${await freePort()}`,
  "-u",
  "127.0.0.1:9",
  "--fleet",
  socket,
  "--fleet-gate",
  "late",
];
const late = stack.use(await RunningGate.start([...lateArgs, ...limits]));
const listening = performance.now();
await has(late, held + bans);
const [whole, sinceListening] = [performance.now() - started, performance.now() - listening].map((ms) =>
  Math.round(ms),
);
console.log(`a gate that starts has all of them after ${whole} ms, ${sinceListening} ms after it listens`);
process.exitCode = times.length === total ? 0 : 1;
