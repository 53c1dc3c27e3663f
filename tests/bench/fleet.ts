// SPDX-License-Identifier: Apache-2.0
// How fast a ban travels in a fleet: from a ban at one gate to the entry in another one's kernel, and how long
// a gate takes to catch up. Real gates, a real redis-server, all on this machine. Run it by `make bench FLEET=1`, as
// root: FLEET_GATES=8 FLEET_RATE=200 FLEET_SECONDS=10 FLEET_BANS=100000.
import { cpus } from "node:os";
import process from "node:process";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { freePort } from "../harness/ports.ts";
import { RedisServer } from "../harness/redis.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

const number = (name: string, usual: number) => Number(process.env[name] ?? usual);
const gates = number("FLEET_GATES", 8);
const rate = number("FLEET_RATE", 200);
const seconds = number("FLEET_SECONDS", 10);
const bans = number("FLEET_BANS", 100_000);
/** Beyond what a gate takes by default, which is not what is measured. */
const limits = ["--fleet-rate", "10000000", "--fleet-most", "10000000"];

await using stack = new AsyncDisposableStack();
const redis = stack.use(await RedisServer.start("--unixsocket", "redis.sock"));
const url = `unix:${redis.directory.file("redis.sock")}`;

async function member(name: string, args: readonly string[], namespace?: string): Promise<RunningGate> {
  const argv = ["-u", "127.0.0.1:9", "--fleet", url, "--fleet-gate", name, ...limits, ...args];
  const gate = stack.use(await RunningGate.start(argv, namespace === undefined ? {} : { namespace }));
  await gate.until("the fleet joined", ({ fleet }) => fleet?.state === "joined", 30_000);
  return gate;
}

/** When a gate banned what it bans first, by this machine's clock; the fence has had it then, to some microseconds. */
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

const network = stack.use(new Network());
const map = stack.use(new BlockMap());
const watched = await member("watched", ["-B", map.name], network.gate);
const others: RunningGate[] = [];
for (let n = 1; n < gates; n++) others.push(await member(`g${n}`, ["-l", `127.0.0.1:${await freePort()}`]));

const seen = new Map<string, number>();
void follow(watched, seen).catch(() => {});
const made = others.map((gate) => {
  const own = new Map<string, number>();
  void follow(gate, own).catch(() => {});
  return own;
});
await sleep(500);

const sent = new Set<string>();
const posts: Promise<unknown>[] = [];
const began = performance.now();
const total = rate * seconds;
while (sent.size < total) {
  const due = Math.min(total, Math.floor(((performance.now() - began) / 1000) * rate));
  while (sent.size < due) {
    const address = `10.50.${sent.size >> 8}.${sent.size & 255}`;
    const gate = others[sent.size % others.length];
    sent.add(address);
    posts.push(gate?.fetch("/bans", { method: "POST", body: JSON.stringify({ address, for: "1h" }) }) ?? sleep(0));
  }
  await sleep(1);
}
await Promise.all(posts);
const ended = performance.now();
const has = (gate: RunningGate, count: number) => async () => (await gate.status()).bans.active >= count;
await Promise.all([watched, ...others].map((gate) => waitFor(`${total} bans`, has(gate, total), 60_000)));
const converged = performance.now() - ended;
await waitFor("all to be told", () => seen.size >= total, 5000).catch(() => {});

const times = [...sent.keys()].flatMap((address, index) => {
  const [from, to] = [made[index % made.length]?.get(address), seen.get(address)];
  return from === undefined || to === undefined ? [] : [to - from];
});
times.sort((a, b) => a - b);
const quantile = (part: number) => (times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0).toFixed(1);
const load = (await run(["cat", "/proc/loadavg"])).stdout.split(" ")[0];
console.log(`${gates} gates, ${rate} bans/s for ${seconds} s; ${cpus().length} processors, load ${load}`);
console.log(
  `a ban at one gate to the other's kernel, ms: p50 ${quantile(0.5)}, p99 ${quantile(0.99)}, max ${quantile(1)} (${times.length} of ${total} seen)`,
);
console.log(`every gate has every ban ${Math.round(converged)} ms after the last request`);

const directory = stack.use(new TempDir());
const lines = Array.from({ length: bans }, (_, n) => `10.${100 + (n >> 16)}.${(n >> 8) & 255}.${n & 255} 1h`);
const [first] = others;
if (first === undefined) throw new Error("There are too few gates: FLEET_GATES=2 at least");
const listed = performance.now();
const { code, stderr } = await first.command("ban", "--from", directory.write("list", lines.join("\n")));
if (code !== 0) throw new Error(stderr);
await waitFor(
  "the engine to have all",
  async () => Number(await redis.cli("hlen", "ttgate:{ttgate}:g1:records")) >= bans,
  120_000,
);
console.log(`${bans} bans of one list with the engine after ${((performance.now() - listed) / 1000).toFixed(1)} s`);
await waitFor("the other gate", has(watched, total + bans), 120_000);
console.log(`and in the other gate's kernel after ${((performance.now() - listed) / 1000).toFixed(1)} s`);
const started = performance.now();
const late = await RunningGate.start([
  ...["-l", `127.0.0.1:${await freePort()}`, "-u", "127.0.0.1:9", "--fleet", url, "--fleet-gate", "late", ...limits],
]);
stack.use(late);
const listening = performance.now();
await waitFor("all bans", has(late, total + bans), 120_000);
const [whole, since] = [performance.now() - started, performance.now() - listening].map((ms) => Math.round(ms));
console.log(`a gate that starts has all of them after ${whole} ms, ${since} ms after it listens`);
process.exitCode = times.length === total ? 0 : 1;
