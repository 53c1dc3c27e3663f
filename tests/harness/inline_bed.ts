// SPDX-License-Identifier: Apache-2.0
// Inline mode on trial: a network, a server that tells what it gets, the gate, and clients that choose
// every segment.
import { readFile } from "node:fs/promises";
import { loadSniffer } from "../../src/config/profile.ts";
import { type InlineOutcome, inlineOutcomes } from "../../src/fences/xdp/inline/inline_layout.ts";
import { run } from "./child.ts";
import { BlockMap, bpftool, RunningGate, xdpPrograms } from "./gate.ts";
import { Network } from "./netns.ts";
import { RawClients } from "./raw_tcp.ts";
import { Sink, type SinkWord } from "./sink.ts";
import { TempDir } from "./temp_dir.ts";
import { waitFor } from "./wait.ts";

/** Ciphertext for all that can be seen: what the profile `tapetrack` expects. */
export const friendly = Uint8Array.fromHex(
  "9f1ce46b0ad37785c2b85e91fd4013a8676ef2199bd05c24e78a31c6b97f0d52f4a86b1de23c95705ac18e37fb4290d6" +
    "8813bd67a9f50e42dc7199c4260bee58371fa3d09564ca2fb6e80c7d1b53f891",
);
export const hostile = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: gate\r\n\r\n");

export type Counts = Readonly<Record<InlineOutcome, number>>;

export interface BedOptions {
  readonly sink?: readonly SinkWord[];
  readonly gate?: readonly string[];
  readonly sysctl?: readonly string[];
  /** The clients are behind a tunnel, whose frames have no Ethernet header. */
  readonly tunnel?: boolean;
  /** Before the gate is there. */
  readonly before?: (bed: Pick<InlineBed, "network" | "clients" | "sink" | "map">) => Promise<void>;
}

export class InlineBed implements AsyncDisposable {
  readonly network: Network;
  readonly sink: Sink;
  readonly clients: RawClients;
  gate: RunningGate;
  readonly map: BlockMap;
  readonly #options: BedOptions;
  readonly #stack: AsyncDisposableStack;
  #lastClient = 0;

  private constructor(
    stack: AsyncDisposableStack,
    parts: { network: Network; sink: Sink; clients: RawClients; gate: RunningGate; map: BlockMap },
    options: BedOptions,
  ) {
    this.#stack = stack;
    this.network = parts.network;
    this.sink = parts.sink;
    this.clients = parts.clients;
    this.gate = parts.gate;
    this.map = parts.map;
    this.#options = options;
  }

  static async open(options: BedOptions = {}): Promise<InlineBed> {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network({ clients: 8 }));
    const map = stack.use(new BlockMap());
    for (const setting of options.sysctl ?? []) await sysctl(network.gate, setting);
    const sink = stack.use(await Sink.start(network.gate, ...(options.sink ?? [])));
    const clients = stack.use(await RawClients.open(network, tunnelOf(options)));
    await options.before?.({ network, clients, sink, map });
    const gate = await startGate(network, map, options);
    return new InlineBed(stack.move(), { network, sink, clients, gate, map }, options);
  }

  /** An address that no test of this bed has had before. */
  nextIpv4(): string {
    return this.clients.ipv4(++this.#lastClient);
  }

  nextIpv6(): string {
    return this.clients.ipv6(++this.#lastClient);
  }

  /** What the program counted so far. */
  counts(): Counts {
    return inlineCounts(this.network.gate, tunnelOf(this.#options) ?? this.network.device);
  }

  /** Waits until a counter has gone up by so much. */
  async counted(outcome: InlineOutcome, before: Counts, by = 1): Promise<void> {
    await waitFor(`${by} more ${outcome}`, () => this.counts()[outcome] >= before[outcome] + by);
  }

  /** What the program makes of a frame that the kernel never gets to see (BPF_PROG_TEST_RUN). */
  async tryFrame(frame: Uint8Array): Promise<{ readonly verdict: number; readonly frame: Uint8Array }> {
    using directory = new TempDir();
    const [id] = xdpPrograms(this.network.gate, this.network.device);
    const input = directory.write("in", frame);
    const output = directory.file("out");
    const argv = ["prog", "run", "id", String(id), "data_in", input, "data_out", output, "repeat", "1"];
    const { retval } = bpftool(argv, this.network.gate) as { retval: number };
    return { verdict: retval, frame: Uint8Array.from(await readFile(output)) };
  }

  async restartGate(): Promise<void> {
    await this.gate[Symbol.asyncDispose]();
    this.gate = await startGate(this.network, this.map, this.#options);
  }

  /** What the server's kernel has of a connection, by "ADDRESS PORT", in whatever state. */
  async socketsOf(name: string): Promise<string[]> {
    const [address = "", port = ""] = name.split(" ");
    const { stdout } = await run(["ss", "-Htan", "dport", "=", `:${port}`], { namespace: this.network.gate });
    return stdout.split("\n").filter((line) => line.includes(`${address}]:${port}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.gate[Symbol.asyncDispose]();
    } finally {
      await this.#stack[Symbol.asyncDispose]();
    }
  }
}

function tunnelOf({ tunnel }: BedOptions): string | undefined {
  return tunnel === true ? "ttgtun0" : undefined;
}

function startGate(network: Network, map: BlockMap, options: BedOptions): Promise<RunningGate> {
  const args = ["--mode", "inline", "-B", map.name, "-l", "5000", "-i", tunnelOf(options) ?? network.device];
  return RunningGate.start([...args, ...(options.gate ?? [])], { namespace: network.gate });
}

export async function sysctl(namespace: string, setting: string): Promise<void> {
  const [name = "", value = ""] = setting.split("=");
  const path = `/proc/sys/${name.replaceAll(".", "/")}`;
  const result = await run(["sh", "-c", `echo ${value} > ${path}`], { namespace });
  if (result.code !== 0) throw new Error(`Cannot set "${setting}": ${result.stderr}`);
}

interface CounterEntry {
  readonly formatted: {
    readonly key: number;
    readonly values: readonly { readonly value: { readonly packets: number } }[];
  };
}

/** Of the XDP program on an interface, at once: the status counts twice a second. */
function inlineCounts(namespace: string, device: string): Counts {
  const [program] = xdpPrograms(namespace, device);
  const { map_ids = [] } = bpftool(["prog", "show", "id", String(program)]) as { map_ids?: number[] };
  const nameOf = (id: number) => (bpftool(["map", "show", "id", String(id)]) as { name: string }).name;
  // The kernel keeps 15 letters of "ttgate_inline_counters".
  const map = map_ids.find((id) => nameOf(id) === "ttgate_inline_c");
  const dump = bpftool(["map", "dump", "id", String(map)]) as readonly CounterEntry[];
  const counts: Record<string, number> = {};
  for (const { formatted } of dump) {
    // Of each port in turn, all outcomes.
    const outcome = inlineOutcomes[formatted.key % inlineOutcomes.length] ?? "";
    const packets = formatted.values.reduce((sum, { value }) => sum + value.packets, 0);
    counts[outcome] = (counts[outcome] ?? 0) + packets;
  }
  return counts as Counts;
}

/** What user space says of the test's own bytes, so that no test rests on a wrong belief. */
export function requireVerdicts(): void {
  const sniffer = loadSniffer("tapetrack");
  const verdicts = [friendly, hostile].map((bytes) => sniffer.sniff(bytes, false).kind);
  if (verdicts.join() !== "accept,foreign") throw new Error(`The test's bytes are judged as ${verdicts}`);
}
