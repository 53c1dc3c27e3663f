// SPDX-License-Identifier: Apache-2.0
// Whether another gate is using a set of maps. Two gates over one set would change each other's ports and
// take each other's program off. The heartbeat in the set decides, because the other gate may be in another
// PID namespace: one that goes on belongs to a gate that lives.
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { Failure } from "../../failure.ts";
import { openMap, readMapInfo } from "../../kernel/bpf_map.ts";
import { openPin } from "../../kernel/bpffs.ts";
import { access, readText } from "../../kernel/files.ts";
import type { Libraries } from "../../kernel/libraries.ts";
import { indexKey } from "./maps/counters.ts";
import { readSettings, type Settings, structBytes } from "./maps/layout.ts";
import { aliveMs } from "./maps/settings_map.ts";

/** A living gate writes its heartbeat twice in this time. */
const watchMs = 1100;
const lookMs = 100;

/** What the settings of a set say; undefined where there is none that can be read. */
export function settingsAt(libraries: Libraries, path: string): Settings | undefined {
  const pin = openPin(libraries, path);
  if (pin === undefined || typeof pin === "number") return undefined;
  using found = pin;
  if (found.kind !== "map" || readMapInfo(libraries, found.fd).valueBytes !== structBytes.settings) return undefined;
  const value = openMap(libraries, found.fd).lookup(indexKey(0));
  const settings = value === undefined ? undefined : readSettings(value);
  return settings?.kind === "settings" ? settings.settings : undefined;
}

/**
 * @param path of the settings map.
 * @param map as it was asked for.
 * @throws Failure when a gate is using the set.
 */
export async function requireUnused(
  libraries: Libraries,
  path: string,
  {
    map,
    nowMs,
    inherited,
    patienceMs = watchMs,
  }: {
    readonly map: string;
    nowMs(): number;
    readonly inherited?: unknown;
    readonly patienceMs?: number | undefined;
  },
): Promise<void> {
  if (inherited !== undefined) return;
  const before = settingsAt(libraries, path);
  if (before === undefined || before.daemonPid === 0 || nowMs() - before.heartbeatMs >= aliveMs) return;
  const pid = before.daemonPid;
  const inUse = new Failure(
    `Block map "${map}": the gate with pid ${pid} is using it: stop it first, or name another map`,
  );
  if (pid !== process.pid && isRunning(libraries, pid)) throw inUse;
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += lookMs) {
    await setTimeout(lookMs);
    const now = settingsAt(libraries, path);
    if (now !== undefined && now.heartbeatMs > before.heartbeatMs) throw inUse;
  }
}

/** Whether this PID namespace has such a process. */
export function isRunning({ libc }: Libraries, pid: number): boolean {
  if (access(libc, `/proc/${pid}/stat`) !== 0) return false;
  const state = /\) (\S)/.exec(readText(libc, `/proc/${pid}/stat`))?.[1];
  // Dead, and not fetched by its parent yet.
  return state !== "Z" && state !== "X";
}
