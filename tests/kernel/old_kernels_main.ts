// SPDX-License-Identifier: Apache-2.0
// What an old kernel makes of ttgate, for tests/kernel/old_kernels.sh: in each mode a friend is served, a
// stranger is banned, and its next SYN is dropped, over IPv4 and IPv6; who is never banned is spared; a gate that is
// killed leaves its bans to the next one, and that one, stopped, nothing. Slow: the machine is an emulated one.
import assert from "node:assert/strict";
import { release } from "node:os";
import process from "node:process";
import { run } from "../harness/child.ts";
import { BlockMap, bpftool, RunningGate, ttgate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

const slowMs = 60_000;
const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");

async function guards(mode: "proxy" | "inline"): Promise<string> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const config = stack.use(new TempDir()).write("gate.toml", `allow = ${JSON.stringify(spared(network))}\n`);
  const at = mode === "proxy" ? ["--port", "5001"] : ["--host", "::", "--port", "5000"];
  const server = stack.use(await startServer(network.gate, ...at));
  const flags = ["--mode", mode, "-B", map.name, "-l", "5000", "-i", network.device, "-c", config];
  const start = () => RunningGate.start(flags, { namespace: network.gate });
  const killed = stack.use(await start());
  const hosts = [network.gateIpv4, network.gateIpv6];
  for (const host of hosts) {
    await using friend = await startClient(network.client, ...to(host), "--from", client(network, host, 1));
    await friend.until(`an exchange with ${host}`, ({ packets }) => packets > 0, slowMs);
    assert.equal((await friend.stop()).failures, 0);
  }
  const visit = (host: string, number: number) =>
    probeFrom(network.client, { host, port: 5000, from: client(network, host, number), send: [request], waitMs: 3000 });
  for (const host of hosts) {
    await visit(host, 2);
    assert.equal((await killed.banned(client(network, host, 2))).protocol, "http");
    assert.equal((await visit(host, 2)).outcome, "no answer");
    await visit(host, 3);
  }
  const { bans } = await killed.until("four strangers", ({ connections }) => connections.foreign >= 4, slowMs);
  assert.equal(bans.active, 2);
  const { kernel } = await killed.until("drops", (status) => status.kernel.droppedPackets > 1, slowMs);
  if (mode === "inline") assert.deepEqual([kernel.unseen?.unobserved, kernel.unseen?.connections], [null, 0]);

  await killed.child.stop("SIGKILL");
  assert.equal((await visit(network.gateIpv4, 2)).outcome, "no answer", "a killed gate's ban");
  const gate = stack.use(await start());
  for (const host of hosts) assert.equal((await gate.banned(client(network, host, 2))).protocol, "http");
  assert.equal((await visit(network.gateIpv4, 2)).outcome, "no answer", "a ban that was taken up");
  assert.equal((await gate.child.stop()).code, 0);
  assert.equal((await server.stop()).strangers, 0);
  const warnings = `${killed.child.stderr}${gate.child.stderr}`.match(/^\S+ (warn|error) .*/gm) ?? [];
  assert.deepEqual(
    warnings.filter((line) => !line.includes("is never banned (--allow)")),
    [],
  );
  assert.equal(warnings.length, hosts.length);
  await nothingLeft(map);
  const observed = `, observed ${kernel.unseen?.observed}`;
  const judged = kernel.judged === null ? "" : `${observed}, judged ${JSON.stringify(kernel.judged)}`;
  return `attached ${kernel.attach}, ${kernel.droppedPackets} packets dropped${judged}`;
}

/** The third client, among as many as fill many nodes of a trie. */
function spared(network: Network): string[] {
  const others = Array.from({ length: 1000 }, (_, index) => `198.18.${index >> 8}.${index & 255}`);
  return [...others, network.clientIpv4(3), network.clientIpv6(3)];
}

function client(network: Network, host: string, number: number): string {
  return host.includes(":") ? network.clientIpv6(number) : network.clientIpv4(number);
}

function to(host: string): string[] {
  return ["--host", host, "--port", "5000"];
}

const kinds = ["link", "prog", "map"] as const;

function loaded(kind: string): { readonly id: number }[] {
  return (bpftool([kind, "show"]) ?? []) as { id: number }[];
}

/** What some kernels load by themselves. */
const fromTheStart = Object.fromEntries(kinds.map((kind) => [kind, new Set(loaded(kind).map(({ id }) => id))]));

async function nothingLeft(map: BlockMap): Promise<void> {
  assert.deepEqual(map.pins(), []);
  for (const kind of kinds) {
    const left = () => loaded(kind).filter(({ id }) => !fromTheStart[kind]?.has(id));
    await waitFor(`the last ${kind}`, () => left().length === 0, slowMs).catch((cause: unknown) => {
      throw new Error(`Left behind: ${JSON.stringify(left())}`, { cause });
    });
  }
}

async function refuses(): Promise<string> {
  const refused = await run(ttgate(["--mode", "inline", "-B", "map", "-i", "lo", "-s", "off"]));
  assert.equal(refused.code, 3, refused.stderr);
  assert.match(refused.stderr, /needs Linux 5\.15 or later .* use --mode proxy/);
  return refused.stderr.trim();
}

const [, minor] = release().split(".");
const isBelow = release().startsWith("5.") && Number(minor) < 15;
const steps: readonly [string, () => Promise<string>][] = [
  ["proxy", () => guards("proxy")],
  ["inline", isBelow ? refuses : () => guards("inline")],
];
for (const [name, step] of steps) {
  try {
    console.log(`${name}: ${await step()}`);
  } catch (error) {
    console.log(`${name}: FAILED: ${error instanceof Error ? error.stack : error}`);
    process.exitCode = 1;
  }
}
