// SPDX-License-Identifier: Apache-2.0
// The daemon as the status endpoint sees it: snapshots of what the parts hold, and the doors for changes.
import { hostname } from "node:os";
import process from "node:process";
import { gatePrefix } from "../config/gates.ts";
import type { Config } from "../config/options.ts";
import { type Prefix, parsePrefix } from "../core/address.ts";
import { balancerIn } from "../core/bans/advice.ts";
import type { Asking, Ban } from "../core/bans/claim.ts";
import type { Fence, FenceRecord, FenceStatus } from "../core/bans/fence.ts";
import type { Refusal } from "../core/bans/refusal.ts";
import { type BanQuery, searchBans } from "../core/bans/search.ts";
import type { Talkers } from "../core/bans/talkers.ts";
import { Client } from "../core/client.ts";
import { History } from "../core/history.ts";
import type { Work } from "../core/work.ts";
import type { InlineCounts } from "../fences/xdp/inline/inline_judge.ts";
import type { Gate } from "../gate/gate.ts";
import type { BanOptions, ChangeResult, Lifted, ListResult } from "../sources/answer.ts";
import type { Blocklists } from "../sources/blocklist/blocklists.ts";
import type { Crowdsec } from "../sources/crowdsec/crowdsec.ts";
import type { Fleet } from "../sources/fleet/fleet.ts";
import type { FleetAnswer } from "../sources/fleet/view.ts";
import { banList, type ListOptions, liftList } from "../sources/list.ts";
import { notAnAddress } from "../sources/operator.ts";
import { inTurns } from "../sources/turns.ts";
import { type BanRows, limitDefault, rowsAtOnce } from "../status/ban_list.ts";
import type { EventStreams, OpenedStream } from "../status/event_stream.ts";
import type { RecentEvent } from "../status/event_view.ts";
import {
  connectionsOf,
  type GateView,
  gateSnapshot,
  type JudgedSnapshot,
  judgedSnapshot,
  sumOf,
} from "../status/gate_snapshot.ts";
import { renderMetrics } from "../status/metrics.ts";
import type { PastQuery, PastView } from "../status/past.ts";
import type { ReadinessAnswer, ReloadAnswer, StatusSource } from "../status/routes.ts";
import {
  type BanDetails,
  type BanInFence,
  type BanView,
  banDetails,
  banView,
  kernelSnapshot,
  offenderView,
  type Snapshot,
  type UnseenSnapshot,
  type Why,
} from "../status/snapshot.ts";
import { busiest, type TalkersView } from "../status/talkers.ts";
import type { DaemonBans } from "./bans.ts";
import type { OpenFiles } from "./open_files.ts";
import type { Readiness } from "./readiness.ts";
import type { SecondObserver } from "./second_observer.ts";
import type { Unseen, UnseenConnections } from "./unseen.ts";

/** Of those that concern one source. */
const eventsOfSource = 5;

export interface StatusGate extends GateView {
  readonly gate: GateView["gate"] & Pick<Gate, "undecidedOf">;
  readonly observer: Pick<SecondObserver, "absence" | "followed">;
}

export interface StatusParts {
  readonly config: () => Config;
  readonly version: string;
  readonly runtime: string;
  readonly gates: () => readonly StatusGate[];
  readonly bans: DaemonBans;
  readonly readiness: Readiness;
  readonly fence: Fence | undefined;
  readonly refusalOf: (ban: Ban) => Refusal;
  readonly mayAcceptProxy: (gate: string | undefined) => boolean;
  /** Undefined where the kernel judges nothing. */
  readonly judgedCounts: () => InlineCounts | undefined;
  readonly unseen: UnseenConnections;
  readonly openFiles: Pick<OpenFiles, "shortages">;
  readonly lists: Pick<Blocklists, "views">;
  /** Undefined without a fence. */
  readonly talkers: Talkers | undefined;
  readonly events: EventStreams;
  readonly fleet: () => Fleet | undefined;
  readonly crowdsec: () => Crowdsec | undefined;
  readonly nowMs: () => number;
  readonly reload: () => Promise<ReloadAnswer>;
  readonly loggedIn: (connection: string) => Promise<void>;
  readonly saved: () => Promise<void>;
}

export class DaemonStatus implements StatusSource {
  /** Set by the ticker: reading the status makes no system call. */
  fence: FenceStatus | undefined;
  readonly #parts: StatusParts;
  readonly #startedMs: number;
  readonly #since = new Date().toISOString();
  readonly #history = new History();

  constructor(parts: StatusParts) {
    this.#parts = parts;
    this.#startedMs = parts.nowMs();
    this.fence = parts.fence?.status();
  }

  snapshot(): Snapshot {
    const gates = this.#parts.gates().map(gateSnapshot);
    const [first] = gates;
    if (first === undefined) throw new Error("There is no gate");
    const { counters, enforcement } = this.#parts.bans;
    const { full, failed } = { full: counters.kernelFull, failed: counters.kernelFailed };
    return {
      version: this.#parts.version,
      mode: first.mode,
      runtime: this.#parts.runtime,
      pid: process.pid,
      host: hostname(),
      since: this.#since,
      uptimeSeconds: (this.#parts.nowMs() - this.#startedMs) / 1000,
      dryRun: this.#parts.config()["dry-run"],
      listen: first.listen,
      profile: first.profile,
      timeoutSeconds: first.timeoutSeconds,
      upstreams: gates.flatMap(({ upstreams }) => upstreams),
      balance: first.balance,
      checkSeconds: first.checkSeconds,
      proxyProtocol: first.proxyProtocol,
      neverBan: enforcement.neverBan.entries().map(({ prefix, why }) => ({ prefix: prefix.text, why })),
      connections: sumOf(gates.map(({ connections }) => connections)),
      gates,
      openFilesShortages: this.#parts.openFiles.shortages,
      bans: {
        active: enforcement.bans.size,
        total: counters.bansTotal,
        capacity: enforcement.bans.capacity,
        userSpaceOnly: enforcement.userSpaceOnly,
        folds: enforcement.folds,
        sparedFriends: counters.sparedFriends,
        byProtocol: Object.fromEntries(counters.bansByProtocol),
      },
      kernel: kernelSnapshot(this.fence, this.#judged(), this.#unseen(), { full, failed }),
      blocklists: this.#parts.lists.views(),
      recording: gates.find(({ recording }) => recording !== null)?.recording ?? null,
      fleet: this.#parts.fleet()?.view() ?? null,
      crowdsec: this.#parts.crowdsec()?.view() ?? null,
    };
  }

  /** Of all gates together, and of packets without a port. */
  #judged(): JudgedSnapshot | undefined {
    const counts = this.#parts.judgedCounts();
    return counts && judgedSnapshot(counts);
  }

  #unseen(): UnseenSnapshot {
    const observers = this.#parts.gates().map(({ observer }) => observer);
    const { connections, last } = this.#parts.unseen.status;
    return {
      connections,
      observed: observers.reduce((sum, { followed }) => sum + followed, 0),
      unobserved: observers.find(({ absence }) => absence !== undefined)?.absence ?? null,
      last: last === undefined ? null : unseenView(last),
    };
  }

  async readiness(): Promise<ReadinessAnswer> {
    const answer = await this.#parts.readiness.ask(this.fence);
    const trials = this.#parts
      .gates()
      .flatMap(({ config, trial }) => (trial === undefined ? [] : [gatePrefix(config.name) + trial.snapshot().text]));
    return trials.length === 0 ? answer : { ...answer, trial: trials.join("; ") };
  }

  metrics(ready: boolean): string {
    return renderMetrics(this.snapshot(), this.#parts.bans.latency, ready);
  }

  *bans(query: BanQuery): Work<BanRows> {
    const { bans: table } = this.#parts.bans.enforcement;
    const { total, matching, page } = yield* searchBans(
      table,
      query,
      this.#parts.nowMs(),
      (ban) => this.#recordOf(ban)?.packets ?? 0,
    );
    return { total, matching, rows: this.#rows(page) };
  }

  /** @param tickets of bans; what has ended since is left out. */
  *#rows(tickets: readonly number[]): Generator<readonly BanView[], void, void> {
    const { bans } = this.#parts.bans.enforcement;
    for (let start = 0; start < tickets.length; start += rowsAtOnce) {
      yield tickets.slice(start, start + rowsAtOnce).flatMap((ticket) => {
        const ban = bans.byTicket(ticket);
        return ban === undefined ? [] : [this.#view(ban)];
      });
    }
  }

  /** About once a second: what the history is made of. */
  sample(nowMs: number): void {
    const { gates, bans } = this.#parts;
    const { active, ...counters } = sumOf(gates().map(({ gate }) => connectionsOf(gate)));
    this.#history.sample(nowMs, {
      ...counters,
      bans: bans.counters.bansTotal,
      droppedPackets: this.fence?.droppedPackets ?? 0,
      droppedBytes: this.fence?.droppedBytes ?? 0,
      openConnections: active,
      activeBans: bans.enforcement.bans.size,
    });
  }

  history({ step, count }: PastQuery): PastView {
    const nowMs = this.#parts.nowMs();
    const { stepMs, untilMs, series } = this.#history.read(step, count, nowMs);
    return { step, stepSeconds: stepMs / 1000, until: new Date(Date.now() - nowMs + untilMs).toISOString(), series };
  }

  *talkers(): Work<TalkersView> {
    const { gates, talkers, nowMs } = this.#parts;
    const connections = yield* busiest(
      gates()
        .values()
        .flatMap(({ gate }) => gate.sessions.counts()),
    );
    const bootMs = Date.now() - nowMs();
    const dropped = (talkers?.most ?? []).map(({ prefix, packets, bytes, lastSeenMs }) => ({
      ...{ source: prefix.text, packets, bytes },
      lastSeen: lastSeenMs === undefined ? null : new Date(bootMs + lastSeenMs).toISOString(),
    }));
    return { connections, dropped };
  }

  recentEvents(count: number): readonly RecentEvent[] {
    return this.#parts.events.recent(count);
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
    const { fence, gates } = this.#parts;
    const { enforcement, operator, offenders } = this.#parts.bans;
    const moment = { nowMs: this.#parts.nowMs(), wallMs: Date.now() };
    const source = operator.prefixOf(address);
    const single = parsePrefix(address);
    if (source === undefined || single === undefined) return notAnAddress(address);
    const ban = this.#banOf(single, moment.nowMs);
    const conflict = enforcement.neverBan.conflict(single);
    return {
      kind: "done",
      value: {
        address: single.text,
        source: source.text,
        ban: ban === undefined ? null : banDetails(ban, this.#inFence(ban), moment),
        neverBanned: conflict === undefined ? null : { prefix: conflict.prefix.text, why: conflict.why },
        offender: offenderView(offenders.of(source.text, moment.nowMs), moment),
        kernel: {
          answer: fence?.ask(single) ?? null,
          fence: this.fence?.fence ?? null,
          fold: enforcement.foldOf(source)?.text ?? null,
        },
        connections: gates().reduce((sum, { gate }) => sum + gate.sessions.ofSource(source.text), 0),
        undecided: gates().reduce((sum, { gate }) => sum + gate.undecidedOf(source.text), 0),
        lately: this.#parts.events.recentOf(source, eventsOfSource).map(({ event }) => event),
        balancer: (ban && balancerIn(ban, this.#parts.mayAcceptProxy)) ?? null,
        within: single.bits === 128 ? null : await inTurns(this.#within(single)),
      },
    };
  }

  /** Of a range the bans inside it; its own is told by itself. */
  *#within(range: Prefix): Work<NonNullable<Why["within"]>> {
    const query = { search: "", order: "newest", in: range, offset: 0, limit: limitDefault } as const;
    const table = this.#parts.bans.enforcement.bans;
    const { matching, page } = yield* searchBans(table, query, this.#parts.nowMs(), () => 0);
    const others = page.filter((ticket) => table.prefixOf(ticket)?.text !== range.text);
    const views: BanView[] = [];
    for (const piece of this.#rows(others)) {
      views.push(...piece);
      yield;
    }
    return { total: matching - (page.length - others.length), bans: views };
  }

  loggedIn(connection: string): Promise<void> {
    return this.#parts.loggedIn(connection);
  }

  saved(): Promise<void> {
    return this.#parts.saved();
  }

  ban(address: string, options: BanOptions): ChangeResult<BanView> {
    const result = this.#parts.bans.operator.ban(address, options);
    return result.kind !== "done" ? result : { kind: "done", value: this.#view(result.value) };
  }

  async fleet(): Promise<FleetAnswer | undefined> {
    return this.#parts.fleet()?.answer();
  }

  follow(lastEventId: string | undefined): OpenedStream {
    return this.#parts.events.open(lastEventId);
  }

  lift(address: string, by: Asking): Work<ChangeResult<Lifted>> {
    return this.#parts.bans.operator.lift(address, by);
  }

  banList(text: string, options: ListOptions): Promise<ListResult> {
    return banList(this.#parts.bans.operator, text, options);
  }

  liftAll(by: Asking): Work<Lifted> {
    return this.#parts.bans.operator.liftAll(by);
  }

  liftList(text: string): Promise<ListResult> {
    return liftList(this.#parts.bans.operator, text);
  }

  reload(): Promise<ReloadAnswer> {
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
