// SPDX-License-Identifier: Apache-2.0
// Good clients through inline mode, beside the same server behind an XDP program that does nothing, behind
// no program, in turn on one interface; and behind HAProxy that relays. Alternating rounds.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { loadObject } from "../../src/kernel/bpf_object.ts";
import { check } from "../../src/kernel/errno.ts";
import { type Libraries, openLibraries } from "../../src/kernel/libraries.ts";
import { cString } from "../../src/kernel/native_bytes.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { Child, inNamespace, run } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep } from "../harness/wait.ts";
import { compileBench } from "./bench_object.ts";
import { haproxyConfig } from "./haproxy.ts";
import { xdpHasFrags } from "./inline_object.ts";
import { Load, type LoadMode, type LoadResult, type LoadRoute } from "./load.ts";
import type { Bench, BenchOptions, Report, Row, Target } from "./report.ts";

export const serverPort = 5000;
const behindHaproxy = 5001;
const connections = 32;
const clients = 250;
/** In each round; short ones that alternate are disturbed alike by what else runs on the host. */
const turnsPerRound = 6;
const seconds = 0.5;

const inlineName = "inline";
const bareName = "XDP_PASS";
const noneName = "no program";
const haproxyName = "haproxy";

interface Work {
  readonly mode: LoadMode;
  readonly metric: string;
  readonly unit: string;
  readonly figure: (result: LoadResult) => number;
  /** What the ratio to HAProxy must be. */
  readonly ahead?: number;
  /** Client and server each on a CPU of its own: where they are moved about, runs differ by a quarter. */
  readonly pinned?: boolean;
}

/** What the ratio to the bare program must be. */
const nearlyAll = 0.97;

const perSecond = (result: LoadResult) => result.perSecond;
const gigabits = (result: LoadResult) => (result.bytesPerSecond * 8) / 1e9;

const works: readonly Work[] = [
  { mode: "pingpong", metric: "ping-pong", unit: "requests/s", figure: perSecond, ahead: 1.9 },
  { mode: "connect", metric: "connect, ping, close", unit: "connections/s", figure: perSecond, ahead: 1.4 },
  { mode: "download", metric: "bulk to the client", unit: "Gbit/s", figure: gigabits, pinned: true },
  { mode: "upload", metric: "bulk to the server", unit: "Gbit/s", figure: gigabits, pinned: true },
];

/** A server and its clients. */
interface Site {
  readonly network: Network;
  readonly server: Child;
}

/** What stands between them while it is measured. */
interface Subject extends Site {
  readonly name: string;
  /** @returns what takes it away again. */
  readonly set: () => Promise<AsyncDisposable>;
}

async function openSite(stack: AsyncDisposableStack, load: Load, port: number): Promise<Site> {
  const network = stack.use(new Network({ clients }));
  prepareClients(network);
  return { network, server: stack.use(await load.serve(port, network.gate, "0.0.0.0")) };
}

/** On one interface in turn: another pair of namespaces would have other luck with caches and queues. */
function directSubjects(site: Site, barePath: string): Subject[] {
  const { network } = site;
  const setDevice = (...mode: readonly string[]) =>
    command(inNamespace(network.gate, ["ip", "link", "set", "dev", network.device, ...mode]));
  return [
    { ...site, name: inlineName, set: () => setInline(network) },
    {
      ...site,
      name: bareName,
      async set() {
        setDevice("xdpdrv", "pinned", barePath);
        return { [Symbol.asyncDispose]: async () => setDevice("xdpdrv", "off") };
      },
    },
    { ...site, name: noneName, set: async () => new AsyncDisposableStack() },
  ];
}

async function setInline(network: Network): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const map = stack.use(new BlockMap());
  const gate = await startInline(map, network);
  stack.defer(async () => {
    await gate.child.stop();
    await gate[Symbol.asyncDispose]();
  });
  const { kernel } = await gate.status();
  if (kernel.attach !== "native") throw new Error(`Cannot measure inline mode: attached as "${kernel.attach}"`);
  // The first second of a process is not what it costs.
  await sleep(1000);
  const moved = stack.move();
  return { [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

/** Relays from its own pair of namespaces, behind the bare program. */
async function haproxySubject(stack: AsyncDisposableStack, { load, directory, barePath }: Parts): Promise<Subject> {
  const site = await openSite(stack, load, behindHaproxy);
  const { network } = site;
  command(inNamespace(network.gate, ["ip", "link", "set", "dev", network.device, "xdpdrv", "pinned", barePath]));
  const config = haproxyConfig({ host: network.gateIpv4, port: serverPort, upstreamPort: behindHaproxy });
  const relay = stack.use(
    new Child(["haproxy", "-db", "-f", directory.write("haproxy.cfg", config)], { namespace: network.gate }),
  );
  const { client, gateIpv4 } = network;
  const attempt = `(: </dev/tcp/${gateIpv4}/${serverPort}) 2>/dev/null`;
  command(["timeout", "10", ...inNamespace(client, ["bash", "-c", `until ${attempt}; do sleep 0.1; done`])]);
  relay.signal("SIGSTOP");
  stack.defer(() => relay.signal("SIGCONT"));
  return {
    ...site,
    name: haproxyName,
    async set() {
      relay.signal("SIGCONT");
      return { [Symbol.asyncDispose]: async () => relay.signal("SIGSTOP") };
    },
  };
}

interface Parts {
  readonly load: Load;
  readonly directory: TempDir;
  /** A pinned program that passes everything. */
  readonly barePath: string;
}

/** The gate in front of a server that listens in the network's gate namespace. */
export function startInline(map: BlockMap, { gate, gateIpv4, device }: Network): Promise<RunningGate> {
  const listen = ["-l", `${gateIpv4}:${serverPort}`, "-i", device];
  return RunningGate.start(["--mode", "inline", "-B", map.name, ...listen], { namespace: gate });
}

/** Sources and ports that were used a moment ago are used again, as on loopback. */
export function prepareClients({ client }: Network): void {
  const settings = ["net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=1024 65535"];
  command(inNamespace(client, ["sysctl", "-qw", ...settings]));
}

/** From all addresses of the network's clients to the server's port. */
export function routeOf(network: Network, count = clients): LoadRoute {
  return { server: network.gateIpv4, firstClient: network.clientIpv4(1), clients: count };
}

function command(argv: readonly string[]): void {
  const [program = "", ...args] = argv;
  const result = spawnSync(program, args, { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`Cannot run "${argv.join(" ")}": ${result.stderr || result.error}`);
}

/** With the flag that ttgate's own is loaded with: without it veth switches segmentation offload off. */
function pinBare(libraries: Libraries, directory: TempDir, stack: DisposableStack): string {
  const programs = { bare_pass: xdpHasFrags };
  const plan = { reuse: {}, create: [], programs, constants: {} };
  const object = stack.use(loadObject(libraries, compileBench(directory), plan));
  const path = `/sys/fs/bpf/ttgate_bench_${process.pid}_bare_pass`;
  check("Pin the bare program", libraries.bpf.bpf_obj_pin(object.programFd("bare_pass"), cString(path)));
  stack.defer(() => rmSync(path, { force: true }));
  return path;
}

async function measure(load: Load, work: Work, { name, network, server, set }: Subject): Promise<LoadResult> {
  await using _set = await set();
  const [serverCpus, cpu] = work.pinned === true ? ["0", 1] : [`0-${availableParallelism() - 1}`, undefined];
  command(["taskset", "-p", "-c", serverCpus, `${server.pid}`]);
  const options = {
    ...{ port: serverPort, connections, seconds, namespace: network.client, route: routeOf(network) },
    ...(cpu === undefined ? {} : { cpu }),
  };
  const result = await load.measure(work.mode, options);
  if (result.failures > 0) throw new Error(`Cannot use the result: ${result.failures} connections to ${name} failed`);
  return result;
}

async function runPath({ rounds, say }: BenchOptions): Promise<Report> {
  using directory = new TempDir();
  using pins = new DisposableStack();
  await using stack = new AsyncDisposableStack();
  const load = await Load.compile(directory.path);
  const barePath = pinBare(await openLibraries(native), directory, pins);
  const hasHaproxy = await run(["haproxy", "-v"]).then(
    ({ code }) => code === 0,
    () => false,
  );
  const subjects = directSubjects(await openSite(stack, load, serverPort), barePath);
  if (hasHaproxy) subjects.push(await haproxySubject(stack, { load, directory, barePath }));
  const names = subjects.map(({ name }) => name);

  const rows = works.map(({ metric, unit, ahead }) => {
    const targets: Target[] = [{ subject: inlineName, reference: bareName, ratio: nearlyAll }];
    if (ahead !== undefined) targets.push({ subject: inlineName, reference: haproxyName, ratio: ahead });
    const samples: Record<string, number[]> = Object.fromEntries(names.map((name) => [name, []]));
    return { metric, unit, better: "higher", targets, samples } satisfies Row;
  });
  for (let round = 0; round < rounds; round++) {
    for (const [index, work] of works.entries()) {
      for (let turn = 0; turn < turnsPerRound; turn++) {
        for (let place = 0; place < subjects.length; place++) {
          const subject = subjects[(place + turn + round) % subjects.length];
          if (subject === undefined) continue;
          rows[index]?.samples[subject.name]?.push(work.figure(await measure(load, work, subject)));
        }
      }
      const figures = names.map((name) => `${name} ${rows[index]?.samples[name]?.at(-1)?.toFixed(1)}`);
      say(`round ${round + 1}  ${work.metric.padEnd(22)} ${figures.join("  ")} ${work.unit}`);
    }
  }
  return {
    name: "inline_path",
    reference: bareName,
    rows,
    method: [
      `${connections} connections from ${clients} addresses in one namespace to a server in another over a veth pair; packets of 256 random bytes; load generator and server in C, one thread each; one pair of namespaces, in which the program is changed for each run; HAProxy has a pair of its own`,
      `medians of ${rounds * turnsPerRound} alternating runs of ${seconds} s, of which the first fifth does not count; in bulk client and server are on a CPU each, otherwise nothing is pinned; HAProxy is stopped while it is not measured`,
      "inline and XDP_PASS differ in nothing but the program: native XDP on the server's interface, loaded for frames in several pieces; no program: the same without XDP, for what XDP itself costs on veth",
      "HAProxy: one thread, relays in the server's namespace behind XDP_PASS, with the configuration of the section proxy",
    ],
  };
}

export const inlinePathBench: Bench = { name: "inline_path", run: runPath };
