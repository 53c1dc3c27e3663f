// SPDX-License-Identifier: Apache-2.0
// Nanoseconds that inline mode adds to the gate for one segment (BPF_PROG_TEST_RUN), by what has to be
// done with it. The test run looks sockets up in this process's namespace, so that the segments belong to
// real connections over loopback (stream.c).
import { embeddedObject } from "../../src/fences/xdp/gate_program.ts";
import { type InlineOutcome, inlineOutcomes } from "../../src/fences/xdp/inline/inline_layout.ts";
import { type Libraries, openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";
import { ethernet, ipv4, type Layer, packet } from "../bpf/packet.ts";
import { runProgram, verifiedInstructions } from "../bpf/test_run.ts";
import { Child } from "../harness/child.ts";
import { freePort } from "../harness/ports.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { createFriends } from "../vectors/friends.ts";
import { compileC } from "./compile.ts";
import { type LoadedGate, loadGateWay, type Way } from "./inline_object.ts";
import type { Bench, Report, Row } from "./report.ts";

/** Other work on the host only adds: of so many runs the least count. */
const runsPerSample = 5;
const keptRuns = 3;
const repeat = 50_000;
/** Room for the events of a run: each is one, and they are fetched in between. */
const hostileRepeat = 2000;
const friendCount = 8;
const verifierLimit = 1_000_000;

/** More than any rule looks at. */
const laterBytes = 300;

const firstNs = 1000;
const laterNs = 150;

interface Stream {
  readonly sourcePort: number;
  readonly seq: number;
  readonly ack: number;
}

interface Measured {
  readonly metric: string;
  readonly way: Way;
  readonly frames: readonly NativeBuffer[];
  /** What one run of it counts as: a figure for something else is worth nothing. */
  readonly outcome: InlineOutcome | undefined;
  readonly limitNs?: number;
}

async function streamOf(child: Child): Promise<Stream> {
  return JSON.parse((await child.said(/^\{.*\}$/m))[0]) as Stream;
}

/** A segment of the client, with a right checksum. */
function segment({ sourcePort, seq, ack }: Stream, port: number, content: Uint8Array): NativeBuffer {
  const bytes = new Uint8Array(20 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, sourcePort);
  view.setUint16(2, port);
  view.setUint32(4, seq);
  view.setUint32(8, ack);
  view.setUint16(12, 0x5018); // no options; PSH, ACK
  view.setUint16(14, 512);
  bytes.set(content, 20);
  view.setUint16(16, checksum(bytes));
  const layer: Layer = { protocol: 6, header: () => bytes };
  return packet(ethernet(), ipv4({ source: "127.0.0.1", destination: "127.0.0.1" }), layer);
}

function checksum(segmentBytes: Uint8Array): number {
  // Both addresses, the protocol, the length.
  let sum = 2 * (0x7f00 + 1) + 6 + segmentBytes.length;
  for (const [at, byte] of segmentBytes.entries()) sum += at % 2 === 0 ? byte << 8 : byte;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function friendsOf(bytes: number): readonly Uint8Array[] {
  const friends = createFriends(7);
  const found: Uint8Array[] = [];
  while (found.length < friendCount) {
    const next = friends.next();
    if (next.length >= bytes) found.push(next.slice(0, bytes));
  }
  return found;
}

const ways: readonly Way[] = ["XDP", "XDP before kernel 5.18", "tc"];
const gateColumn = "gate";
const inlineColumn = "inline";
const addedColumn = "added";
const limitColumn = "limit";

export const inlineCostBench: Bench = {
  name: "inline_cost",
  async run({ rounds, say }): Promise<Report> {
    using directory = new TempDir();
    await using stack = new AsyncDisposableStack();
    const libraries = await openLibraries(native);
    const [firstPort, laterPort] = [await freePort(), await freePort()];
    const gateObject = await embeddedObject("gate");
    const inlineObject = await embeddedObject("inline");
    const load = (way: Way, kind: "gate" | "inline", dryRun = false): LoadedGate =>
      stack.use(
        loadGateWay(libraries, kind === "gate" ? gateObject : inlineObject, way, {
          ports: [firstPort, laterPort],
          dryRun,
        }),
      );
    const gates = new Map(ways.map((way) => [way, load(way, "gate")]));
    const inlines = new Map(ways.map((way) => [way, load(way, "inline")]));
    const dryRun = load("XDP", "inline", true);
    const program = await compileC("stream", directory.path);
    const open = async (port: number, bytes: number) =>
      streamOf(stack.use(new Child([program, `${port}`, `${bytes}`], { holdInput: true })));
    // After the programs: connections from before are not judged.
    const first = await open(firstPort, 0);
    const later = await open(laterPort, laterBytes);
    const measured = measurements({ first, firstPort, later, laterPort });

    const rows = measured.map(rowOf);
    for (let round = 1; round <= rounds; round++) {
      say(`${this.name}: round ${round} of ${rounds}`);
      for (const [index, { way, frames, outcome }] of measured.entries()) {
        const gate = gates.get(way);
        const inline = outcome === "would_ban" ? dryRun : inlines.get(way);
        const samples = rows[index]?.samples;
        if (gate === undefined || inline === undefined || samples === undefined) continue;
        const count = outcome === "would_ban" ? hostileRepeat : repeat;
        for (const frame of frames) requireOutcome(libraries, inline, frame, outcome);
        const gateNs = mean(frames.map((frame) => nanoseconds(libraries, gate, frame, count)));
        const inlineNs = mean(frames.map((frame) => nanoseconds(libraries, inline, frame, count)));
        samples[gateColumn]?.push(gateNs);
        samples[inlineColumn]?.push(inlineNs);
        samples[addedColumn]?.push(inlineNs - gateNs);
      }
    }
    return {
      name: this.name,
      reference: limitColumn,
      rows: [
        ...rows,
        ...ways.map(
          (way): Row => ({
            metric: `the verifier on ${way}`,
            unit: "instructions",
            better: "lower",
            samples: {
              [gateColumn]: [verifiedInstructions(libraries, gates.get(way)?.programFd ?? -1)],
              [inlineColumn]: [verifiedInstructions(libraries, inlines.get(way)?.programFd ?? -1)],
              [limitColumn]: [verifierLimit],
            },
            targets: [{ subject: inlineColumn, reference: limitColumn, ratio: 1 }],
          }),
        ),
      ],
      method: [
        `BPF_PROG_TEST_RUN, ${runsPerSample} times ${repeat.toLocaleString("en-GB")} runs a sample, of which the least ${keptRuns} count, ${rounds} alternating rounds; gate: the program of proxy mode on the same frame; added: the difference.`,
        `The segments belong to a real connection over loopback, whose socket the program finds: one that has received nothing, and one that has received ${laterBytes} bytes. The test run hands nothing on, so that a first packet stays the first. What is counted for each frame is checked before. Later segments are of a connection that the program remembers, and of one that it has to look up.`,
        `Friends: the mean of ${friendCount} packets, half of them behind a clear header; profile tapetrack, the full library. Foreign: an HTTP request in a dry run, checksum and event included, ${hostileRepeat.toLocaleString("en-GB")} runs at a time, since the queue of events has an end.`,
      ],
    };
  },
};

interface Streams {
  readonly first: Stream;
  readonly firstPort: number;
  readonly later: Stream;
  readonly laterPort: number;
}

function measurements({ first, firstPort, later, laterPort }: Streams): readonly Measured[] {
  const firstOf = (contents: readonly Uint8Array[]) => contents.map((content) => segment(first, firstPort, content));
  const laterOf = (bytes: number) => [segment(later, laterPort, new Uint8Array(bytes).fill(0xaa))];
  // From before what is remembered of the connection, so that its socket is looked up each time.
  const again = segment({ ...later, seq: later.seq - 1 }, laterPort, new Uint8Array(1400).fill(0xaa));
  const friends64 = friendsOf(64);
  const friends1400 = friendsOf(1400);
  const http = new TextEncoder().encode(
    `GET / HTTP/1.1\r\nHost: 192.0.2.1\r\nUser-Agent: scanner/${"x".repeat(64)}\r\n\r\n`,
  );
  const passed = { outcome: "passed", limitNs: firstNs } as const;
  const judged = { outcome: undefined, limitNs: laterNs } as const;
  return [
    { metric: "a friend's first 64 bytes", way: "XDP", frames: firstOf(friends64), ...passed },
    { metric: "a friend's first 1,400 bytes", way: "XDP", frames: firstOf(friends1400), ...passed },
    {
      metric: "foreign first bytes, to the event",
      way: "XDP",
      frames: firstOf([http]),
      outcome: "would_ban",
      limitNs: firstNs,
    },
    { metric: "a later 64 bytes", way: "XDP", frames: laterOf(64), ...judged },
    { metric: "a later 1,400 bytes", way: "XDP", frames: laterOf(1400), ...judged },
    { metric: "a later 1,400 bytes, not remembered", way: "XDP", frames: [again], ...judged },
    { metric: "an ACK without data", way: "XDP", frames: laterOf(0), ...judged },
    { metric: "another port", way: "XDP", frames: [segment(later, 1, new Uint8Array(64))], outcome: undefined },
    ...ways.slice(1).flatMap((way): Measured[] => [
      { metric: `${way}: a friend's first 64 bytes`, way, frames: firstOf(friends64), ...passed },
      { metric: `${way}: a friend's first 1,400 bytes`, way, frames: firstOf(friends1400), ...passed },
      { metric: `${way}: a later 1,400 bytes`, way, frames: laterOf(1400), ...judged },
    ]),
  ];
}

function rowOf({ metric, limitNs }: Measured): Row & { readonly samples: Record<string, number[]> } {
  const samples = { [gateColumn]: [], [inlineColumn]: [], [addedColumn]: [] };
  const row = { metric, unit: "ns/packet", better: "lower" } as const;
  if (limitNs === undefined) return { ...row, samples };
  const targets = [{ subject: addedColumn, reference: limitColumn, ratio: 1 }];
  return { ...row, samples: { ...samples, [limitColumn]: [limitNs] }, targets };
}

function mean(samples: readonly number[]): number {
  return samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
}

/** @throws Error when the program has not done with the frame what is to be measured. */
function requireOutcome(
  libraries: Libraries,
  { programFd, judge }: LoadedGate,
  frame: NativeBuffer,
  wanted: InlineOutcome | undefined,
): void {
  if (judge === undefined) return;
  judge.count();
  const before = judge.counts;
  runProgram(libraries, programFd, frame);
  judge.count();
  const counted = inlineOutcomes.filter((outcome) => judge.counts[outcome] !== before[outcome]);
  if (counted.join() !== (wanted ?? "")) throw new Error(`Cannot measure "${wanted}": counted as "${counted}"`);
}

function nanoseconds(
  libraries: Libraries,
  { programFd, judge }: LoadedGate,
  frame: NativeBuffer,
  count: number,
): number {
  const runs = Array.from({ length: runsPerSample }, () => {
    const { durationNs } = runProgram(libraries, programFd, frame, { repeat: count });
    judge?.decisions(count);
    return durationNs;
  });
  return mean(runs.toSorted((a, b) => a - b).slice(0, keptRuns));
}
