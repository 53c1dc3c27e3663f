// SPDX-License-Identifier: Apache-2.0
// The daemon: what exists once for each process. Makes the parts, joins them, and takes them down in reverse
// order, also when a start fails half-way. What each part does is decided in its own file.
import { setImmediate } from "node:timers/promises";
import { differencesOf } from "../config/difference.ts";
import { formatStatus } from "../config/endpoints.ts";
import type { Config } from "../config/options.ts";
import { loadSignatureTable, loadSniffer, profileFingerprint, requireProven } from "../config/profile.ts";
import { termsOf } from "../config/terms.ts";
import { formatEndpoint, parsePrefix, requirePrefix } from "../core/address.ts";
import type { Ban } from "../core/bans/claim.ts";
import { Events } from "../core/bans/events.ts";
import type { Fence } from "../core/bans/fence.ts";
import { conducts } from "../core/bans/strikes.ts";
import { Failure, messageOf } from "../failure.ts";
import { joined } from "../fences/fence_group.ts";
import { interfaceMissing } from "../fences/xdp/attach/attachment.ts";
import { Gate } from "../gate/gate.ts";
import { requireFree } from "../gate/listener.ts";
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
import { InlineTrial } from "./inline_trial.ts";
import { announce } from "./instance.ts";
import { giveUpPrivileges, guardedInterfaces, openFence } from "./open_fence.ts";
import { addPeriodicWork, lookAtFence } from "./periodic.ts";
import { Protection } from "./protection.ts";
import { Readiness } from "./readiness.ts";
import { RefusedThoughFenced } from "./refused_though_fenced.ts";
import { SecondObserver } from "./second_observer.ts";
import { sayReload, sayStart } from "./start_log.ts";
import { openState } from "./state/state.ts";
import { serveStatus, statusToken } from "./status_server.ts";
import { DaemonStatus } from "./status_source.ts";
import { Ticker } from "./ticker.ts";
import { DaemonTrial } from "./trial.ts";
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
  reload(): ReloadAnswer;
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
  const isInline = config.mode === "inline";
  const nowMs = bootClock();
  const token = statusToken();
  const sniffer = loadSniffer(config.profile);
  requireProven(sniffer, config);
  const kernelJudges = isInline || (config.prefilter && !config["dry-run"]);
  let table = kernelJudges ? loadSignatureTable(config.profile) : undefined;

  // From the clock, so that the numbers go on increasing when the gate is started anew.
  const events = new Events(eventsKept, Date.now() * 1000);
  const eventStreams = new EventStreams(events, nowMs);
  const names = new Names(log);
  const protection = new Protection(config, names);

  await using opened = new AsyncDisposableStack();
  const recorder = openRecorder(config, log);
  opened.defer(() => recorder?.close());
  step("recording opened");

  if (!isInline) await requireFree(runtime, config.listen);
  step("port found free");

  // The directory first: how much of a trial is over decides whether anybody is banned.
  const state = openState({
    config,
    enforcement: () => bans.enforcement,
    offenders: () => bans.offenders,
    moment,
    log,
  });
  opened.defer(() => state?.close());
  const trial = config.trial === undefined ? undefined : openTrial(config.trial);
  opened.defer(() => trial?.close());
  const dryRun = () => config["dry-run"] || trial?.isObserving === true;

  const protocols = [...sniffer.protocols, ...conducts];
  const xdp = await openFence(config, {
    runtime,
    version,
    dryRun: dryRun(),
    table,
    protocols,
    nowMs,
    onStep: step,
    log,
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
    ...{ config, sniffer, runtime, desk, log, recorder, names, nowMs, dryRun: dryRun() },
    trial: trial?.isObserving === true ? trial : undefined,
    refused: (client) => refused.refused(client),
    upstreamChanged: ({ address, reachable, error }) =>
      events.publish({ type: "upstream", atMs: nowMs(), upstream: address, reachable: reachable === true, error }),
  });
  enforcement.follow(gate);
  if (trial !== undefined) enforcement.follow(trial);
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
    ...{
      version,
      gate,
      bans,
      readiness,
      fence,
      kernelJudge,
      refusalOf,
      unseen,
      observer,
      recorder,
      nowMs,
      trial,
      dryRun,
    },
    config: () => config,
    runtime: `${runtime.name} ${runtime.version}`,
    events: eventStreams,
    reload,
  });

  if (fence !== undefined) lookAtFence(fence, { status, bans });
  if (!dryRun()) await state?.begin();
  step("bans of an earlier run taken up");
  if (!isInline) await gate.listen();
  else if (fence !== undefined) requireGuarded(fence, log);
  opened.defer(() => gate.close());
  step("listening");
  kernelJudge?.begin();
  step("kernel judge begun");
  readiness.phase = "serving";
  const audit = auditLog(log, bans.log.lines);
  const server = await serveStatus(runtime, config.status, token, () => config["status-host"], status, audit);
  opened.defer(() => server?.close());
  opened.defer(() => eventStreams.close());
  step("status endpoint opened");
  opened.defer(announceInstance({ config, version, token, log }));
  step("instance announced");
  await observer.begin();
  step("second observer begun");
  await giveUpPrivileges(config, [...(xdp?.pins ?? []), ...(state?.paths ?? [])], { runtime, log });
  if (!dryRun()) await beSilent();
  step("privileges given up");

  keep = config.keep;
  sayStart(config, status.snapshot(), log);
  trial?.begun();
  await watch?.adoptAll();
  bans.log.started();
  step("bans of the map taken up");

  addPeriodicWork(ticker, {
    ...{ gate, bans, protection, readiness, status, kernelJudge, watch, state, trial, fence, observer, nowMs },
    judge: () => xdp?.judge,
    config: () => config,
    renewFence,
  });
  ticker.start();
  void gate.upstreams.probe(nowMs(), 0);
  void gate.upstreams.resolve();

  function moment(): { nowMs: number; wallMs: number } {
    return { nowMs: nowMs(), wallMs: Date.now() };
  }

  async function beSilent(): Promise<void> {
    if (!isInline && config.reject === "silent") await gate.beSilent();
  }

  function openTrial(durationMs: number): DaemonTrial {
    const { port } = config.listen;
    const isWelcome = (address: string) => xdp?.judge?.isWelcome(requirePrefix(address)) === true;
    return new DaemonTrial({
      ...{ durationMs, profile: config.profile, path: state?.trialPath, log, nowMs },
      fingerprint: profileFingerprint(config.profile),
      inline: isInline ? new InlineTrial({ port, isWelcome }) : undefined,
      isSpared: (source) => {
        const prefix = parsePrefix(source);
        return prefix !== undefined && enforcement.neverBan.conflict(prefix) !== undefined;
      },
      enforce,
    });
  }

  /** The trial is over: whom it would have banned is banned when it comes again. */
  async function enforce(): Promise<void> {
    enforcement.forget(({ evidence }) => evidence !== undefined);
    bans.offenders.forgetAll();
    enforcement.enforceBy(fence);
    await state?.begin();
    for (const _ of enforcement.refill(nowMs)) await setImmediate();
    kernelJudge?.change({ dryRun: false });
    gate.enforce();
    await beSilent();
  }

  async function renewFence(now: number): Promise<void> {
    if (xdp?.renew(now) !== true) return;
    log("warn", "The block map was frozen by another tool: replaced, and filled from the table");
    // Until it is full again, what is not in it was not taken out by anybody.
    watch?.pause();
    kernelJudge?.begin();
    await observer.begin();
    if (table !== undefined) kernelJudge?.change({ table, banMs: config.timeout, dryRun: dryRun() });
    for (const _ of enforcement.refill(nowMs)) await setImmediate();
    watch?.resume();
  }

  /** All that can go wrong goes wrong before anything is changed. */
  function reload(): ReloadAnswer {
    const next = options.readConfig();
    const differences = differencesOf(config, next);
    const nextSniffer = loadSniffer(differences.config.profile);
    requireProven(nextSniffer, differences.config);
    const fingerprint = profileFingerprint(differences.config.profile);
    trial?.requireSame(fingerprint);
    const nextTable = table === undefined ? undefined : loadSignatureTable(differences.config.profile);
    kernelJudge?.change({ banMs: next.timeout, ...(nextTable === undefined ? {} : { table: nextTable }) });
    table = nextTable;
    config = differences.config;
    keep = config.keep;
    log.form = config.log;
    gate.reconfigure(config, nextSniffer);
    trial?.reloaded(fingerprint);
    protection.reconfigure(config);
    enforcement.protect(protection.entries(nowMs()), nowMs());
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
        gate.sessions.cutAll();
        await running.disposeAsync();
      })();
      return closing;
    },
  };
}

function openRecorder({ record: file, "record-max": mebibytes }: Config, log: Log): Recorder | undefined {
  return file === undefined ? undefined : new Recorder({ file, limitBytes: mebibytes * 1024 * 1024, log });
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
  readonly log: Log;
}

function announceInstance({ config, version, token, log }: Announcement): () => void {
  const blockMap = config["block-map"];
  try {
    return announce({
      version,
      listen: formatEndpoint({ address: config.listen.host, port: config.listen.port }),
      status: formatStatus(config.status),
      token,
      ...(blockMap === undefined ? {} : { blockMap }),
    });
  } catch (error) {
    log("warn", `Cannot write to the run directory: ${messageOf(error)}; "ttgate ban" and "lift" need TTGATE_TOKEN`);
    return () => {};
  }
}
