// SPDX-License-Identifier: Apache-2.0
// What a million bans cost: resident memory of the built executable, and in how long pieces the event loop is held
// by whatever goes through all of them. Bans have evidence: they come from a state file, as after a restart.
import { appendFileSync, writeFileSync } from "node:fs";
import { requirePrefix } from "../../src/core/address.ts";
import { Bans } from "../../src/core/bans/bans.ts";
import { Enforcement } from "../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../src/core/bans/never_ban.ts";
import { Offenders } from "../../src/core/bans/offenders.ts";
import { searchBans } from "../../src/core/bans/search.ts";
import { newBanCounters } from "../../src/core/counters.ts";
import { journalHead, journalLine } from "../../src/daemon/state/journal.ts";
import { takeUp } from "../../src/daemon/state/state.ts";
import { StateFile } from "../../src/daemon/state/state_file.ts";
import { sweepBans } from "../../src/daemon/sweeper.ts";
import { inTurns } from "../../src/sources/turns.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import type { Bench, BenchOptions, Report, Row } from "./report.ts";
import { piecesOf } from "./thread_time.ts";

const million = 1_000_000;
const sizes = [100_000, 300_000, million];
const hourMs = 3_600_000;
const listenPort = 5000;
/** After a start; what it needed for that alone goes back. */
const quietMs = 15_000;
/** The collector sweeps in slices, a tenth of a second after it has marked. */
const sweptMs = 1000;

type Subject = "user space" | "kernel map" | "one process";

function row(metric: string, unit: string, limit: number, subjects: readonly Subject[]): Row {
  const samples = Object.fromEntries([...subjects.map((subject) => [subject, []]), ["limit", [limit]]]);
  const targets = subjects.map((subject) => ({ subject, reference: "limit", ratio: 1 }));
  return { metric, unit, better: "lower", samples, targets };
}

function add(target: Row, subject: Subject, sample: number): void {
  (target.samples[subject] as number[]).push(sample);
}

const gates: readonly Subject[] = ["user space", "kernel map"];
const perBan = new Map(
  sizes.map((size) => [size, row(`resident memory of a ban, of ${size.toLocaleString("en-GB")}`, "bytes", 250, gates)]),
);
const loaded = row("CPU time of a start with a million bans", "s", 3, gates);
const pieces = new Map<string, Row>();

function addPiece(what: string, longestMs: number): void {
  const known = pieces.get(what) ?? row(`longest piece: ${what}`, "ms", 5, ["one process"]);
  pieces.set(what, known);
  add(known, "one process", longestMs);
}

function sourceAt(number: number): string {
  return `${11 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}.7`;
}

function evidenceOf(number: number) {
  const firstBytes = Uint8Array.from({ length: 64 }, (_, at) => (number + at) & 255);
  return { firstBytes, clientAddress: sourceAt(number), clientPort: number & 0xffff, gatePort: listenPort };
}

/** A state file that such a gate reads at its start. */
function writeState(path: string, size: number): void {
  const moment = { nowMs: 0, wallMs: Date.now() };
  writeFileSync(path, `${journalHead}\n`);
  for (let start = 0; start < size; start += 10_000) {
    const lines = Array.from({ length: Math.min(10_000, size - start) }, (_, at) => {
      const claim = { origin: "sniffer" as const, reason: "http", sinceMs: 0, untilMs: 24 * hourMs };
      const claims = [{ ...claim, evidence: evidenceOf(start + at) }];
      return journalLine({ source: sourceAt(start + at), claims, offender: undefined }, moment);
    });
    appendFileSync(path, lines.join(""));
  }
}

interface Started {
  readonly residentBytes: number;
  readonly cpuSeconds: number;
}

async function start(network: Network, size: number, isInKernel: boolean): Promise<Started> {
  using directory = new TempDir();
  writeState(directory.file(`bans-127.0.0.1-${listenPort}`), size);
  using map = isInKernel ? new BlockMap() : undefined;
  const block = map === undefined ? [] : ["-B", map.name, "-i", "lo"];
  const args = ["-l", `127.0.0.1:${listenPort}`, "--never-ban", "none", "--state", directory.path, ...block];
  await using gate = await RunningGate.start(args, { namespace: network.gate, startMs: 60_000 });
  await gate.until("all bans taken up", ({ bans }) => bans.active === size);
  const cpuSeconds = (await gate.cpuMs()) / 1000;
  await new Promise((resolve) => setTimeout(resolve, quietMs));
  return { residentBytes: await gate.residentBytes(), cpuSeconds };
}

async function resident(network: Network): Promise<void> {
  for (const subject of gates) {
    const isInKernel = subject === "kernel map";
    const idle = await start(network, 0, isInKernel);
    for (const [size, target] of perBan) {
      const { residentBytes, cpuSeconds } = await start(network, size, isInKernel);
      add(target, subject, (residentBytes - idle.residentBytes) / size);
      if (size === million) add(loaded, subject, cpuSeconds - idle.cpuSeconds);
    }
  }
}

/** The daemon's parts in this process, so that the time of its one thread can be read. */
async function inOneProcess(): Promise<void> {
  using directory = new TempDir();
  const path = directory.file("bans");
  const startedMs = performance.now();
  const nowMs = () => performance.now() - startedMs;
  const moment = () => ({ nowMs: nowMs(), wallMs: Date.now() });
  const tableOf = () => {
    const bans = new Bans(2 * million, 64);
    const enforcement = new Enforcement(bans, new NeverBan(), undefined, newBanCounters());
    return { bans, enforcement, offenders: new Offenders(() => 0), moment };
  };
  const measure = async (what: string, work: () => Promise<unknown>) => {
    // What an earlier part left to be swept, in slices of ten milliseconds, is not this one's.
    Bun.gc(true);
    await new Promise((resolve) => setTimeout(resolve, sweptMs));
    addPiece(what, (await piecesOf(work)).longestMs);
  };

  const first = tableOf();
  const { bans, enforcement } = first;
  let size = 0;
  const grow = async (to: number) => {
    while (size < to) {
      const requests = Array.from({ length: 500 }, () => ({
        ...{ prefix: requirePrefix(sourceAt(size)), reason: "http", origin: "sniffer" as const },
        ...{ untilMs: hourMs + (size % 1000) * 1000, evidence: evidenceOf(size++) },
      }));
      enforcement.banMany(requests, nowMs(), true);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  };
  // Until everything is compiled, times say nothing of sizes.
  await grow(10_000);
  await measure("growth to a million, 500 at a time", () => grow(million));

  const file = new StateFile({ path, ...first, log: () => {} });
  enforcement.follow(file);
  await file.save();
  await measure("saved", () => {
    file.reopen();
    return file.save();
  });
  const query = { search: "http", order: "left", offset: 0, limit: 100 } as const;
  const search = () => inTurns(searchBans(bans, query, nowMs(), () => 0));
  await search();
  await measure("searched and put in order", search);
  const allowed = ["11.0.0.0/12", "198.51.100.1", "2001:db8::1"].map((text) => ({
    ...{ prefix: requirePrefix(text), why: "--allow" },
  }));
  await measure("the never-ban list changes", () => inTurns(enforcement.protect(allowed, nowMs)));
  await measure("a range is lifted", () => inTurns(enforcement.lift([requirePrefix("16.0.0.0/6")], nowMs)));
  await file.save();
  const second = tableOf();
  await measure("taken up", () => takeUp(path, second));
  const left = second.bans.size;
  if (left < million / 2 || left !== bans.size) throw new Error(`Cannot use the pieces: ${left} of ${bans.size} bans`);
  await measure("ended together", () =>
    sweepBans(
      second.enforcement,
      () => nowMs() + 24 * hourMs,
      () => true,
    ),
  );
  await file.close();
}

async function run({ rounds, say }: BenchOptions): Promise<Report> {
  using network = new Network();
  for (let round = 0; round < Math.min(rounds, 3); round++) {
    await resident(network);
    await inOneProcess();
    const rows = [...perBan.values(), loaded, ...pieces.values()];
    const told = rows.map(
      ({ metric, samples }) => `${metric} ${Object.values(samples).map((all) => all.at(-1)?.toPrecision(3))}`,
    );
    say(`round ${round + 1}  memory: ${told.join("; ")}`);
  }
  return {
    name: "memory",
    reference: "limit",
    rows: [...perBan.values(), loaded, ...pieces.values()],
    method: [
      "resident memory of the executable 15 s after a start that took the bans from a state file, less that of one without bans, for each ban; IPv4, 64 bytes of evidence; kernel map: XDP (generic) on the namespace's loopback; the kernel's own memory of the map comes on top",
      "what it is spent on: 65 bytes in columns (address 17, times 16, links and hash 30, free rows 2), 80 of evidence whether it is full or not, 18 more of an IPv6 client and 13 more for a lost bet, 4 in the order of arrival, 4 in the order of ends, 5 to 9 in the index; the rest, some megabytes however many bans there are, is what the load and, with a kernel map, the walk through it leave in the heap",
      "start: user and kernel time of all of the process's threads, less that of one without bans",
      "longest piece: CPU time of the thread between two turns of the event loop, garbage collection included, in one process with a million bans and no kernel map; each begins with a heap that was collected and swept",
    ],
  };
}

export const memoryBench: Bench = { name: "memory", run };
