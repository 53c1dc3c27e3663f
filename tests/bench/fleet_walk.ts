// SPDX-License-Identifier: Apache-2.0
// A fleet of many gates, each in a network of its own, while attackers walk through it and gates come and go: how many
// gates an attacker gets to before all of them are closed to it, and how long a gate takes that comes back. Run it by
// `make bench FLEET=1`, as root: FLEET_WALK_GATES=50 FLEET_WALK_ATTACKERS=8.
import { cpus, loadavg } from "node:os";
import process from "node:process";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { RedisServer } from "../harness/redis.ts";
import { waitFor } from "../harness/wait.ts";
import { cpuSeconds } from "./subjects.ts";

const number = (name: string, usual: number) => Number(process.env[name] ?? usual);
const count = number("FLEET_WALK_GATES", 50);
const attackers = number("FLEET_WALK_ATTACKERS", 8);
/** Gates that go and come back, one after the other, while attackers walk. */
const restarts = number("FLEET_WALK_RESTARTS", 10);
const port = 5000;
const startedAtOnce = 2;
/** What an attacker waits for an answer to its SYN. */
const patienceSeconds = 0.5;
const idleSeconds = 10;

await using stack = new AsyncDisposableStack();
const redis = stack.use(await RedisServer.start("--unixsocket", "redis.sock"));
const url = `unix:${redis.directory.file("redis.sock")}`;

interface Site {
  readonly name: string;
  readonly network: Network;
  readonly map: BlockMap;
  gate: RunningGate | undefined;
}

async function start(site: Site): Promise<RunningGate> {
  const { name, network, map } = site;
  const args = ["-B", map.name, "-l", `${network.gateIpv4}:${port}`, "-i", network.device, "-u", "127.0.0.1:9"];
  const gate = await RunningGate.start([...args, "--fleet", url, "--fleet-gate", name], { namespace: network.gate });
  site.gate = gate;
  await gate.until("the fleet joined", ({ fleet }) => fleet?.state === "joined", 60_000);
  return gate;
}

/** Every site has the same addresses: an attacker is the same source wherever it comes. */
const sites = Array.from({ length: count }, (_, index): Site => {
  const network = stack.use(new Network({ clients: attackers }));
  const site: Site = { name: `g${index}`, network, map: stack.use(new BlockMap()), gate: undefined };
  stack.defer(async () => site.gate?.[Symbol.asyncDispose]());
  return site;
});
const began = performance.now();
for (let from = 0; from < count; from += startedAtOnce)
  await Promise.all(sites.slice(from, from + startedAtOnce).map(start));
console.log(`${count} gates joined after ${seconds(performance.now() - began)}; ${cpus().length} processors`);

const pids = () => sites.flatMap(({ gate }) => gate?.child.pid ?? []);
const busy = async () =>
  (await Promise.all(pids().map(cpuSeconds))).reduce((sum, { user, kernel }) => sum + user + kernel, 0);
const before = await busy();
await Bun.sleep(idleSeconds * 1000);
const each = (((await busy()) - before) * 1000) / idleSeconds / count;
console.log(`with nothing to do a gate takes ${each.toFixed(1)} ms of a CPU a second`);

/** True: it got through to the gate's TCP. */
async function reaches({ network }: Site, attacker: number): Promise<boolean> {
  const argv = [
    "timeout",
    `${patienceSeconds}`,
    "nc",
    "-v",
    "-s",
    network.clientIpv4(attacker),
    network.gateIpv4,
    `${port}`,
  ];
  const { stderr } = await run(argv, { namespace: network.client, input: "GET / HTTP/1.1\r\n\r\n" });
  return stderr.includes("succeeded");
}

/** From gate to gate, as fast as it gets on. @returns how many it reached. */
async function walk(attacker: number, isThere: (site: Site) => boolean): Promise<number> {
  let reached = 0;
  for (let step = 0; step < count; step++) {
    const site = sites[(attacker * 7 + step) % count];
    if (site !== undefined && isThere(site) && (await reaches(site, attacker))) reached++;
  }
  return reached;
}

const gone = new Set<Site>();
const returns: number[] = [];

async function comeAndGo(): Promise<void> {
  for (let turn = 0; turn < restarts; turn++) {
    const site = sites[(turn * 3) % count];
    if (site?.gate === undefined) continue;
    gone.add(site);
    await site.gate.child.stop();
    await site.gate[Symbol.asyncDispose]();
    const bannedBefore = await anyOther(site);
    const startMs = performance.now();
    const gate = await start(site);
    await gate.until("the bans of the others", ({ bans }) => bans.active >= bannedBefore, 60_000);
    returns.push(performance.now() - startMs);
    gone.delete(site);
  }
}

async function anyOther(site: Site): Promise<number> {
  const other = sites.find((one) => one !== site && !gone.has(one));
  return (await other?.gate?.status())?.bans.active ?? 0;
}

const walks = Array.from({ length: attackers }, (_, index) => index + 1);
const [reached] = await Promise.all([
  Promise.all(walks.map((attacker) => walk(attacker, (site) => !gone.has(site)))),
  comeAndGo(),
]);
reached.sort((a, b) => a - b);
console.log(
  `${attackers} attackers walked through ${count} gates and reached ${reached.join(", ")} of them; load ${loadavg()[0]?.toFixed(1)}`,
);
returns.sort((a, b) => a - b);
console.log(
  `${returns.length} gates went meanwhile and were back with every ban after ${seconds(returns[0] ?? 0)} to ${seconds(returns.at(-1) ?? 0)}`,
);
await Promise.all(
  sites.map(({ name, gate }) =>
    waitFor(
      `every ban at ${name} and in its kernel`,
      async () => {
        const status = await gate?.status();
        return status?.bans.active === attackers && status.kernel.entries === attackers;
      },
      60_000,
    ),
  ),
);
console.log("in the end every gate has every ban, in the kernel too");

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
