// SPDX-License-Identifier: Apache-2.0
// What the daemon does again and again, each part with its name and its period.
import type { Fence, FencePlace } from "../core/bans/fence.ts";
import type { Blocklists } from "../sources/blocklist/blocklists.ts";
import type { MapWatch } from "../sources/map_watch.ts";
import { inTurns } from "../sources/turns.ts";
import type { Announcement } from "./announcement.ts";
import type { DaemonBans } from "./bans.ts";
import type { DaemonGate } from "./daemon_gate.ts";
import type { Diversions } from "./diversions.ts";
import { type DaemonGates, gatesTickMs } from "./gates.ts";
import type { GuardedInterfaces } from "./guarded_interfaces.ts";
import type { LeftBehind } from "./left_behind.ts";
import type { OpenFiles } from "./open_files.ts";
import type { Protection } from "./protection.ts";
import type { Readiness } from "./readiness.ts";
import type { OpenedState } from "./state/state.ts";
import type { StatusServer } from "./status_server.ts";
import type { DaemonStatus } from "./status_source.ts";
import { sweepBans } from "./sweeper.ts";
import type { Tasks } from "./tasks.ts";
import type { Ticker } from "./ticker.ts";
import type { UnseenConnections } from "./unseen.ts";

export interface PeriodicParts {
  readonly gates: DaemonGates;
  readonly bans: DaemonBans;
  readonly protection: Protection;
  readonly readiness: Readiness;
  readonly status: DaemonStatus;
  readonly fence: Fence | undefined;
  readonly interfaces: GuardedInterfaces;
  /** The kernel judges first bytes. */
  readonly judges: boolean;
  readonly watch: MapWatch | undefined;
  readonly unseen: UnseenConnections;
  readonly lists: Blocklists;
  readonly state: OpenedState | undefined;
  readonly server: StatusServer;
  readonly openFiles: OpenFiles;
  readonly tasks: Tasks;
  readonly diversions: Diversions;
  readonly leftBehind: LeftBehind;
  readonly announcement: Announcement;
  readonly nowMs: () => number;
  renewFence(nowMs: number): Promise<void>;
}

/** Of what the kernel decided; a hundred milliseconds are allowed for it to be seen. */
const fetchMs = 40;
/** Deadlines and expiry are a matter of seconds; the kernel compares its own deadlines to the nanosecond. */
const tickMs = 500;
/** What another tool writes into the map is to be seen within a second; a map of a million places is 16 MB to look through. */
const watchMs = 500;
/** Interfaces, addresses and routes that come and go are to be seen within a second. */
const hostMs = 500;
const resolveMs = 5000;
/** The finest step of the history. */
const sampleMs = 1000;
const renewMs = 1000;
/** One that was still another process's when this one began, and what somebody may remove. */
const statusMs = 1000;
/** As long as a sign of life is fresh. */
const leftBehindMs = 5000;
/** The engine keeps a thread without work for some ten seconds. */
const tasksMs = 5000;
/** What a loss of power may cost. */
const saveMs = 250;

export function addPeriodicWork(ticker: Ticker, parts: PeriodicParts): void {
  const { gates, bans, protection, readiness, state, status, nowMs } = parts;
  const { enforcement } = bans;
  const isServing = () => readiness.phase === "serving";
  ticker.add({ name: "listener", everyMs: hostMs, run: () => gates.listen() });
  ticker.add({ name: "deadlines", everyMs: gatesTickMs, run: (now) => gates.tick(now) });
  ticker.add({ name: "settled connections", everyMs: gatesTickMs, run: () => gates.settle() });
  ticker.add({ name: "ended bans", everyMs: tickMs, run: () => sweepBans(enforcement, nowMs, isServing) });
  ticker.add({
    name: "upstreams",
    everyMs: tickMs,
    run: (now) => forEachGate(gates, (gate) => gate.lookAtUpstreams(now)),
  });
  ticker.add({
    name: "names of upstreams",
    everyMs: resolveMs,
    run: () => forEachGate(gates, (gate) => gate.upstreams.resolve()),
  });
  ticker.add({ name: "log", everyMs: tickMs, run: (now) => bans.log.flush(now) });
  ticker.add({
    name: "never-ban list",
    everyMs: hostMs,
    async run(now) {
      try {
        await protection.lookAtRoutes(now);
      } finally {
        await inTurns(enforcement.protect(protection.entries(now), nowMs));
      }
    },
  });
  ticker.add({ name: "trials", everyMs: tickMs, run: (now) => gates.tickTrials(now) });
  ticker.add({ name: "history", everyMs: sampleMs, run: (now) => status.sample(now) });
  ticker.add({ name: "blocklists", everyMs: tickMs, run: (now) => parts.lists.tick(now) });
  if (state !== undefined) ticker.add({ name: "saving bans", everyMs: saveMs, asOwner: true, run: () => state.save() });
  ticker.add({ name: "status endpoint", everyMs: statusMs, asOwner: true, run: (now) => parts.server.open(now) });
  ticker.add({ name: "open files", everyMs: tickMs, asOwner: true, run: (now) => parts.openFiles.tick(now) });
  ticker.add({ name: "tasks", everyMs: tasksMs, run: () => parts.tasks.tick() });
  ticker.add({ name: "packet filter", everyMs: statusMs, run: (now) => parts.diversions.tick(now) });
  ticker.add({ name: "programs left behind", everyMs: leftBehindMs, run: (now) => parts.leftBehind.look(now) });
  ticker.add({ name: "run directory", everyMs: statusMs, run: () => parts.announcement.look() });
  addKernelWork(ticker, parts);
}

function addKernelWork(ticker: Ticker, parts: PeriodicParts): void {
  const { gates, fence, interfaces, judges, watch, unseen } = parts;
  if (fence !== undefined) {
    const asOwner = true;
    ticker.add({ name: "interfaces", everyMs: hostMs, asOwner, run: () => fence.cover(interfaces.now()) });
    ticker.add({ name: "fence", everyMs: tickMs, asOwner, run: (now) => fence.tick(now) });
    ticker.add({ name: "replacing frozen maps", everyMs: renewMs, asOwner, run: (now) => parts.renewFence(now) });
    ticker.add({ name: "unseen connections", everyMs: tickMs, run: (now) => unseen.say(now) });
    ticker.add({ name: "fence status", everyMs: tickMs, run: () => lookAtFence(fence, parts) });
  }
  if (judges) {
    const each = (run: (gate: DaemonGate, now: number) => void) => (now: number) => {
      for (const gate of gates.open) run(gate, now);
    };
    ticker.add({ name: "second observer", everyMs: tickMs, run: each(({ observer }, now) => observer.tick(now)) });
    ticker.add({ name: "undecided in the kernel", everyMs: tickMs, run: each((gate, now) => gate.tickStalled(now)) });
    ticker.add({ name: "decisions of the kernel", everyMs: fetchMs, run: () => void gates.fetchDecisions() });
    ticker.add({ name: "kernel judge", everyMs: tickMs, run: () => gates.tickJudge() });
  }
  if (watch !== undefined) ticker.add({ name: "block map", everyMs: watchMs, run: () => watch.step() });
}

async function forEachGate(gates: DaemonGates, act: (gate: DaemonGate["gate"]) => Promise<void>): Promise<void> {
  await Promise.all(gates.open.map(({ gate }) => act(gate)));
}

/** For those who ask for the status: they make no system call. */
export function lookAtFence(
  fence: Fence,
  { status, bans, nowMs }: Pick<PeriodicParts, "status" | "bans" | "nowMs">,
): void {
  const now = fence.status();
  status.fence = { ...now, places: withAge(now.places, status.fence?.places, nowMs()) };
  const { managedBy, places } = status.fence;
  bans.isFenceUp = managedBy !== undefined || places.some(({ attach }) => attach !== "none");
}

function withAge(
  places: readonly FencePlace[],
  before: readonly FencePlace[] | undefined,
  nowMs: number,
): readonly FencePlace[] {
  if (before === undefined) return places;
  const held = new Map(before.map((place) => [place.name, place]));
  return places.map((place) => {
    const last = held.get(place.name);
    const isNew = last === undefined || last.attach === "none";
    return place.attach === "none" ? place : { ...place, sinceMs: isNew ? nowMs : last.sinceMs };
  });
}
