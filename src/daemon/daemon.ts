// SPDX-License-Identifier: Apache-2.0
// The daemon: what exists once for each process. Makes the parts, joins them, and takes them down in reverse
// order, also when a start fails half-way. What each part does is decided in its own file.
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import type { Config } from "../config/options.ts";
import { lacksProxies } from "../config/sense.ts";
import { termsOf } from "../config/terms.ts";
import type { Ban } from "../core/bans/claim.ts";
import { Events } from "../core/bans/events.ts";
import type { Fence } from "../core/bans/fence.ts";
import { conducts } from "../core/bans/strikes.ts";
import { finished } from "../core/work.ts";
import { Failure } from "../failure.ts";
import { interfaceMissing } from "../fences/xdp/attach/attachment.ts";
import { bootId } from "../host/boot_id.ts";
import { Names } from "../host/names.ts";
import { sshConnection } from "../host/ssh_connection.ts";
import { bootClock, kernelClock } from "../kernel/clock.ts";
import { openLibc } from "../kernel/libc.ts";
import { NetworkChanges } from "../kernel/network_changes.ts";
import { readNextHops } from "../kernel/next_hops.ts";
import type { Log, LogForm } from "../log.ts";
import type { Runtime } from "../runtime/types.ts";
import { listed } from "../sources/blocklist/application.ts";
import { Blocklists } from "../sources/blocklist/blocklists.ts";
import { MapWatch } from "../sources/map_watch.ts";
import { inTurns } from "../sources/turns.ts";
import { EventStreams } from "../status/event_stream.ts";
import type { ReloadAnswer } from "../status/routes.ts";
import { Announcement } from "./announcement.ts";
import { auditLog } from "./audit_log.ts";
import { DaemonBans } from "./bans.ts";
import { Beginning } from "./beginning.ts";
import { openCrowdsec } from "./crowdsec.ts";
import { DaemonGate, type GateSurroundings, judgedPort, judgingOf } from "./daemon_gate.ts";
import { Diversions } from "./diversions.ts";
import { openFleet } from "./fleet.ts";
import { DaemonGates } from "./gates.ts";
import { GuardedInterfaces } from "./guarded_interfaces.ts";
import { innerStatusPath } from "./instance.ts";
import { LeftBehind } from "./left_behind.ts";
import { giveUpPrivileges, guardedInterfaces, openFence } from "./open_fence.ts";
import { OpenFiles } from "./open_files.ts";
import { addPeriodicWork, lookAtFence } from "./periodic.ts";
import { Profiles } from "./profiles.ts";
import { Protection } from "./protection.ts";
import { Readiness } from "./readiness.ts";
import { compare, prepare } from "./reload.ts";
import { roomForLists } from "./room_for_lists.ts";
import { sayReload, sayStart } from "./start_log.ts";
import { sinceBoot } from "./state/journal.ts";
import { openState } from "./state/state.ts";
import { StatusServer, statusToken } from "./status_server.ts";
import { DaemonStatus } from "./status_source.ts";
import { openHandover } from "./takeover/handover.ts";
import { Tasks } from "./tasks.ts";
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
  /** From the gate that runs (--takeover). */
  readonly takesOver?: boolean;
  /** Called with the name of each step of the start when it is done. */
  readonly onStep?: (name: string) => void;
}

export interface Daemon {
  /** Reads the configuration and the profile again and takes over what can be. @throws Failure; nothing changes then. */
  reload(): Promise<ReloadAnswer>;
  /** When another process serves in this one's place, and there is nothing left to do but `close`: why. */
  readonly replaced: Promise<string>;
  /** Stops accepting, ends what is open, takes the kernel block down (unless --keep). Idempotent. */
  close(): Promise<void>;
}

/** A server on this host answers within milliseconds. */
const firstProbeMs = 500;
/** A command that bans or lifts waits no longer for the disk. */
const savedMs = 2000;
/** For who follows the events: those of a moment ago again after a short break, and room for a burst. */
const eventsKept = 1024;

/** @throws Failure; then nothing of it is left. */
export async function openDaemon(options: DaemonOptions): Promise<Daemon> {
  const { runtime, version, log } = options;
  const step = options.onStep ?? (() => {});
  let config = options.config;
  const dryRun = config["dry-run"];
  const libc = openLibc(runtime.native);
  const nowMs = bootClock(kernelClock(libc));
  const token = statusToken();
  const profiles = new Profiles();
  const profilesOfAll = config.gates.map((gate) => ({ gate, profile: finished(profiles.make(gate, dryRun)) }));

  // From the clock, so that the numbers go on increasing when the gate is started anew.
  const events = new Events(eventsKept, Date.now() * 1000);
  const eventStreams = new EventStreams(events, nowMs);
  const names = new Names(log);
  await using opened = new AsyncDisposableStack();
  const network = opened.use(new NetworkChanges(libc));
  const networkVersion = () => network.version();
  const protection = new Protection(config, names, networkVersion, () => readNextHops(runtime.native, libc));
  const session = sshConnection(process.env);
  if (session !== undefined) protection.loggedIn(session, nowMs());
  // What fails here fails again within a second, as periodic work, and is said then.
  const lookAtRoutes = () => protection.lookAtRoutes(nowMs()).catch(() => {});
  await lookAtRoutes();

  // Of what another process may see the last to go: then the gate before knows that nothing of this one is left.
  const takesOver = options.takesOver === true;
  const beginning = opened.use(await Beginning.find({ config, runtime, version, log, takesOver }));
  const { manager } = beginning;
  await beginning.requirePorts();
  step("ports found free");

  const protocols = profilesOfAll.flatMap(({ profile }) => profile.sniffer.protocols);
  const judged = profilesOfAll.flatMap(
    ({ gate, profile }) => judgedPort(gate, profile, judgingOf(dryRun, gate.trial !== undefined)) ?? [],
  );
  const fence = await openFence(config, {
    ...{ runtime, version, nowMs, onStep: step, log },
    onEnforced: (milliseconds) => bans.latency.observe(milliseconds / 1000),
    judged: judged.length === 0 ? undefined : judged,
    protocols: [...protocols, ...conducts.keys(), listed],
    inherited: beginning.inherited(protection.entries(nowMs()).map(({ prefix }) => prefix)),
  });
  const judge = () => fence?.judge;
  let keep = config.keep || fence?.stoodBefore === true;
  opened.defer(() => fence?.close(keep));
  step("fence opened");

  const gates = new DaemonGates({ judge, neverBan: () => bans.enforcement.neverBan, nowMs });
  const inline = () => gates.inline;
  const ways = new Ways({
    ...{ hasFence: fence !== undefined, fence: () => status.fence, inline, dryRun, nowMs },
    isBehindProxy: (seenBy) =>
      config.gates.some((gate) => gate["accept-proxy"].length > 0 && (seenBy ?? gate.name) === gate.name),
  });
  opened.defer(() => ways[Symbol.dispose]());
  await ways.open(runtime.native, log);
  const refusalOf = (ban: Ban) => ways.refusalOf(ban);
  const mayAcceptProxy = (seenBy: string | undefined) =>
    config.gates.some((gate) => lacksProxies(gate) && (seenBy ?? gate.name) === gate.name);
  const unseen = new UnseenConnections(events, log);
  const bans: DaemonBans = new DaemonBans({
    ...{ dryRun, fence, refusalOf, mayAcceptProxy, events, log, nowMs },
    terms: () => termsOf({ ...config, "timeout-for": [] }),
    hasFriends: (client) => gates.open.some(({ gate }) => gate.sessions.hasFriend(client.sourceText)),
    maxBans: config["max-bans"],
    ipv6Bits: config["ipv6-prefix"],
    neverBan: protection.entries(nowMs()),
  });
  const { enforcement, offenders } = bans;
  opened.defer(() => bans.log.close());
  const boot = bootId(process.env);
  const moment = () => ({ nowMs: nowMs(), wallMs: Date.now(), boot });
  const isLocked = beginning.replaces !== undefined;
  const state = dryRun ? undefined : openState({ config, enforcement, offenders, libc, moment, log, isLocked });
  opened.defer(() => state?.close());
  const places = () => status.fence?.places ?? [];
  const interfaces = new GuardedInterfaces({ config: () => config, libc, fence: () => status.fence, networkVersion });
  const surroundings: GateSurroundings = {
    ...{ runtime, libc, bans, events, ways, unseen, judge, names, networkVersion, log, nowMs, places },
    config: () => config,
    trialPath: (gate) => state?.trialPath(gate),
    cameBy: (interfaceName) => interfaces.cameBy(interfaceName),
    gates: () => gates.open,
    guardsLoopback: () => guardedInterfaces(config).includes("lo"),
    relays: () => Math.max(1, config.gates.filter(({ mode }) => mode === "proxy").length),
  };
  opened.defer(() => gates.close());
  for (const { gate, profile } of profilesOfAll) {
    const descriptor = beginning.descriptor(gate);
    gates.replace([...gates.open, new DaemonGate(gate, profile, surroundings, descriptor)]);
  }
  step("gates made");
  // Who writes the same entry again and again fills no log.
  const rewritten: Log = (level, message, fields = {}) =>
    bans.log.lines.line(level, "entries for addresses that are never banned", () => [message, fields]);
  const watch =
    fence === undefined
      ? undefined
      : new MapWatch(fence, enforcement, { log: rewritten, nowMs, settle: () => gates.fetchDecisions() });

  const ticker = new Ticker(log, nowMs);
  const hasRoom = roomForLists(enforcement.bans, fence, () => status.fence);
  const lists = new Blocklists({ enforcement, hasRoom, ipv6Bits: config["ipv6-prefix"], log, nowMs });
  opened.defer(() => lists.close());
  enforcement.follow(lists);
  const openFiles = opened.use(
    new OpenFiles({
      ...{ libc, gates: () => gates.relays, log },
      dropStatus: (now) => server.dropConnections(now),
    }),
  );
  const tasks = new Tasks(log);
  const listens = () => gates.open.map(({ config: { listen } }) => listen);
  const judgedListens = () =>
    gates.open.flatMap(({ config: { listen }, isInline: alone, bansNobody, kernelJudge }) =>
      kernelJudge === undefined ? [] : [{ ...listen, alone, bansNobody }],
    );
  const diversions = opened.use(new Diversions({ libc, listens, judged: judgedListens, log }));
  const leftBehind = new LeftBehind({ native: runtime.native, libc, own: () => fence && config["block-map"], log });
  const readiness = new Readiness({
    ...{
      gates: () => gates.open,
      ticker,
      unseen,
      openFiles,
      tasks,
      diversions,
      leftBehind,
      lists,
      fleet: () => member?.fleet,
      crowdsec: () => crowdsec,
      unsaved: () => state?.error,
      growth: () => state?.growth,
      nowMs,
    },
  });
  const status: DaemonStatus = new DaemonStatus({
    ...{ version, bans, readiness, fence, refusalOf, unseen, openFiles, lists, nowMs, reload, loggedIn, saved },
    mayAcceptProxy,
    gates: () => gates.open,
    judgedCounts: () => judge()?.counts,
    talkers: watch?.talkers,
    config: () => config,
    runtime: `${runtime.name} ${runtime.version}`,
    events: eventStreams,
    fleet: () => member?.fleet,
    crowdsec: () => crowdsec,
  });

  if (fence !== undefined) lookAtFence(fence, { status, bans, nowMs });
  const isOnTrial = (name: string) => gates.open.some((gate) => gate.name === name && gate.isOnTrial);
  const goal = { enforcement, offenders, moment: () => sinceBoot(nowMs()) };
  await beginning.takeTable(goal);
  await state?.begin(isOnTrial, beginning.isTableTaken);
  step("bans of an earlier run taken up");
  const endingsPath = state?.endingsPath;
  const member = await openFleet({ config: () => config, bans, fence, endingsPath, version, moment, log });
  opened.defer(() => member?.close());
  const crowdsec = await openCrowdsec({ config: () => config, bans, hasRoom, version, moment, log });
  opened.defer(() => crowdsec?.close());
  if (fence !== undefined && gates.inline !== "none") requireGuarded(fence, log);
  await beginning.listen(gates, false);
  opened.defer(() => gates.retireAll());
  step("listening");
  gates.beginJudging();
  for (const { trial } of gates.open) trial?.begun();
  step("kernel judge begun");
  readiness.phase = "serving";
  // Whoever asks from now on for what needs all parts waits until they are there.
  const begun = Promise.withResolvers<void>();
  let lastTurn: Promise<unknown> = begun.promise;
  const server = new StatusServer({
    ...{ runtime, address: config.status, token, source: status, innerPath: innerStatusPath(), log },
    allowedHosts: () => config["status-host"],
    audit: auditLog(log, bans.log.lines),
    descriptor: beginning.statusListener(config.status),
  });
  opened.defer(() => server.close());
  await beginning.openStatus(server, false);
  opened.defer(() => eventStreams.close());
  step("status endpoint opened");
  const announcement = new Announcement({ version, token, replaces: beginning.replaces, log });
  announcement.renew(config);
  opened.defer(() => announcement.end());
  step("instance announced");
  for (const { observer } of gates.open) await observer.begin();
  step("second observers begun");
  const handover = await openHandover({
    ...{ runtime, version, config: () => config, gates, fence, watch, enforcement, bans, state, member, server },
    ...{ crowdsec, manager, ticker, nowMs, inTurn, log },
  });
  opened.use(handover);
  const trialPaths = gates.open.flatMap(({ trial }) => trial?.paths ?? []);
  const paths = [...(fence?.pins ?? []), ...(state?.paths ?? []), ...(member?.paths ?? []), ...trialPaths];
  await giveUpPrivileges(config, paths, { runtime, log });
  for (const gate of gates.open) await gate.beSilent();
  step("privileges given up");

  await beginning.listen(gates, true);
  await beginning.openStatus(server, true);
  keep = config.keep;
  const waiting = gates.open.filter(({ gate }) => gate.listenSocket.isWaiting).map(({ name }) => name);
  sayStart(config, status.snapshot(), waiting, log);
  await watch?.adoptAll();
  bans.log.started();
  step("bans of the map taken up");
  await lists.open(config.blocklist);

  addPeriodicWork(ticker, {
    ...{
      gates,
      bans,
      protection,
      readiness,
      status,
      server,
      watch,
      state,
      fence,
      interfaces,
      unseen,
      openFiles,
      tasks,
      diversions,
      leftBehind,
      lists,
      announcement,
      nowMs,
      renewFence,
    },
    judges: judge() !== undefined,
  });
  member?.start(ticker);
  crowdsec?.start();
  handover.begin();
  beginning.follow(goal, ticker);
  const summary = () => readiness.summary(status.fence, enforcement.bans.size);
  manager.follow(ticker, summary);
  ticker.start();
  for (const { gate } of gates.open) void gate.upstreams.resolve();
  // What is ready is said with the first word; a server that does not answer holds nobody up.
  const probes = gates.open.map(({ gate }) => gate.upstreams.probe(nowMs(), 0));
  await Promise.race([Promise.all(probes), setTimeout(firstProbeMs)]);
  manager.ready(summary());
  begun.resolve();

  async function renewFence(now: number): Promise<void> {
    if (fence?.renew(now, gates.judged) !== true) return;
    log("warn", "The block map was frozen by another tool: replaced, and filled from the table");
    // Until it is full again, what is not in it was not taken out by anybody.
    watch?.pause();
    gates.beginJudging();
    for (const { observer } of gates.open) await observer.begin();
    await inTurns(enforcement.refill(nowMs));
    watch?.resume();
  }

  async function loggedIn(connection: string): Promise<void> {
    if (protection.loggedIn(connection, nowMs()))
      await inTurns(enforcement.protect(protection.entries(nowMs()), nowMs));
  }

  async function saved(): Promise<void> {
    // While another process takes over, it is told what changes, and saves it.
    if (!ticker.isOwner) return;
    const written = async () => {
      await member?.saved();
      await state?.saved();
    };
    await Promise.race([written(), setTimeout(savedMs, undefined, { ref: false })]);
  }

  /** One after another: what replaces gates, and what hands them over. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = lastTurn.then(work, work);
    lastTurn = next;
    return next;
  }

  function reload(): Promise<ReloadAnswer> {
    return inTurn(async () => {
      if (handover.isDone)
        throw new Failure("This gate has handed over to another process: ask that one", { exitCode: 3 });
      manager.reloading();
      try {
        return await reloaded();
      } finally {
        manager.ready(summary());
      }
    });
  }

  async function reloaded(): Promise<ReloadAnswer> {
    const parts = { gates, profiles, surroundings, fence };
    const differences = compare(config, options.readConfig(), parts);
    const carryOut = await prepare(differences.config, parts);
    config = differences.config;
    keep = config.keep;
    log.form = config.log;
    // First: a ban may be about to block more than it did.
    protection.reconfigure(config);
    await lookAtRoutes();
    await inTurns(enforcement.protect(protection.entries(nowMs()), nowMs));
    await carryOut();
    await member?.reconfigure();
    crowdsec?.reconfigure();
    await lists.reconfigure(config.blocklist);
    announcement.renew(config);
    await state?.moveFor(config);
    return sayReload(differences, log);
  }

  const running = opened.move();
  let closing: Promise<void> | undefined;
  return {
    reload,
    replaced: handover.replaced,
    close() {
      closing ??= (async () => {
        if (!handover.isDone) manager.stopping();
        readiness.phase = "stopping";
        ticker.stop();
        // Who comes now waits for the next one, where the socket is not this process's alone.
        gates.retireAll();
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
