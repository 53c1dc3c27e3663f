// SPDX-License-Identifier: Apache-2.0
// The daemon: what exists once for each process. Makes the parts, joins them, and takes them down in reverse
// order, also when a start fails half-way. What each part does is decided in its own file.
import { setImmediate } from "node:timers/promises";
import type { Config } from "../config/options.ts";
import { termsOf } from "../config/terms.ts";
import type { Ban } from "../core/bans/claim.ts";
import { Events } from "../core/bans/events.ts";
import type { Fence } from "../core/bans/fence.ts";
import { conducts } from "../core/bans/strikes.ts";
import { Failure } from "../failure.ts";
import { joined } from "../fences/fence_group.ts";
import { interfaceMissing } from "../fences/xdp/attach/attachment.ts";
import { requireFree } from "../gate/listener.ts";
import { Names } from "../host/names.ts";
import { bootClock } from "../kernel/clock.ts";
import type { Log, LogForm } from "../log.ts";
import type { Runtime } from "../runtime/types.ts";
import { listed } from "../sources/blocklist/application.ts";
import { Blocklists } from "../sources/blocklist/blocklists.ts";
import { MapWatch } from "../sources/map_watch.ts";
import { EventStreams } from "../status/event_stream.ts";
import type { ReloadAnswer } from "../status/routes.ts";
import { Announcement } from "./announcement.ts";
import { auditLog } from "./audit_log.ts";
import { DaemonBans } from "./bans.ts";
import { DaemonGate, type GateSurroundings, judgedPort, judgingOf } from "./daemon_gate.ts";
import { openFleet } from "./fleet.ts";
import { DaemonGates } from "./gates.ts";
import { giveUpPrivileges, guardedInterfaces, openFence } from "./open_fence.ts";
import { addPeriodicWork, lookAtFence } from "./periodic.ts";
import { Profiles } from "./profiles.ts";
import { Protection } from "./protection.ts";
import { Readiness } from "./readiness.ts";
import { compare, prepare } from "./reload.ts";
import { roomForLists } from "./room_for_lists.ts";
import { sayReload, sayStart } from "./start_log.ts";
import { openState } from "./state/state.ts";
import { serveStatus, statusToken } from "./status_server.ts";
import { DaemonStatus } from "./status_source.ts";
import { Ticker } from "./ticker.ts";
import { UnseenConnections } from "./unseen.ts";
import { Ways } from "./ways.ts";

export interface DaemonOptions {
  readonly config: Config;
  /** The configuration as it is written now, for a reload. @throws Failure with every mistake in it. */
  readonly readConfig: () => Config;
  readonly runtime: Runtime;
  readonly version: string;
  readonly log: Log & { form: LogForm };
  /** Called with the name of each step of the start when it is done. */
  readonly onStep?: (name: string) => void;
}

export interface Daemon {
  /** Reads the configuration and the profile again and takes over what can be. @throws Failure; nothing changes then. */
  reload(): Promise<ReloadAnswer>;
  /** Stops accepting, ends what is open, takes the kernel block down (unless --keep). Idempotent. */
  close(): Promise<void>;
}

/** For who follows the events: those of a moment ago again after a short break, and room for a burst. */
const eventsKept = 1024;

/** @throws Failure; then nothing of it is left. */
export async function openDaemon(options: DaemonOptions): Promise<Daemon> {
  const { runtime, version, log } = options;
  const step = options.onStep ?? (() => {});
  let config = options.config;
  const dryRun = config["dry-run"];
  const nowMs = bootClock();
  const token = statusToken();
  const profiles = new Profiles();
  const profilesOfAll = config.gates.map((gate) => ({ gate, profile: profiles.load(gate, dryRun) }));

  // From the clock, so that the numbers go on increasing when the gate is started anew.
  const events = new Events(eventsKept, Date.now() * 1000);
  const eventStreams = new EventStreams(events, nowMs);
  const names = new Names(log);
  const protection = new Protection(config, names);

  await using opened = new AsyncDisposableStack();
  for (const { mode, listen } of config.gates) if (mode === "proxy") await requireFree(runtime, listen);
  step("ports found free");

  const protocols = profilesOfAll.flatMap(({ profile }) => profile.sniffer.protocols);
  const judged = profilesOfAll.flatMap(
    ({ gate, profile }) => judgedPort(gate, profile, judgingOf(dryRun, gate.trial !== undefined)) ?? [],
  );
  const xdp = await openFence(config, {
    ...{ runtime, version, nowMs, onStep: step, log },
    judged: judged.length === 0 ? undefined : judged,
    protocols: [...protocols, ...conducts, listed],
  });
  const judge = () => xdp?.judge;
  const fence = xdp === undefined ? undefined : joined([xdp]);
  let keep = config.keep || xdp?.stoodBefore === true;
  opened.defer(() => fence?.close(keep));
  step("fence opened");

  const gates = new DaemonGates({ judge, neverBan: () => bans.enforcement.neverBan });
  const inline = () => gates.inline;
  const ways = new Ways({
    ...{ hasFence: fence !== undefined, fence: () => status.fence, inline, dryRun, nowMs },
    isBehindProxy: (seenBy) =>
      config.gates.some((gate) => gate["accept-proxy"].length > 0 && (seenBy ?? gate.name) === gate.name),
  });
  opened.defer(() => ways[Symbol.dispose]());
  await ways.open(runtime.native, log);
  const refusalOf = (ban: Ban) => ways.refusalOf(ban);
  const unseen = new UnseenConnections(events, log);
  const bans: DaemonBans = new DaemonBans({
    ...{ dryRun, fence, refusalOf, events, log, nowMs },
    terms: () => termsOf({ ...config, "timeout-for": [] }),
    hasFriends: (client) => gates.open.some(({ gate }) => gate.sessions.hasFriend(client.sourceText)),
    maxBans: config["max-bans"],
    ipv6Bits: config["ipv6-prefix"],
    neverBan: protection.entries(nowMs()),
  });
  const { enforcement } = bans;
  opened.defer(() => bans.log.close());
  const moment = () => ({ nowMs: nowMs(), wallMs: Date.now() });
  const state = dryRun ? undefined : openState({ config, enforcement, offenders: bans.offenders, moment, log });
  opened.defer(() => state?.close());
  const surroundings: GateSurroundings = {
    ...{ runtime, bans, events, ways, unseen, judge, names, log, nowMs, config: () => config },
    trialPath: (gate) => state?.trialPath(gate),
    places: () => status.fence?.places ?? [],
    guardsLoopback: () => guardedInterfaces(config).includes("lo"),
    relays: () => Math.max(1, config.gates.filter(({ mode }) => mode === "proxy").length),
  };
  opened.defer(() => gates.close());
  for (const { gate, profile } of profilesOfAll) {
    gates.replace([...gates.open, new DaemonGate(gate, profile, surroundings)]);
  }
  step("gates made");
  const watch = fence === undefined ? undefined : new MapWatch(fence, enforcement, log, nowMs);

  const ticker = new Ticker(log, nowMs);
  const hasRoom = roomForLists(enforcement.bans, fence, () => status.fence);
  const lists = new Blocklists({ enforcement, hasRoom, ipv6Bits: config["ipv6-prefix"], log, nowMs });
  opened.defer(() => lists.close());
  enforcement.follow(lists);
  const readiness = new Readiness({
    ...{ gates: () => gates.open, ticker, unseen, lists, fleet: () => member?.fleet, nowMs },
  });
  const status: DaemonStatus = new DaemonStatus({
    ...{ version, bans, readiness, fence, refusalOf, unseen, lists, nowMs, reload },
    gates: () => gates.open,
    judgedCounts: () => judge()?.counts,
    talkers: watch?.talkers,
    config: () => config,
    runtime: `${runtime.name} ${runtime.version}`,
    events: eventStreams,
    fleet: () => member?.fleet,
  });

  if (fence !== undefined) lookAtFence(fence, { status, bans });
  const isOnTrial = (name: string) => gates.open.some((gate) => gate.name === name && gate.isOnTrial);
  await state?.begin(isOnTrial);
  step("bans of an earlier run taken up");
  const endingsPath = state?.endingsPath;
  const member = await openFleet({ config: () => config, bans, fence, endingsPath, version, moment, log });
  opened.defer(() => member?.close());
  await gates.listen();
  if (fence !== undefined && gates.inline !== "none") requireGuarded(fence, log);
  opened.defer(() => gates.retireAll());
  step("listening");
  gates.beginJudging();
  for (const { trial } of gates.open) trial?.begun();
  step("kernel judge begun");
  readiness.phase = "serving";
  const audit = auditLog(log, bans.log.lines);
  const server = await serveStatus(runtime, config.status, token, () => config["status-host"], status, audit);
  opened.defer(() => server?.close());
  opened.defer(() => eventStreams.close());
  step("status endpoint opened");
  const announcement = new Announcement({ version, token, log });
  announcement.renew(config);
  opened.defer(() => announcement.end());
  step("instance announced");
  for (const { observer } of gates.open) await observer.begin();
  step("second observers begun");
  const trialPaths = gates.open.flatMap(({ trial }) => trial?.paths ?? []);
  const paths = [...(xdp?.pins ?? []), ...(state?.paths ?? []), ...(member?.paths ?? []), ...trialPaths];
  await giveUpPrivileges(config, paths, { runtime, log });
  for (const gate of gates.open) await gate.beSilent();
  step("privileges given up");

  keep = config.keep;
  sayStart(config, status.snapshot(), log);
  await watch?.adoptAll();
  bans.log.started();
  step("bans of the map taken up");
  await lists.open(config.blocklist);

  addPeriodicWork(ticker, {
    ...{ gates, bans, protection, readiness, status, watch, state, fence, unseen, lists, nowMs, renewFence },
    judges: judge() !== undefined,
    config: () => config,
  });
  member?.start(ticker);
  ticker.start();
  for (const { gate } of gates.open) {
    void gate.upstreams.probe(nowMs(), 0);
    void gate.upstreams.resolve();
  }

  async function renewFence(now: number): Promise<void> {
    if (xdp?.renew(now, gates.judged) !== true) return;
    log("warn", "The block map was frozen by another tool: replaced, and filled from the table");
    // Until it is full again, what is not in it was not taken out by anybody.
    watch?.pause();
    gates.beginJudging();
    for (const { observer } of gates.open) await observer.begin();
    for (const _ of enforcement.refill(nowMs)) await setImmediate();
    watch?.resume();
  }

  let reloading: Promise<unknown> = Promise.resolve();

  /** One after another. */
  function reload(): Promise<ReloadAnswer> {
    const next = reloading.then(takeOver, takeOver);
    reloading = next;
    return next;
  }

  async function takeOver(): Promise<ReloadAnswer> {
    const parts = { gates, profiles, surroundings, xdp };
    const differences = compare(config, options.readConfig(), parts);
    const carryOut = await prepare(differences.config, parts);
    config = differences.config;
    keep = config.keep;
    log.form = config.log;
    // First: a ban may be about to block more than it did.
    protection.reconfigure(config);
    enforcement.protect(protection.entries(nowMs()), nowMs());
    await carryOut();
    await member?.reconfigure();
    await lists.reconfigure(config.blocklist);
    announcement.renew(config);
    await state?.moveFor(config);
    return sayReload(differences, log);
  }

  const running = opened.move();
  let closing: Promise<void> | undefined;
  return {
    reload,
    close() {
      closing ??= (async () => {
        readiness.phase = "stopping";
        ticker.stop();
        gates.cutAll();
        await running.disposeAsync();
      })();
      return closing;
    },
  };
}

/**
 * Nobody but the kernel judges in inline mode. An interface that is not there yet is waited for.
 * @throws Failure when those that are there cannot be judged on.
 */
function requireGuarded(fence: Fence, log: Log): void {
  const { places } = fence.status();
  if (places.some(({ attach }) => attach !== "none")) return;
  const refused = places.filter(({ reason }) => reason !== interfaceMissing);
  if (refused.length === 0) {
    const what =
      places.length === 0 ? "an interface that carries the listen address" : places.map(({ name }) => name).join(", ");
    log("warn", `Inline mode judges nobody yet: waiting for ${what}`);
    return;
  }
  const reasons = refused.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
  throw new Failure(`Inline mode judges on no interface: ${reasons}; or use --mode proxy`, { exitCode: 3 });
}
