// SPDX-License-Identifier: Apache-2.0
// The daemon: what exists once for each process. Makes the parts, joins them, and takes them down in reverse
// order, also when a start fails half-way. What each part does is decided in its own file.
import { setImmediate, setTimeout } from "node:timers/promises";
import { differencesOf } from "../config/difference.ts";
import { formatStatus } from "../config/endpoints.ts";
import type { Config } from "../config/options.ts";
import { loadSignatureTable, loadSniffer } from "../config/profile.ts";
import { termsOf } from "../config/terms.ts";
import { formatEndpoint } from "../core/address.ts";
import type { Ban } from "../core/bans/claim.ts";
import { Events } from "../core/bans/events.ts";
import type { Fence } from "../core/bans/fence.ts";
import { conducts } from "../core/bans/strikes.ts";
import { Failure, messageOf } from "../failure.ts";
import { joined } from "../fences/fence_group.ts";
import { interfaceMissing } from "../fences/xdp/attach/attachment.ts";
import { Gate } from "../gate/gate.ts";
import { Names } from "../host/names.ts";
import { bootClock } from "../kernel/clock.ts";
import type { Log, LogForm } from "../log.ts";
import { Recorder } from "../recording/recorder.ts";
import type { Runtime } from "../runtime/types.ts";
import { KernelJudge } from "../sources/kernel_judge.ts";
import { MapWatch } from "../sources/map_watch.ts";
import { EventStreams } from "../status/event_stream.ts";
import type { ReloadAnswer } from "../status/routes.ts";
import { auditLog } from "./audit_log.ts";
import { DaemonBans } from "./bans.ts";
import { Beginning } from "./beginning.ts";
import { announce, innerStatusPath } from "./instance.ts";
import { giveUpPrivileges, guardedInterfaces, openFence } from "./open_fence.ts";
import { addPeriodicWork, lookAtFence } from "./periodic.ts";
import { Protection } from "./protection.ts";
import { Readiness } from "./readiness.ts";
import { RefusedThoughFenced } from "./refused_though_fenced.ts";
import { SecondObserver } from "./second_observer.ts";
import { sayReload, sayStart } from "./start_log.ts";
import { openState } from "./state/state.ts";
import { StatusServer, statusToken } from "./status_server.ts";
import { DaemonStatus } from "./status_source.ts";
import { openHandover } from "./takeover/handover.ts";
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
  reload(): ReloadAnswer;
  /** When another process serves in this one's place, and there is nothing left to do but `close`: why. */
  readonly replaced: Promise<string>;
  /** Stops accepting, ends what is open, takes the kernel block down (unless --keep). Idempotent. */
  close(): Promise<void>;
}

/** A server on this host answers within milliseconds. */
const firstProbeMs = 500;
/** For who follows the events: those of a moment ago again after a short break, and room for a burst. */
const eventsKept = 1024;

/** @throws Failure; then nothing of it is left. */
export async function openDaemon(options: DaemonOptions): Promise<Daemon> {
  const { runtime, version, log } = options;
  const step = options.onStep ?? (() => {});
  let config = options.config;
  const isInline = config.mode === "inline";
  const dryRun = config["dry-run"];
  const nowMs = bootClock();
  const token = statusToken();
  const sniffer = loadSniffer(config.profile);
  const kernelJudges = isInline || (config.prefilter && !dryRun);
  let table = kernelJudges ? loadSignatureTable(config.profile) : undefined;

  // From the clock, so that the numbers go on increasing when the gate is started anew.
  const events = new Events(eventsKept, Date.now() * 1000);
  const eventStreams = new EventStreams(events, nowMs);
  const names = new Names(log);
  const protection = new Protection(config, names);

  await using opened = new AsyncDisposableStack();
  // The last to go: then the gate before knows that nothing of this one is left.
  const takesOver = options.takesOver === true;
  const beginning = opened.use(await Beginning.find({ config, runtime, version, log, takesOver }));
  const { manager, descriptor } = beginning;
  const recorder =
    config.record === undefined
      ? undefined
      : new Recorder({ file: config.record, limitBytes: config["record-max"] * 1024 * 1024, log });
  opened.defer(() => recorder?.close());
  step("recording opened");

  await beginning.requirePort();
  step("port found free");

  const protocols = [...sniffer.protocols, ...conducts];
  const xdp = await openFence(config, {
    ...{ runtime, version, table, protocols, nowMs, onStep: step, log },
    inherited: beginning.inherited(protection.entries(nowMs()).map(({ prefix }) => prefix)),
  });
  const fence = xdp === undefined ? undefined : joined([xdp]);
  let keep = config.keep || xdp?.stoodBefore === true;
  opened.defer(() => fence?.close(keep));
  step("fence opened");

  const ways = new Ways({
    ...{ hasFence: fence !== undefined, fence: () => status.fence, isInline, dryRun, nowMs },
    isBehindProxy: () => config["accept-proxy"].length > 0,
  });
  opened.defer(() => ways[Symbol.dispose]());
  await ways.open(runtime.native, log);
  const refusalOf = (ban: Ban) => ways.refusalOf(ban);
  const unseen = new UnseenConnections(events, log, isInline ? "judged" : "dropped");

  const bans: DaemonBans = new DaemonBans({
    ...{ dryRun, fence, refusalOf, events, log, nowMs },
    terms: () => termsOf(config),
    spareFriends: () => config["spare-friends"],
    hasFriends: (client) => gate.sessions.hasFriend(client.sourceText),
    maxBans: config["max-bans"],
    ipv6Bits: config["ipv6-prefix"],
    neverBan: protection.entries(nowMs()),
  });
  const { enforcement, desk } = bans;
  const gate = new Gate({
    ...{ config, sniffer, runtime, desk, log, recorder, names, nowMs, descriptor },
    refused: (client) => refused.refused(client),
    upstreamChanged: ({ address, reachable, error }) =>
      events.publish({ type: "upstream", atMs: nowMs(), upstream: address, reachable: reachable === true, error }),
  });
  enforcement.follow(gate);
  opened.defer(() => bans.log.close());
  const kernelJudge =
    xdp?.judge === undefined
      ? undefined
      : new KernelJudge({
          ...{ judge: () => xdp.judge, neverBan: enforcement.neverBan, counters: gate.counters, alone: isInline },
          ipv6Bits: config["ipv6-prefix"],
          sniffer: () => gate.sniffer,
          ban: (client, offence) => desk.ban(client, offence),
        });
  const watch = fence === undefined ? undefined : new MapWatch(fence, enforcement, log, nowMs);

  const places = () => status.fence?.places ?? [];
  const refused = new RefusedThoughFenced({ enforcement, ways, unseen, places, port: config.listen.port, nowMs });
  const observer = new SecondObserver({
    ...{ native: runtime.native, judge: () => (isInline ? xdp?.judge : undefined), listen: config.listen },
    ...{ unseen, places, log, nowMs, loopback: guardedInterfaces(config).includes("lo") },
  });
  opened.defer(() => observer[Symbol.dispose]());

  const ticker = new Ticker(log, nowMs);
  const readiness = new Readiness({ gate, kernelJudge, ticker, unseen, nowMs });
  const status: DaemonStatus = new DaemonStatus({
    ...{ version, gate, bans, readiness, fence, kernelJudge, refusalOf, unseen, observer, recorder, nowMs },
    config: () => config,
    runtime: `${runtime.name} ${runtime.version}`,
    events: eventStreams,
    reload,
  });

  if (fence !== undefined) lookAtFence(fence, { status, bans });
  const moment = () => ({ nowMs: nowMs(), wallMs: Date.now() });
  const { offenders } = bans;
  await beginning.takeTable({ enforcement, offenders, moment });
  const isTaken = beginning.isTableTaken;
  const state = dryRun ? undefined : await openState({ config, enforcement, offenders, moment, log, isTaken });
  opened.defer(() => state?.close());
  step("bans of an earlier run taken up");
  if (isInline && fence !== undefined) requireGuarded(fence, log);
  await beginning.listen(gate, false);
  opened.defer(() => gate.close());
  step("listening");
  kernelJudge?.begin();
  step("kernel judge begun");
  readiness.phase = "serving";
  const server = new StatusServer({
    ...{ runtime, address: config.status, token, source: status, innerPath: innerStatusPath() },
    allowedHosts: () => config["status-host"],
    audit: auditLog(log, bans.log.lines),
    descriptor: beginning.statusListener(config.status),
  });
  opened.defer(() => server.close());
  await beginning.openStatus(server, false);
  opened.defer(() => eventStreams.close());
  step("status endpoint opened");
  opened.defer(announceInstance({ config, version, token, log, replaces: beginning.replaces }));
  step("instance announced");
  await observer.begin();
  step("second observer begun");
  const handover = await openHandover({
    ...{ runtime, version, config: () => config, gate, xdp, watch, enforcement, kernelJudge, bans, state, server },
    ...{ manager, ticker, moment, log },
  });
  opened.use(handover);
  await giveUpPrivileges(config, [...(xdp?.pins ?? []), ...(state?.paths ?? [])], { runtime, log });
  if (!isInline && config.reject === "silent" && !dryRun) await gate.beSilent();
  step("privileges given up");

  await beginning.listen(gate, true);
  await beginning.openStatus(server, true);
  keep = config.keep;
  sayStart(config, status.snapshot(), log);
  await watch?.adoptAll();
  bans.log.started();
  step("bans of the map taken up");

  addPeriodicWork(ticker, {
    ...{ gate, bans, protection, readiness, status, server, kernelJudge, watch, state, fence, observer, nowMs },
    judge: () => xdp?.judge,
    config: () => config,
    renewFence,
  });
  handover.begin();
  beginning.follow({ enforcement, offenders, moment }, ticker);
  const summary = () => readiness.summary(status.fence, enforcement.bans.size);
  manager.follow(ticker, summary);
  ticker.start();
  void gate.upstreams.resolve();
  // What is ready is said with the first word; a server that does not answer holds nobody up.
  await Promise.race([gate.upstreams.probe(nowMs(), 0), setTimeout(firstProbeMs)]);
  manager.ready(summary());

  async function renewFence(now: number): Promise<void> {
    if (xdp?.renew(now) !== true) return;
    log("warn", "The block map was frozen by another tool: replaced, and filled from the table");
    // Until it is full again, what is not in it was not taken out by anybody.
    watch?.pause();
    kernelJudge?.begin();
    await observer.begin();
    if (table !== undefined) kernelJudge?.change({ table, banMs: config.timeout });
    for (const _ of enforcement.refill(nowMs)) await setImmediate();
    watch?.resume();
  }

  /** All that can go wrong goes wrong before anything is changed. */
  function reload(): ReloadAnswer {
    if (handover.isDone)
      throw new Failure("This gate has handed over to another process: ask that one", { exitCode: 3 });
    manager.reloading();
    try {
      return reloaded();
    } finally {
      manager.ready(summary());
    }
  }

  function reloaded(): ReloadAnswer {
    const next = options.readConfig();
    const differences = differencesOf(config, next);
    const nextSniffer = loadSniffer(differences.config.profile);
    const nextTable = table === undefined ? undefined : loadSignatureTable(differences.config.profile);
    kernelJudge?.change({ banMs: next.timeout, ...(nextTable === undefined ? {} : { table: nextTable }) });
    table = nextTable;
    config = differences.config;
    keep = config.keep;
    log.form = config.log;
    gate.reconfigure(config, nextSniffer);
    protection.reconfigure(config);
    enforcement.protect(protection.entries(nowMs()), nowMs());
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
        gate.close();
        gate.sessions.cutAll();
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

interface Announcement {
  readonly config: Config;
  readonly version: string;
  readonly token: string;
  /** The pid of the gate before. */
  readonly replaces: number | undefined;
  readonly log: Log;
}

function announceInstance({ config, version, token, replaces, log }: Announcement): () => void {
  const blockMap = config["block-map"];
  try {
    const listen = formatEndpoint({ address: config.listen.host, port: config.listen.port });
    const own = { version, listen, status: formatStatus(config.status), token };
    return announce({
      ...own,
      ...(blockMap === undefined ? {} : { blockMap }),
      ...(replaces === undefined ? {} : { replaces }),
    });
  } catch (error) {
    log("warn", `Cannot write to the run directory: ${messageOf(error)}; "ttgate ban" and "lift" need TTGATE_TOKEN`);
    return () => {};
  }
}
