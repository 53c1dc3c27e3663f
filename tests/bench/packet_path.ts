// SPDX-License-Identifier: Apache-2.0
// The same drops by ttgate and by what else a Linux host has for it: CPU time of a million packets,
// sender included, in a namespace of their own. Each filter holds the same banned sources.
import { spawnSync } from "node:child_process";
import { existsSync, rmdirSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import process from "node:process";
import type { BpfObject } from "../../src/kernel/bpf_object.ts";
import { check } from "../../src/kernel/errno.ts";
import { type Libraries, openLibraries } from "../../src/kernel/libraries.ts";
import { cString } from "../../src/kernel/native_bytes.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { guardedPort } from "../bpf/gate.ts";
import { inNamespace } from "../harness/child.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Undo } from "../harness/undo.ts";
import { banSources, compileBench, loadBench } from "./bench_object.ts";
import { compileC } from "./compile.ts";
import type { Bench, Report, Row, Target } from "./report.ts";

const sources = 256;
/** A few tenths of a second of CPU time each. */
const counts = { frames: 1_000_000, packets: 200_000 } as const;
/** The least of them is the sample: whatever else runs on the host only ever adds. */
const runsPerSample = 3;
/** Of the packets that are sent, this share has to arrive: a ring that overflows is cheap. */
const arrival = 0.99;
/** Where sender.c sends to. */
const gateAddress = "02:00:00:00:00:02";

type Way = keyof typeof counts;

const rows: Readonly<Record<Way, string>> = {
  frames: "drop: frames as a card hands them to its driver",
  packets: "drop: socket buffers of a local sender",
};

/** Where there are socket buffers already, the gate's place beside nft's ingress hook is tc. */
const targets: Readonly<Record<Way, readonly Target[]>> = {
  frames: ["xdp-filter", "nft ingress", "nft input", "ipset"].map(ahead("ttgate")),
  packets: [
    ...["xdp-filter", "nft input", "ipset"].map(ahead("ttgate")),
    ...["nft ingress", "nft input", "ipset"].map(ahead("ttgate by tc")),
  ],
};

function ahead(subject: string): (reference: string) => Target {
  return (reference) => ({ subject, reference, ratio: 1 });
}

interface Subject {
  readonly name: string;
  /** Puts the filter in place. @returns what takes it away again. */
  start(bed: Bed): () => void;
}

interface Bed {
  readonly network: Network;
  /** Paths of programs that are pinned, by name. */
  readonly pinned: (program: string) => string;
}

const subjects: readonly Subject[] = [
  { name: "ttgate", start: (bed) => attachXdp(bed, "gate_xdp") },
  { name: "XDP_DROP", start: (bed) => attachXdp(bed, "bare_all") },
  {
    name: "xdp-filter",
    start({ network }) {
      inside(network, ["xdp-filter", "load", "--mode", "native", "--features", "ipv4", network.device]);
      for (const source of banned()) inside(network, ["xdp-filter", "ip", source, "--mode", "src"]);
      return () => inside(network, ["xdp-filter", "unload", network.device]);
    },
  },
  {
    name: "nft ingress",
    start: ({ network }) => startNft(network, "netdev", `type filter hook ingress device ${network.device} priority 0`),
  },
  { name: "ttgate by tc", start: (bed) => attachTc(bed, "gate_tc") },
  { name: "nft input", start: ({ network }) => startNft(network, "ip", "type filter hook input priority 0") },
  {
    name: "ipset",
    start({ network }) {
      const set = `create banned hash:ip\n${banned()
        .map((source) => `add banned ${source}\n`)
        .join("")}`;
      inside(network, ["ipset", "restore"], set);
      const rule = [
        "INPUT",
        ...["-p", "tcp", "--dport", `${guardedPort}`],
        ...["-m", "set", "--match-set", "banned", "src"],
      ];
      inside(network, ["iptables", "-A", ...rule, "-j", "DROP"]);
      return () => {
        inside(network, ["iptables", "-D", ...rule, "-j", "DROP"]);
        inside(network, ["ipset", "destroy", "banned"]);
      };
    },
  },
];

function banned(): readonly string[] {
  return Array.from({ length: sources }, (_, index) => `10.0.0.${index}`);
}

export const packetPathBench: Bench = {
  name: "packet_path",
  async run({ rounds, say }): Promise<Report> {
    using undo = new Undo();
    tidyLibxdp(undo);
    using directory = new TempDir();
    using network = new Network({ clients: 1 });
    const libraries = await openLibraries(native);
    const sender = await compileC("sender", directory.path);
    prepare(network);
    const constants = { target_ifindex: interfaceIndex(network), source_count: sources };
    using object = loadBench(libraries, compileBench(directory), programs, constants);
    banSources(libraries, object, sources, "ttgate_bans");
    const bed: Bed = { network, pinned: pinAll(libraries, object, undo) };

    const samples: Record<Way, Record<string, number[]>> = { frames: {}, packets: {} };
    for (let round = 1; round <= rounds; round++) {
      say(`${this.name}: round ${round} of ${rounds}`);
      for (const { name, start } of subjects) {
        using filter = new Undo();
        filter.push(start(bed));
        for (const way of ["frames", "packets"] as const) {
          const samplesOfWay = samples[way];
          samplesOfWay[name] ??= [];
          const runs = Array.from({ length: runsPerSample }, () => measure(sender, bed, way, name));
          samplesOfWay[name]?.push(Math.min(...runs));
        }
      }
    }
    return {
      name: this.name,
      reference: "ttgate",
      rows: (["frames", "packets"] as const).map(
        (way): Row => ({
          metric: rows[way],
          unit: "ms CPU/million",
          better: "lower",
          samples: samples[way],
          targets: targets[way],
        }),
      ),
      method: [
        `TCP SYNs of 60 bytes from ${sources} banned sources in turn over a veth pair between two namespaces, ${rounds} alternating rounds, the least of ${runsPerSample} runs in each; sender and receiver on one CPU, and the time of both counts, that of ksoftirqd too.`,
        `Frames (${counts.frames.toLocaleString("en-GB")} a sample): made by the kernel's test run of an XDP program and redirected into the pair, so that a driver gets them before there is a socket buffer, as from a card; GRO is on, as it is with cards.`,
        `Socket buffers (${counts.packets.toLocaleString("en-GB")} a sample): sendmmsg on a packet socket. On veth, XDP has to copy each of them into a page first, which no card's driver does; tc and nft have not.`,
        "Every sample is checked: 99 % of the packets arrived at the interface and none of them at TCP.",
        "nft and ipset match the source in a set and the port; xdp-filter the source alone; XDP_DROP drops without looking, the least that is possible.",
      ],
    };
  },
};

/** libxdp, which loads xdp-filter, leaves its directory behind. */
function tidyLibxdp(undo: Undo): void {
  const directory = "/sys/fs/bpf/xdp";
  if (!existsSync(directory)) undo.push(() => existsSync(directory) && rmdirSync(directory));
}

const programs = ["gate_xdp", "gate_tc", "bare_all", "generate"];

function shell(argv: readonly string[], input = ""): string {
  const [program = "", ...args] = argv;
  const result = spawnSync(program, args, { encoding: "utf8", input });
  if (result.status !== 0) throw new Error(`Cannot run "${argv.join(" ")}": ${result.stderr || result.error}`);
  return result.stdout;
}

function inside(network: Network, argv: readonly string[], input = ""): string {
  return shell(inNamespace(network.gate, argv), input);
}

function prepare(network: Network): void {
  shell(["ip", "-n", network.gate, "link", "set", "dev", network.device, "address", gateAddress]);
  shell(["ip", "-n", network.gate, "route", "add", "10.0.0.0/8", "dev", network.device]);
  // Without, the pair has nobody to take frames where no XDP program is attached.
  inside(network, ["ethtool", "-K", network.device, "gro", "on"]);
}

function interfaceIndex(network: Network): number {
  const [found] = JSON.parse(shell(["ip", "-n", network.client, "-j", "link", "show", "dev", network.clientDevice]));
  return found.ifindex;
}

function pinAll({ bpf }: Libraries, object: BpfObject, undo: Undo): Bed["pinned"] {
  const path = (program: string) => `/sys/fs/bpf/ttgate_bench_${process.pid}_${program}`;
  for (const program of programs) {
    check(`Pin "${program}"`, bpf.bpf_obj_pin(object.programFd(program), cString(path(program))));
    undo.push(() => rmSync(path(program), { force: true }));
  }
  return path;
}

function attachXdp({ network, pinned }: Bed, program: string): () => void {
  const device = ["ip", "link", "set", "dev", network.device, "xdpdrv"];
  inside(network, [...device, "pinned", pinned(program)]);
  return () => inside(network, [...device, "off"]);
}

function attachTc({ network, pinned }: Bed, program: string): () => void {
  const device = ["dev", network.device];
  inside(network, ["tc", "qdisc", "add", ...device, "clsact"]);
  const filter = ["bpf", "direct-action", "object-pinned", pinned(program)];
  inside(network, ["tc", "filter", "add", ...device, "ingress", ...filter]);
  return () => inside(network, ["tc", "qdisc", "del", ...device, "clsact"]);
}

function startNft(network: Network, family: string, hook: string): () => void {
  const set = `set banned { type ipv4_addr; elements = { ${banned().join(", ")} }; }`;
  const rule = `ip saddr @banned tcp dport ${guardedPort} drop`;
  inside(network, ["nft", "-f", "-"], `table ${family} bench { ${set}; chain drops { ${hook}; ${rule}; }; }\n`);
  return () => inside(network, ["nft", "delete", "table", family, "bench"]);
}

/** @returns milliseconds of CPU time for a million packets. */
function measure(sender: string, bed: Bed, way: Way, subject: string): number {
  const { network } = bed;
  const before = arrivals(network);
  const count = counts[way];
  const what = way === "frames" ? bed.pinned("generate") : network.clientDevice;
  const cpu = cpus().length - 1;
  const argv = [sender, way, what, `${count}`, `${cpu}`, `${sources}`];
  const { cpuNs } = JSON.parse(shell(inNamespace(network.client, argv)));
  const after = arrivals(network);
  const arrived = after.packets - before.packets;
  if (arrived < count * arrival) throw new Error(`Cannot measure "${subject}": ${arrived} of ${count} ${way} arrived`);
  const passed = after.tcpSegments - before.tcpSegments;
  if (passed > 0) throw new Error(`Cannot measure "${subject}": ${passed} of ${count} ${way} were not dropped`);
  return (cpuNs / 1e6) * (1_000_000 / count);
}

/** At the gate's interface, and at its TCP. */
function arrivals(network: Network): { readonly packets: number; readonly tcpSegments: number } {
  const [link] = JSON.parse(shell(["ip", "-n", network.gate, "-s", "-j", "link", "show", "dev", network.device]));
  const [names = "", values = ""] = inside(network, ["grep", "^Tcp:", "/proc/net/snmp"]).split("\n");
  const place = names.split(" ").indexOf("InSegs");
  return { packets: link.stats64.rx.packets, tcpSegments: Number(values.split(" ")[place]) };
}
