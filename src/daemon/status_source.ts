// SPDX-License-Identifier: Apache-2.0
// The gate as the status endpoint sees it: snapshots of what the parts hold.
import process from "node:process";
import type { Config } from "../config/options.ts";
import { formatEndpoint, type Prefix, parsePrefix } from "../core/address.ts";
import type { Ban } from "../core/bans/bans.ts";
import type { Enforcement } from "../core/bans/enforcement.ts";
import type { Fence, FenceStatus } from "../core/bans/fence.ts";
import { Client } from "../core/client.ts";
import type { Counters, LatencyHistogram } from "../core/counters.ts";
import type { Sessions } from "../gate/sessions.ts";
import type { Upstreams } from "../gate/upstreams.ts";
import { printable } from "../log.ts";
import type { Recorder } from "../recording/recorder.ts";
import type { ChangeResult, ListResult } from "../sources/answer.ts";
import { type Banning, notAnAddress } from "../sources/banning.ts";
import type { InlineWatch } from "../sources/kernel_judge.ts";
import { banList, liftList } from "../sources/list.ts";
import type { EventStreams, OpenedStream } from "../status/event_stream.ts";
import { renderMetrics } from "../status/metrics.ts";
import type { Readiness, StatusSource } from "../status/routes.ts";
import { type BanDetails, type BanView, banView, kernelSnapshot, type Snapshot, type Why } from "../status/snapshot.ts";

export interface GateParts {
  readonly config: Config;
  readonly version: string;
  readonly runtime: string;
  readonly counters: Counters;
  readonly latency: LatencyHistogram;
  readonly sessions: Sessions;
  readonly upstreams: Upstreams;
  readonly enforcement: Enforcement;
  readonly banning: Banning;
  readonly fence: Fence | undefined;
  readonly inline: InlineWatch | undefined;
  readonly recorder: Recorder | undefined;
  readonly maxConnections: number;
  readonly events: EventStreams;
  readonly nowMs: () => number;
}

/** What was seen of an upstream this long ago still counts; then /readyz tries it. */
const upstreamFreshMs = 5000;

export class GateStatus implements StatusSource {
  /** Set by the tick: reading the status makes no system call. */
  kernel: FenceStatus | undefined;
  listening = false;
  draining = false;
  readonly #parts: GateParts;
  readonly #startedMs: number;

  constructor(parts: GateParts) {
    this.#parts = parts;
    this.#startedMs = parts.nowMs();
    this.kernel = parts.fence?.status();
  }

  /** Whether banned sources get nothing through: packets are dropped by ttgate's program or somebody else's. */
  get blocking(): boolean {
    return this.kernel !== undefined && (this.kernel.attach !== "none" || this.kernel.managedBy !== undefined);
  }

  snapshot(): Snapshot {
    const { config, counters, sessions, upstreams, enforcement } = this.#parts;
    return {
      version: this.#parts.version,
      mode: config.mode,
      runtime: this.#parts.runtime,
      pid: process.pid,
      uptimeSeconds: (this.#parts.nowMs() - this.#startedMs) / 1000,
      dryRun: config["dry-run"],
      listen: formatEndpoint({ address: config.listen.host, port: config.listen.port }),
      profile: config.profile,
      timeoutSeconds: config.timeout / 1000,
      upstreams: upstreams.status().map(({ address, reachable, error, active }) => ({
        address,
        reachable: reachable ?? null,
        error: error ?? null,
        active,
      })),
      neverBan: enforcement.neverBan.entries().map(({ prefix, why }) => ({ prefix: prefix.text, why })),
      connections: {
        accepted: counters.accepted,
        relayed: counters.relayed,
        refusedBanned: counters.refusedBanned,
        refusedFull: counters.refusedFull,
        foreign: counters.foreign,
        undecided: counters.undecided,
        upstreamFailed: counters.upstreamFailed,
        spared: counters.spared,
        silenced: counters.silenced,
        notSilenced: counters.notSilenced,
        cut: counters.cut,
        active: sessions.size,
        limit: this.#parts.maxConnections,
      },
      bans: {
        active: enforcement.bans.size,
        total: counters.bansTotal,
        capacity: enforcement.bans.capacity,
        userSpaceOnly: enforcement.userSpaceOnly,
        folds: enforcement.folds,
        byProtocol: Object.fromEntries(counters.bansByProtocol),
      },
      kernel: kernelSnapshot(this.kernel, this.#parts.inline?.judged(), {
        full: counters.kernelFull,
        failed: counters.kernelFailed,
      }),
      recording: this.#parts.recorder?.status() ?? null,
    };
  }

  async readiness(): Promise<Readiness> {
    const { upstreams } = this.#parts;
    await upstreams.probe(this.#parts.nowMs(), upstreamFreshMs);
    const reasons = [...this.#ownReasons(), ...this.#kernelReasons()];
    if (!upstreams.ready) {
      const told = upstreams.status().map(({ address, error }) => `${address} (${error ?? "not tried yet"})`);
      const what = this.#parts.config.mode === "inline" ? "The server does not answer" : "No upstream is reachable";
      reasons.push(`${what}: ${told.join(", ")}`);
    }
    return { ready: reasons.length === 0, reasons };
  }

  metrics(ready: boolean): string {
    return renderMetrics(this.snapshot(), this.#parts.latency, ready);
  }

  bans(limit: number): { readonly total: number; readonly bans: readonly BanView[] } {
    const { enforcement } = this.#parts;
    const shown = enforcement.bans.all().take(limit);
    return { total: enforcement.bans.size, bans: [...shown.map((ban) => this.#view(ban))] };
  }

  find(address: string): ChangeResult<BanDetails | undefined> {
    const prefix = parsePrefix(address);
    if (prefix === undefined) return notAnAddress(address);
    const nowMs = this.#parts.nowMs();
    const ban = this.#banOf(prefix, nowMs);
    if (ban === undefined) return { kind: "done", value: undefined };
    const lastSeenMs = this.#parts.fence?.record(ban.prefix)?.lastSeenMs;
    const { evidence } = ban;
    return {
      kind: "done",
      value: {
        ...this.#view(ban),
        lastSeen: lastSeenMs === undefined ? null : new Date(Date.now() - nowMs + lastSeenMs).toISOString(),
        evidence:
          evidence === undefined
            ? null
            : {
                client: evidence.clientAddress,
                port: evidence.gatePort,
                firstBytesHex: evidence.firstBytes.toHex(),
                firstBytesText: printable(evidence.firstBytes, evidence.firstBytes.length),
              },
      },
    };
  }

  why(address: string): ChangeResult<Why> {
    const { enforcement, banning, fence, sessions } = this.#parts;
    const source = banning.prefixOf(address);
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
        kernel: { answer: fence?.ask(single) ?? null, fold: enforcement.foldOf(source)?.text ?? null },
        connections: sessions.ofSource(source.text),
      },
    };
  }

  ban(address: string, forMs: number | undefined, force: boolean): ChangeResult<BanView> {
    const result = this.#parts.banning.operator(address, forMs, force);
    return result.kind !== "done" ? result : { kind: "done", value: this.#view(result.value) };
  }

  follow(lastEventId: string | undefined): OpenedStream {
    return this.#parts.events.open(lastEventId);
  }

  lift(address: string): ChangeResult<readonly string[]> {
    return this.#parts.banning.lift(address);
  }

  banList(text: string, forMs: number | undefined, force: boolean): Promise<ListResult> {
    return banList(this.#parts.banning, text, forMs, force);
  }

  liftList(text: string): Promise<ListResult> {
    return liftList(this.#parts.banning, text);
  }

  /** Of an address the ban that its client would meet; of a range the ban that covers all of it. */
  #banOf(prefix: Prefix, nowMs: number): Ban | undefined {
    const { config, enforcement } = this.#parts;
    if (prefix.bits < 128) return enforcement.bans.covering(prefix, nowMs);
    return enforcement.bans.find(new Client(prefix.text, 0, config["ipv6-prefix"]), nowMs);
  }

  #view(ban: Ban): BanView {
    return banView(ban, this.#parts.fence?.record(ban.prefix), this.#parts.nowMs(), Date.now());
  }

  #ownReasons(): string[] {
    if (this.draining) return ["Stopping"];
    return this.listening ? [] : ["Not listening yet"];
  }

  #kernelReasons(): string[] {
    const kernel = this.kernel;
    if (kernel === undefined || kernel.managedBy !== undefined) return [];
    const reasons: string[] = [];
    if (kernel.attach === "none") reasons.push(`The kernel does not block: ${kernel.reason ?? "not attached"}`);
    if (kernel.proof?.passed === false) reasons.push(`The kernel program answered wrongly: ${kernel.proof.failure}`);
    const blindness = this.#parts.inline?.blindness();
    if (blindness !== undefined) reasons.push(blindness);
    return reasons;
  }
}
