// SPDX-License-Identifier: Apache-2.0
// What the daemon does again and again, each part with its name and its period.
import type { Config } from "../config/options.ts";
import type { Fence } from "../core/bans/fence.ts";
import type { InlineJudge } from "../fences/xdp/inline/inline_judge.ts";
import type { Gate } from "../gate/gate.ts";
import type { KernelJudge } from "../sources/kernel_judge.ts";
import type { MapWatch } from "../sources/map_watch.ts";
import { Stalled } from "../sources/stalled.ts";
import type { DaemonBans } from "./bans.ts";
import { guardedInterfaces } from "./open_fence.ts";
import type { Protection } from "./protection.ts";
import type { Readiness } from "./readiness.ts";
import type { SecondObserver } from "./second_observer.ts";
import type { OpenedState } from "./state/state.ts";
import type { StatusServer } from "./status_server.ts";
import type { DaemonStatus } from "./status_source.ts";
import { sweepBans } from "./sweeper.ts";
import type { Ticker } from "./ticker.ts";

export interface PeriodicParts {
  readonly config: () => Config;
  readonly gate: Gate;
  readonly bans: DaemonBans;
  readonly protection: Protection;
  readonly readiness: Readiness;
  readonly status: DaemonStatus;
  readonly fence: Fence | undefined;
  readonly kernelJudge: KernelJudge | undefined;
  /** The kernel's judge that is in place now. */
  readonly judge: () => InlineJudge | undefined;
  readonly watch: MapWatch | undefined;
  readonly observer: SecondObserver;
  readonly state: OpenedState | undefined;
  readonly server: StatusServer;
  readonly nowMs: () => number;
  renewFence(nowMs: number): Promise<void>;
}

/** Of what the kernel decided; a hundred milliseconds are allowed for it to be seen. */
const fetchMs = 40;
/** Deadlines and expiry are a matter of seconds; the kernel compares its own deadlines to the nanosecond. */
const tickMs = 500;
/** What another tool writes into the map is to be seen within a second. */
const watchMs = 250;
/** Interfaces, addresses and routes that come and go are to be seen within a second. */
const hostMs = 500;
const resolveMs = 5000;
const renewMs = 1000;
/** One that was still another process's when this one began. */
const statusMs = 1000;
/** What a loss of power may cost. */
const saveMs = 250;

export function addPeriodicWork(ticker: Ticker, parts: PeriodicParts): void {
  const { config, gate, bans, protection, readiness, state, nowMs } = parts;
  const { enforcement } = bans;
  const isServing = () => readiness.phase === "serving";
  if (config().mode === "proxy") ticker.add({ name: "listener", everyMs: hostMs, run: () => gate.listen() });
  ticker.add({ name: "deadlines", everyMs: tickMs, run: (now) => gate.tick(now) });
  ticker.add({ name: "ended bans", everyMs: tickMs, run: () => sweepBans(enforcement, nowMs, isServing) });
  ticker.add({ name: "upstreams", everyMs: tickMs, run: (now) => gate.lookAtUpstreams(now) });
  ticker.add({ name: "names of upstreams", everyMs: resolveMs, run: () => gate.upstreams.resolve() });
  ticker.add({ name: "log", everyMs: tickMs, run: (now) => bans.log.flush(now) });
  ticker.add({
    name: "never-ban list",
    everyMs: hostMs,
    run: (now) => enforcement.protect(protection.entries(now), now),
  });
  if (state !== undefined)
    ticker.add({ name: "saving bans", everyMs: saveMs, asOwner: true, run: () => state.file.save() });
  ticker.add({ name: "status endpoint", everyMs: statusMs, asOwner: true, run: () => parts.server.open() });
  addKernelWork(ticker, parts);
}

function addKernelWork(ticker: Ticker, parts: PeriodicParts): void {
  const { config, fence, kernelJudge, watch, observer } = parts;
  if (fence !== undefined) {
    const asOwner = true;
    ticker.add({ name: "interfaces", everyMs: hostMs, asOwner, run: () => fence.cover(guardedInterfaces(config())) });
    ticker.add({ name: "fence", everyMs: tickMs, asOwner, run: (now) => fence.tick(now) });
    ticker.add({ name: "replacing frozen maps", everyMs: renewMs, asOwner, run: (now) => parts.renewFence(now) });
    ticker.add({ name: "fence status", everyMs: tickMs, run: () => lookAtFence(fence, parts) });
  }
  ticker.add({ name: "second observer", everyMs: tickMs, run: (now) => observer.tick(now) });
  if (kernelJudge !== undefined) {
    const stalled = stalledIn(parts);
    if (stalled !== undefined) {
      ticker.add({ name: "undecided in the kernel", everyMs: tickMs, run: (now) => stalled.tick(now) });
    }
    ticker.add({ name: "decisions of the kernel", everyMs: fetchMs, run: () => kernelJudge.fetch() });
    ticker.add({ name: "kernel judge", everyMs: tickMs, run: () => kernelJudge.tick() });
  }
  // Behind the kernel's decisions: what the map says of them has no evidence.
  if (watch !== undefined) ticker.add({ name: "block map", everyMs: watchMs, run: () => watch.step() });
}

/** Of a gate that the kernel alone judges for. */
function stalledIn({ config, gate, bans, judge }: PeriodicParts): Stalled | undefined {
  if (config().mode !== "inline") return undefined;
  return new Stalled({
    ...{ connections: judge, sniffer: () => gate.sniffer, ipv6Bits: config()["ipv6-prefix"] },
    firstPacketMs: config()["first-packet"],
    ban: (client, offence) => {
      if (bans.desk.ban(client, offence) === "spared") gate.counters.spared++;
    },
    strike: (client, bytes) => gate.fellSilent(client, bytes),
  });
}

/** For those who ask for the status: they make no system call. */
export function lookAtFence(fence: Fence, { status, bans }: Pick<PeriodicParts, "status" | "bans">): void {
  status.fence = fence.status();
  const { managedBy, places } = status.fence;
  bans.isFenceUp = managedBy !== undefined || places.some(({ attach }) => attach !== "none");
}
