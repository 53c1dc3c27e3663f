// SPDX-License-Identifier: Apache-2.0
// What a gate holds at a moment, seen from outside: whatever there is more of after hours of work has leaked.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { run } from "./child.ts";
import { type BlockMap, bpftool, type RunningGate } from "./gate.ts";
import type { Network } from "./netns.ts";
import { sleep } from "./wait.ts";

export interface Holdings {
  /** Descriptors by what they are: socket, bpf-map, ... */
  readonly descriptors: Readonly<Record<string, number>>;
  /** Entries of the kernel's map, and bans of the table. */
  readonly entries: number;
  readonly bans: number;
  readonly connections: number;
  /** TCP sockets that listen in the gate's namespace. */
  readonly listeners: number;
  readonly pins: number;
}

export async function holdings(gate: RunningGate, network: Network, map: BlockMap): Promise<Holdings> {
  const { bans, connections } = await gate.status();
  const dump = (bpftool(["map", "dump", "pinned", map.path]) ?? []) as unknown[];
  const listening = await run(["ss", "-Hltn"], { namespace: network.gate });
  return {
    descriptors: descriptorsOf(gate.child.pid),
    entries: dump.length,
    bans: bans.active,
    connections: connections.active,
    listeners: listening.stdout.trim().split("\n").length,
    pins: map.pins().length,
  };
}

function descriptorsOf(pid: number): Record<string, number> {
  const counted: Record<string, number> = {};
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    const kind = kindOf(pid, fd);
    if (kind !== undefined) counted[kind] = (counted[kind] ?? 0) + 1;
  }
  return counted;
}

function kindOf(pid: number, fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:\[\d+\]$/, "");
  } catch {
    return undefined;
  }
}

/** How often the main thread wakes up in a second: timers that were left behind make it more. */
export async function wakeUps(gate: RunningGate, seconds: number): Promise<number> {
  const count = () =>
    Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${gate.child.pid}/status`, "utf8"))?.[1]);
  const before = count();
  await sleep(seconds * 1000);
  return (count() - before) / seconds;
}
