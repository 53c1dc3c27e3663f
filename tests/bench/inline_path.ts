// SPDX-License-Identifier: Apache-2.0
// Good clients through inline mode, beside the same server behind an XDP program that does nothing, behind
// no program, and behind HAProxy that relays: each in a pair of namespaces of its own, in alternating
// rounds.
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
const turnsPerRound = 3;
const seconds = 1;

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

interface Subject extends AsyncDisposable {
  readonly name: string;
  readonly network: Network;
  readonly server: Child;
  /** What stands still while others are measured. */
  readonly gate: Child | undefined;
}

interface Parts {
  readonly load: Load;
  readonly directory: TempDir;
  /** A pinned program that passes everything. */
  readonly barePath: string;
}

async function startSubject(name: string, { load, directory, barePath }: Parts): Promise<Subject> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(new Network({ clients }));
  prepareClients(network);
  const server = stack.use(
    await load.serve(name === haproxyName ? behindHaproxy : serverPort, network.gate, "0.0.0.0"),
  );
  let gate: Child | undefined;
  if (name === inlineName) {
    const map = stack.use(new BlockMap());
    const running = stack.use(await startInline(map, network));
    const { kernel } = await running.status();
    if (kernel?.attach !== "native") throw new Error(`Cannot measure inline mode: attached as "${kernel?.attach}"`);
    gate = running.child;
  } else if (name !== noneName) {
    command(inNamespace(network.gate, ["ip", "link", "set", "dev", network.device, "xdpdrv", "pinned", barePath]));
  }
  if (name === haproxyName) {
    const config = haproxyConfig({ host: network.gateIpv4, port: serverPort, upstreamPort: behindHaproxy });
    gate = stack.use(
      new Child(["haproxy", "-db", "-f", directory.write("haproxy.cfg", config)], { namespace: network.gate }),
    );
    const { client, gateIpv4 } = network;
    const attempt = `(: </dev/tcp/${gateIpv4}/${serverPort}) 2>/dev/null`;
    command(["timeout", "10", ...inNamespace(client, ["bash", "-c", `until ${attempt}; do sleep 0.1; done`])]);
  }
  const owned = stack.move();
  return { name, network, server, gate, [Symbol.asyncDispose]: () => owned.disposeAsync() };
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

async function measure(load: Load, work: Work, { name, network, server, gate }: Subject): Promise<LoadResult> {
  gate?.signal("SIGCONT");
  const [serverCpus, cpu] = work.pinned === true ? ["0", 1] : [`0-${availableParallelism() - 1}`, undefined];
  command(["taskset", "-p", "-c", serverCpus, `${server.pid}`]);
  const options = {
    ...{ port: serverPort, connections, seconds, namespace: network.client, route: routeOf(network) },
    ...(cpu === undefined ? {} : { cpu }),
  };
  const result = await load.measure(work.mode, options);
  gate?.signal("SIGSTOP");
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
  const names = [inlineName, bareName, noneName, ...(hasHaproxy ? [haproxyName] : [])];
  const subjects: Subject[] = [];
  for (const name of names) {
    const subject = stack.use(await startSubject(name, { load, directory, barePath }));
    subject.gate?.signal("SIGSTOP");
    stack.defer(() => subject.gate?.signal("SIGCONT"));
    subjects.push(subject);
  }

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
      `${connections} connections from ${clients} addresses in one namespace to a server in another over a veth pair; packets of 256 random bytes; load generator and server in C, one thread each; a pair of namespaces for each subject`,
      `medians of ${rounds * turnsPerRound} alternating runs of ${seconds} s, of which the first fifth does not count; in bulk client and server are on a CPU each, otherwise nothing is pinned; gates that are not measured are stopped`,
      "inline and XDP_PASS differ in nothing but the program: native XDP on the server's interface, loaded for frames in several pieces; no program: the same pair without XDP, for what XDP itself costs on veth",
      "HAProxy: one thread, relays in the server's namespace behind XDP_PASS, with the configuration of the section proxy",
    ],
  };
}

export const inlinePathBench: Bench = { name: "inline_path", run: runPath };
