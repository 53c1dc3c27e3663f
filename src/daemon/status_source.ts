// SPDX-License-Identifier: Apache-2.0
// The daemon as the status endpoint sees it: snapshots of what the parts hold, and the doors for changes.
import process from "node:process";
import type { Config } from "../config/options.ts";
import { checkEvery } from "../config/servers.ts";
import { formatEndpoint, type Prefix, parsePrefix } from "../core/address.ts";
import type { Ban } from "../core/bans/claim.ts";
import type { Fence, FenceRecord, FenceStatus } from "../core/bans/fence.ts";
import type { Refusal } from "../core/bans/refusal.ts";
import { Client } from "../core/client.ts";
import type { Gate } from "../gate/gate.ts";
import type { Recorder } from "../recording/recorder.ts";
import type { ChangeResult, ListResult } from "../sources/answer.ts";
import type { KernelJudge } from "../sources/kernel_judge.ts";
import { banList, type ListOptions, liftList } from "../sources/list.ts";
import { notAnAddress } from "../sources/operator.ts";
import { type BanQuery, bansShown } from "../status/ban_query.ts";
import type { EventStreams, OpenedStream } from "../status/event_stream.ts";
import { renderMetrics } from "../status/metrics.ts";
import type { ReadinessAnswer, ReloadAnswer, StatusSource } from "../status/routes.ts";
import {
  type BanDetails,
  type BanInFence,
  type BanView,
  banDetails,
  banView,
  judgedSnapshot,
  kernelSnapshot,
  offenderView,
  type Snapshot,
  type UnseenSnapshot,
  type Why,
} from "../status/snapshot.ts";
import { type BansFound, searchBans } from "./ban_search.ts";
import type { DaemonBans } from "./bans.ts";
import type { Readiness } from "./readiness.ts";
import type { SecondObserver } from "./second_observer.ts";
import type { DaemonTrial } from "./trial.ts";
import type { Unseen, UnseenConnections } from "./unseen.ts";

export interface StatusParts {
  readonly config: () => Config;
  readonly version: string;
  readonly runtime: string;
  readonly gate: Gate;
  readonly bans: DaemonBans;
  readonly readiness: Readiness;
  readonly fence: Fence | undefined;
  readonly refusalOf: (ban: Ban) => Refusal;
  readonly kernelJudge: KernelJudge | undefined;
  readonly unseen: UnseenConnections;
  readonly observer: Pick<SecondObserver, "absence" | "followed">;
  readonly recorder: Recorder | undefined;
  readonly trial: DaemonTrial | undefined;
  /** Nobody is banned: a dry run, or a trial that goes on. */
  readonly dryRun: () => boolean;
  readonly events: EventStreams;
  readonly nowMs: () => number;
  readonly reload: () => ReloadAnswer;
}

export class DaemonStatus implements StatusSource {
  /** Set by the ticker: reading the status makes no system call. */
  fence: FenceStatus | undefined;
  readonly #parts: StatusParts;
  readonly #startedMs: number;

  constructor(parts: StatusParts) {
    this.#parts = parts;
    this.#startedMs = parts.nowMs();
    this.fence = parts.fence?.status();
  }

  snapshot(): Snapshot {
    const { gate, kernelJudge } = this.#parts;
    const { counters, enforcement } = this.#parts.bans;
    const config = this.#parts.config();
    const checkMs = checkEvery(config);
    const { full, failed } = { full: counters.kernelFull, failed: counters.kernelFailed };
    return {
      version: this.#parts.version,
      mode: config.mode,
      runtime: this.#parts.runtime,
      pid: process.pid,
      uptimeSeconds: (this.#parts.nowMs() - this.#startedMs) / 1000,
      dryRun: this.#parts.dryRun(),
      listen: formatEndpoint({ address: config.listen.host, port: config.listen.port }),
      profile: config.profile,
      timeoutSeconds: config.timeout / 1000,
      upstreams: gate.upstreams.status().map((upstream) => ({
        ...upstream,
        reachable: upstream.reachable ?? null,
        error: upstream.error ?? null,
        resolved: upstream.resolved ?? null,
        unresolved: upstream.unresolved ?? null,
      })),
      balance: config.balance,
      checkSeconds: checkMs === undefined ? null : checkMs / 1000,
      proxyProtocol: { send: config["send-proxy"], accept: config["accept-proxy"].map(({ text }) => text) },
      neverBan: enforcement.neverBan.entries().map(({ prefix, why }) => ({ prefix: prefix.text, why })),
      connections: {
        ...gate.counters,
        shortOfResources: gate.upstreams.shortage.count,
        active: gate.sessions.size,
        limit: gate.room.limit,
      },
      bans: {
        active: enforcement.bans.size,
        total: counters.bansTotal,
        capacity: enforcement.bans.capacity,
        userSpaceOnly: enforcement.userSpaceOnly,
        folds: enforcement.folds,
        sparedFriends: counters.sparedFriends,
        byProtocol: Object.fromEntries(counters.bansByProtocol),
      },
      kernel: kernelSnapshot(this.fence, kernelJudge && judgedSnapshot(kernelJudge.counts), this.#unseen(), {
        ...{ full, failed },
      }),
      trial: this.#parts.trial?.snapshot() ?? null,
      recording: this.#parts.recorder?.status() ?? null,
    };
  }

  #unseen(): UnseenSnapshot {
    const { unseen, observer } = this.#parts;
    const { connections, last } = unseen.status;
    return {
      connections,
      observed: observer.followed,
      unobserved: observer.absence ?? null,
      last: last === undefined ? null : unseenView(last),
    };
  }

  async readiness(): Promise<ReadinessAnswer> {
    const answer = await this.#parts.readiness.ask(this.fence);
    const trial = this.#parts.trial?.snapshot().text;
    return trial === undefined ? answer : { ...answer, trial };
  }

  metrics(ready: boolean): string {
    return renderMetrics(this.snapshot(), this.#parts.bans.latency, ready);
  }

  async bans(query: BanQuery): Promise<{ readonly total: number; readonly bans: readonly BanView[] }> {
    const { total, bans } = await this.#search(query);
    return { total, bans: bans.map((ban) => this.#view(ban)) };
  }

  #search(query: BanQuery): Promise<BansFound> | BansFound {
    const { bans } = this.#parts.bans.enforcement;
    const { limit, sort, by, protocol, in: range } = query;
    const isAll = sort === "newest" && by === undefined && protocol === undefined && range === undefined;
    if (isAll) return { total: bans.size, bans: bans.newest(limit) };
    const packetsOf = (ban: Ban) => this.#recordOf(ban)?.packets ?? 0;
    return searchBans({ all: () => bans.all(), packetsOf }, query, this.#parts.nowMs());
  }

  find(address: string): ChangeResult<BanDetails | undefined> {
    const prefix = parsePrefix(address);
    if (prefix === undefined) return notAnAddress(address);
    const nowMs = this.#parts.nowMs();
    const ban = this.#banOf(prefix, nowMs);
    if (ban === undefined) return { kind: "done", value: undefined };
    return { kind: "done", value: banDetails(ban, this.#inFence(ban), { nowMs, wallMs: Date.now() }) };
  }

  async why(address: string): Promise<ChangeResult<Why>> {
    const { fence, gate } = this.#parts;
    const { enforcement, operator, offenders } = this.#parts.bans;
    const moment = { nowMs: this.#parts.nowMs(), wallMs: Date.now() };
    const source = operator.prefixOf(address);
    const single = parsePrefix(address);
    if (source === undefined || single === undefined) return notAnAddress(address);
    const found = this.find(address);
    const conflict = enforcement.neverBan.conflict(single);
    return {
      kind: "done",
      value: {
        address: single.text,
        source: source.text,
        ban: found.kind === "done" ? (found.value ?? null) : null,
        neverBanned: conflict === undefined ? null : { prefix: conflict.prefix.text, why: conflict.why },
        offender: offenderView(offenders.of(source.text, moment.nowMs), moment),
        kernel: { answer: fence?.ask(single) ?? null, fold: enforcement.foldOf(source)?.text ?? null },
        connections: gate.sessions.ofSource(source.text),
        within: single.bits === 128 ? null : await this.#within(single),
      },
    };
  }

  /** Of a range the bans inside it; its own is told by itself. */
  async #within(range: Prefix): Promise<NonNullable<Why["within"]>> {
    const query = { limit: bansShown, sort: "newest", by: undefined, protocol: undefined, in: range } as const;
    const { total, bans } = await this.#search(query);
    const others = bans.filter(({ prefix }) => prefix.text !== range.text);
    return { total: total - (bans.length - others.length), bans: others.map((ban) => this.#view(ban)) };
  }

  ban(address: string, forMs: number | undefined, force: boolean): ChangeResult<BanView> {
    const result = this.#parts.bans.operator.ban(address, forMs, force);
    return result.kind !== "done" ? result : { kind: "done", value: this.#view(result.value) };
  }

  follow(lastEventId: string | undefined): OpenedStream {
    return this.#parts.events.open(lastEventId);
  }

  lift(address: string): ChangeResult<readonly string[]> {
    return this.#parts.bans.operator.lift(address);
  }

  banList(text: string, options: ListOptions): Promise<ListResult> {
    return banList(this.#parts.bans.operator, text, options);
  }

  liftList(text: string): Promise<ListResult> {
    return liftList(this.#parts.bans.operator, text);
  }

  reload(): ReloadAnswer {
    return this.#parts.reload();
  }

  /** Of an address the ban that its client would meet; of a range the ban that covers all of it. */
  #banOf(prefix: Prefix, nowMs: number): Ban | undefined {
    const { config, bans } = this.#parts;
    const { enforcement } = bans;
    if (prefix.bits < 128) return enforcement.bans.covering(prefix, nowMs);
    return enforcement.bans.find(new Client(prefix.text, 0, config()["ipv6-prefix"]), nowMs);
  }

  /** What the fence counted of a ban; undefined where it does not count. */
  #recordOf(ban: Ban): FenceRecord | undefined {
    return this.fence?.capabilities.counts === true ? this.#parts.fence?.record(ban.prefix) : undefined;
  }

  #view(ban: Ban): BanView {
    return banView(ban, this.#inFence(ban), { nowMs: this.#parts.nowMs(), wallMs: Date.now() });
  }

  #inFence(ban: Ban): BanInFence {
    return { record: this.#recordOf(ban), refused: this.#parts.refusalOf(ban) };
  }
}

function unseenView({ source, sourcePort, interfaceName, why }: Unseen): UnseenSnapshot["last"] {
  return { source, sourcePort, interface: interfaceName ?? null, why };
}
