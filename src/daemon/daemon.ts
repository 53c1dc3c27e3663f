// SPDX-License-Identifier: Apache-2.0
// The composition root: makes the parts, joins them, and takes them down in reverse order. What each
// part does is decided in its own file.
import process from "node:process";
import { setImmediate } from "node:timers";
import { serversOf } from "../config/load.ts";
import { type Config, formatStatus, type StatusAddress } from "../config/options.ts";
import { loadSignatureTable, loadSniffer } from "../config/profile.ts";
import { formatEndpoint } from "../core/address.ts";
import { Bans, type Evidence } from "../core/bans/bans.ts";
import { Enforcement, sweepLimit } from "../core/bans/enforcement.ts";
import { Events } from "../core/bans/events.ts";
import type { Fence } from "../core/bans/fence.ts";
import { refusedByServer, undecidedTooOften } from "../core/bans/strikes.ts";
import type { Client } from "../core/client.ts";
import { LatencyHistogram, newCounters } from "../core/counters.ts";
import type { Sniffer } from "../core/sniff.ts";
import { Failure, messageOf } from "../failure.ts";
import type { KernelFence } from "../fences/xdp/xdp_fence.ts";
import { type AcceptorContext, acceptor } from "../gate/acceptor.ts";
import { cannotListen } from "../gate/listen_error.ts";
import { Observer, type ObserverOptions } from "../gate/observation.ts";
import { Rejection } from "../gate/rejection.ts";
import { Sessions } from "../gate/sessions.ts";
import { Upstreams } from "../gate/upstreams.ts";
import { isLoopback } from "../host/addresses.ts";
import { connectionLimit, descriptorLimit } from "../host/limits.ts";
import { forOwnerOnly, freeSocketPath } from "../host/unix_socket.ts";
import { bootClock } from "../kernel/clock.ts";
import type { Log } from "../log.ts";
import { Recorder } from "../recording/recorder.ts";
import { type HttpServer, type Listener, type Runtime, silentEvents, type TcpSocket } from "../runtime/types.ts";
import { Banning } from "../sources/banning.ts";
import { InlineWatch } from "../sources/kernel_judge.ts";
import { MapWatch } from "../sources/map_watch.ts";
import { Stalled } from "../sources/stalled.ts";
import { EventStreams } from "../status/event_stream.ts";
import { statusApp } from "../status/routes.ts";
import { announce } from "./instance.ts";
import { giveUpPrivileges, openFence } from "./open_fence.ts";
import { neverBanOf, protectUpstreams } from "./protection.ts";
import { sayStart } from "./start_log.ts";
import { GateStatus } from "./status_source.ts";

export interface GateOptions {
  readonly config: Config;
  readonly sniffer: Sniffer;
  readonly runtime: Runtime;
  readonly version: string;
  readonly log: Log;
}

export interface Gate {
  /** Judges by the profile as it is now, from one connection to the next. @throws Failure; the one before goes on. */
  reload(): void;
  /** Stops accepting, ends what is open, takes the kernel block down (unless --keep). Idempotent. */
  close(): Promise<void>;
}

/** Deadlines and expiry are a matter of seconds; the kernel compares its own deadlines to the nanosecond. */
const tickMs = 500;
/** For who follows the events: those of a moment ago again after a short break, and room for a burst. */
const eventsKept = 1024;

export async function openGate({ config, sniffer, runtime, version, log }: GateOptions): Promise<Gate> {
  const token = statusToken();
  const nowMs = bootClock();
  const counters = newCounters();
  const latency = new LatencyHistogram();
  const neverBan = neverBanOf(config);
  // From the clock, so that the numbers go on increasing when the gate is started anew.
  const events = new Events(eventsKept, Date.now() * 1000);
  const eventStreams = new EventStreams(events, nowMs);
  const isInline = config.mode === "inline";
  const kernelJudges = isInline || (config.prefilter && !config["dry-run"]);
  const table = kernelJudges ? loadSignatureTable(config.profile) : undefined;
  if (!isInline) await requireFree(runtime, config);
  const protocols = [...sniffer.protocols, refusedByServer, undecidedTooOften];
  const fence = await openFence(config, { runtime, version, table, protocols, log });
  const bans = new Bans(config["max-bans"], config["ipv6-prefix"]);
  const dryRun = config["dry-run"];
  // A dry run fills the table, and neither the kernel nor whoever follows takes it for bans.
  const enforcement = dryRun
    ? new Enforcement(bans, neverBan, undefined, counters)
    : new Enforcement(bans, neverBan, fence, counters, events);
  const watch = fence === undefined ? undefined : new MapWatch(fence, enforcement, log, nowMs);
  const sessions = new Sessions(config["ipv6-prefix"]);
  const upstreams = new Upstreams(serversOf(config), runtime.connect, ({ address, reachable, error }) => {
    const event = { type: "upstream", atMs: nowMs(), upstream: address, reachable: reachable === true, error } as const;
    events.publish(event);
    if (reachable === true) log("info", `${isInline ? "Server" : "Upstream"} ${address} is reachable`);
    else log("warn", unreachable(address, error, isInline));
    observer?.upstreamChanged(reachable === true);
  });
  const banOptions = { timeoutMs: config.timeout, ipv6Bits: config["ipv6-prefix"], nowMs, dryRun, latency, events };
  const banning = new Banning(enforcement, sessions, counters, log, banOptions);
  const ban = (client: Client, protocol: string, evidence: Evidence) => banning.client(client, protocol, evidence);
  const recorder = recorderOf(config, log);
  const observer = observerOf(config, sniffer, { recorder, nowMs, ban });
  const maxConnections = config["max-connections"] ?? connectionLimit(runtime.name, descriptorLimit());
  const inline =
    fence?.judge === undefined
      ? undefined
      : new InlineWatch({
          ...{ judge: fence.judge, banning, neverBan, counters, alone: isInline },
          ipv6Bits: config["ipv6-prefix"],
          sniffer: () => context.sniffer,
        });
  const stalled =
    fence?.judge === undefined || !isInline
      ? undefined
      : new Stalled({
          connections: fence.judge,
          ipv6Bits: config["ipv6-prefix"],
          firstPacketMs: config["first-packet"],
          sniffer: () => context.sniffer,
          ban,
          strike: (client, bytes) => observer?.turnedAway(client, bytes, bytes.length, true),
        });
  const status = new GateStatus({
    ...{
      config,
      version,
      counters,
      latency,
      sessions,
      upstreams,
      enforcement,
      banning,
      fence,
      inline,
      recorder,
      maxConnections,
      nowMs,
    },
    events: eventStreams,
    runtime: `${runtime.name} ${runtime.version}`,
  });
  const rejection = new Rejection(
    counters,
    log,
    (client) => status.blocking && enforcement.blocksInKernel(client, nowMs()),
  );
  const context = {
    ...{ sniffer, counters, sessions, upstreams, maxConnections, nowMs, dryRun, ban, observer },
    firstPacketMs: config["first-packet"],
    ipv6Bits: config["ipv6-prefix"],
    maxConnectionsPerSource: config["max-per-source"],
    refuses: (client: Client) => enforcement.refuses(client, nowMs()),
    reject: (socket: TcpSocket, client: Client) => rejection.end(socket, client),
  } satisfies AcceptorContext;

  let keep = config.keep || fence?.stoodBefore === true;
  const opened: (() => void | Promise<void>)[] = [() => fence?.close(keep), () => recorder?.close()];
  try {
    if (isInline) requireGuarded(fence);
    else {
      const listener = await listen(runtime, config, acceptor(context));
      opened.push(() => listener.close());
    }
    inline?.begin();
    status.listening = true;
    const server = await serveStatus(runtime, config.status, token, status);
    if (server !== undefined) opened.push(() => server.close());
    opened.push(() => eventStreams.close());
    opened.push(announceGate(config, version, token, log));
    await giveUpPrivileges(config, fence, { runtime, log });
    if (wantsSilence(config)) await rejection.beSilent(runtime);
  } catch (error) {
    for (const close of opened.reverse()) await close();
    throw error;
  }
  keep = config.keep;
  sayStart(config, status, log);
  await watch?.adoptAll();
  const sweep = sweeper(enforcement, status);
  const parts = { sessions, upstreams, sweep, fence, inline, watch, status, banning, observer, stalled, nowMs };
  const timers = [setInterval(() => attempt(() => tick(parts), log), tickMs)];
  if (inline !== undefined) timers.push(setInterval(() => attempt(() => inline.fetch(), log), fetchMs));
  void upstreams.probe(nowMs(), 0);
  if (config["never-ban"] === "auto") void protectUpstreams(config, neverBan, log);

  let closing: Promise<void> | undefined;
  return {
    reload() {
      // Both before either: a profile that only one of them takes changes nothing.
      const next = loadSniffer(config.profile);
      if (table !== undefined) inline?.replaceTable(loadSignatureTable(config.profile));
      context.sniffer = next;
      log("info", `Profile ${config.profile} was read again`);
    },
    close() {
      closing ??= (async () => {
        status.draining = true;
        for (const timer of timers) clearInterval(timer);
        sessions.cutAll();
        for (const close of opened.reverse()) await close();
      })();
      return closing;
    },
  };
}

/** In inline mode no connection is the gate's to end; in a dry run none is ended. */
function wantsSilence(config: Config): boolean {
  return config.mode === "proxy" && config.reject === "silent" && !config["dry-run"];
}

function unreachable(address: string, error: string | undefined, isInline: boolean): string {
  if (!isInline) return `Upstream ${address} is not reachable: ${error}; clients are reset until it is`;
  const remedy = "start it, or say with --listen where it listens; in another network namespace it needs --mode proxy";
  return `Nothing answers on ${address} in this network namespace: ${error}; ${remedy}`;
}

/** Nobody but the kernel judges in inline mode. @throws Failure when it does so nowhere. */
function requireGuarded(fence: KernelFence | undefined): void {
  const status = fence?.status();
  if (status === undefined || status.interfaces.some(({ attach }) => attach !== "none")) return;
  const reasons = status.interfaces.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
  const why = reasons === "" ? "no interface carries the listen address, name one with --interface" : reasons;
  throw new Failure(`Inline mode judges on no interface: ${why}; or use --mode proxy`, { exitCode: 3 });
}

/** Given by TTGATE_TOKEN, or made anew at each start. */
function statusToken(): string {
  const given = process.env["TTGATE_TOKEN"];
  if (given === undefined || given === "") return crypto.getRandomValues(new Uint8Array(24)).toHex();
  // RFC 6750 2.1: what a Bearer header can carry.
  if (/^[A-Za-z0-9\-._~+/]+=*$/.test(given)) return given;
  throw new Failure("Invalid TTGATE_TOKEN: expected letters, digits and -._~+/ only", { exitCode: 2 });
}

/** An upstream that is down costs a connect this often, one that is up none. */
const upstreamRetryMs = 5000;

/** Of what the kernel decided; a hundred milliseconds are allowed for it to be seen. */
const fetchMs = 40;

interface TickParts {
  readonly sessions: Sessions;
  readonly upstreams: Upstreams;
  readonly sweep: (nowMs: number) => void;
  readonly fence: Fence | undefined;
  readonly inline: InlineWatch | undefined;
  readonly watch: MapWatch | undefined;
  readonly status: GateStatus;
  readonly banning: Banning;
  readonly observer: Observer | undefined;
  readonly stalled: Stalled | undefined;
  readonly nowMs: () => number;
}

/** What goes wrong here goes wrong again in half a second: it is told, and the gate goes on. */
function attempt(work: () => void, log: Log): void {
  try {
    work();
  } catch (error) {
    log("error", `Something periodic failed: ${messageOf(error)}`);
  }
}

function tick(parts: TickParts): void {
  const { sessions, upstreams, sweep, fence, inline, watch, status, banning, observer, stalled, nowMs } = parts;
  const now = nowMs();
  sessions.expire(now);
  observer?.tick();
  sweep(now);
  void upstreams.retry(now, upstreamRetryMs);
  fence?.tick(now);
  // Before the watch finds the entries: it knows no evidence.
  inline?.fetch();
  inline?.tick();
  stalled?.tick(now);
  // Sockets have their turn in between.
  setImmediate(() => {
    if (!status.draining) watch?.step();
  });
  status.kernel = fence?.status();
  banning.flushLog();
}

function recorderOf(config: Config, log: Log): Recorder | undefined {
  if (config.record === undefined) return undefined;
  return new Recorder({ file: config.record, limitBytes: config["record-max"] * 1024 * 1024, log });
}

/** Undefined where nothing is recorded or judged beyond the first packet: then it costs nothing. */
function observerOf(
  config: Config,
  { undecidedLimit }: Sniffer,
  parts: Pick<ObserverOptions, "recorder" | "nowMs" | "ban">,
): Observer | undefined {
  const refusedLimit = config.judge === "upstream" ? config.strikes : undefined;
  if (parts.recorder === undefined && refusedLimit === undefined && undecidedLimit === undefined) return undefined;
  return new Observer({ ...parts, refusedLimit, undecidedLimit, gatePort: config.listen.port });
}

/** A slice at a time: thousands of bans that end together do not hold up the relay. */
function sweeper(enforcement: Enforcement, status: GateStatus): (nowMs: number) => void {
  let sweeping = false;
  const slice = (nowMs: number) => {
    sweeping = !status.draining && enforcement.sweep(nowMs) === sweepLimit;
    if (sweeping) setImmediate(() => slice(nowMs));
  };
  return (nowMs) => {
    if (!sweeping) slice(nowMs);
  };
}

/**
 * Before anything is changed in the kernel: where another gate has the port, its block must go on.
 * @throws Failure when the port can not be had.
 */
async function requireFree(runtime: Runtime, config: Config): Promise<void> {
  const listener = await listen(runtime, config, (socket) => {
    socket.reset();
    return silentEvents;
  });
  listener.close();
}

async function listen(runtime: Runtime, config: Config, accept: ReturnType<typeof acceptor>): Promise<Listener> {
  const { host, port } = config.listen;
  try {
    return await runtime.listen({ host, port, accept });
  } catch (error) {
    throw cannotListen("--listen", formatEndpoint({ address: host, port }), error);
  }
}

async function serveStatus(
  runtime: Runtime,
  address: StatusAddress,
  token: string,
  status: GateStatus,
): Promise<HttpServer | undefined> {
  if (address.kind === "off") return undefined;
  const unix = address.kind === "unix";
  const app = statusApp(status, { token: unix ? undefined : token, closed: !unix && !isLoopback(address.host) });
  const where = unix ? { unixPath: address.path } : { host: address.host, port: address.port };
  const serve = () => runtime.serve(where, (request) => app.fetch(request));
  if (unix) await freeSocketPath(address.path);
  try {
    return await (unix ? forOwnerOnly(serve) : serve());
  } catch (error) {
    throw cannotListen("--status", formatStatus(address), error);
  }
}

function announceGate(config: Config, version: string, token: string, log: Log): () => void {
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
