// SPDX-License-Identifier: Apache-2.0
// Bans and lifts with everything that belongs to them: the decision is carried out, live connections of
// the source end, and the log says plainly what was done and why.

import { coversBoth, isIpv4, type Prefix, parsePrefix } from "../core/address.ts";
import type { Ban, Evidence } from "../core/bans/bans.ts";
import type { BanRequest, Enforcement } from "../core/bans/enforcement.ts";
import type { Events } from "../core/bans/events.ts";
import type { FenceOutcome } from "../core/bans/fence.ts";
import type { NeverBanEntry } from "../core/bans/never_ban.ts";
import { refusedByServer, undecidedTooOften } from "../core/bans/strikes.ts";
import { type Client, sourceOf } from "../core/client.ts";
import type { Counters, LatencyHistogram } from "../core/counters.ts";
import { formatDuration } from "../core/duration.ts";
import { manual } from "../daemon/open_fence.ts";
import type { Sessions } from "../gate/sessions.ts";
import { LineLimit, type Log, printable } from "../log.ts";
import type { ChangeLine, ChangeResult, LineFailure, Refusal } from "./answer.ts";

export interface BanningOptions {
  readonly timeoutMs: number;
  readonly ipv6Bits: number;
  readonly nowMs: () => number;
  /** Bans fill the table, which nobody enforces; no connection is cut. */
  readonly dryRun?: boolean;
  /** From verdict to map entry. */
  readonly latency: LatencyHistogram;
  readonly events?: Events;
}

/** A port scan of a /16 makes tens of thousands of lines otherwise. */
const linesPerSecond = 20;

/** /16 and, in the 128-bit form of IPv4, 96 more. */
const widestIpv4Bits = 112;
const widestIpv6Bits = 32;

export class Banning {
  readonly #enforcement: Enforcement;
  readonly #sessions: Sessions;
  readonly #counters: Counters;
  readonly #options: BanningOptions;
  readonly #latency: LatencyHistogram;
  readonly #lines: LineLimit;

  constructor(enforcement: Enforcement, sessions: Sessions, counters: Counters, log: Log, options: BanningOptions) {
    this.#enforcement = enforcement;
    this.#sessions = sessions;
    this.#counters = counters;
    this.#options = options;
    this.#latency = options.latency;
    this.#lines = new LineLimit(log, linesPerSecond, "bans");
  }

  /**
   * The client is a stranger: the sniffer found another protocol, or it had its last strike. In a dry run the
   * table takes it as well, so that status and counters show who would be out.
   */
  client(client: Client, protocol: string, evidence: Evidence): void {
    const target = this.#enforcement.neverBan.bannable(client);
    const dryRun = this.#options.dryRun === true;
    if ("conflict" in target) {
      const { prefix, why } = target.conflict;
      this.#counters.spared++;
      this.#tell("spared", client.sourceText, protocol, evidence);
      this.#lines.line("warn", () => [
        `${dryRun ? "Would not ban" : "Did not ban"} ${client.sourceText}: ${deed(protocol, evidence)}, but ${prefix.text} is never banned (${why})`,
        evidenceFields(client.sourceText, protocol, evidence),
      ]);
      return;
    }
    const { prefix } = target;
    // It would not have come so far.
    if (dryRun && this.#enforcement.refuses(client, this.#options.nowMs())) return;
    const forMs = this.#options.timeoutMs;
    const decidedMs = performance.now();
    const result = this.#enforcement.ban({ prefix, protocol, by: "sniffer", forMs, evidence }, this.#options.nowMs());
    if (result.kind === "spared") return;
    if (result.kernel?.kind === "enforced") this.#latency.observe((performance.now() - decidedMs) / 1000);
    this.#cut(prefix, dryRun ? 1 : 0);
    if (dryRun) this.#tell("would-ban", client.sourceText, protocol, evidence);
    this.#lines.line("info", () => [
      `${dryRun ? "Would ban" : "Banned"} ${prefix.text} for ${formatDuration(forMs)}: ${deed(protocol, evidence)}${inKernel(result.kernel)}${dryRun ? " (dry run)" : ""}`,
      { ...evidenceFields(prefix.text, protocol, evidence), seconds: forMs / 1000, kernel: result.kernel?.kind },
    ]);
  }

  /** @param text ADDR (the source it belongs to) or CIDR. */
  operator(text: string, forMs = this.#options.timeoutMs, force = false): ChangeResult<Ban> {
    const prefix = this.#wanted(text, force);
    if ("message" in prefix) return prefix;
    const result = this.#enforcement.ban(byOperator(prefix, forMs), this.#options.nowMs());
    if (result.kind === "spared") return protectedBy(text, result.conflict);
    this.#cut(prefix);
    this.#lines.line("info", () => [
      `${this.#options.dryRun === true ? "Would ban" : "Banned"} ${prefix.text} for ${formatDuration(forMs)}: by command${inKernel(result.kernel)}`,
      { source: prefix.text, seconds: forMs / 1000, kernel: result.kernel?.kind },
    ]);
    return { kind: "done", value: result.ban };
  }

  /**
   * A slice of a list, by batch calls. Lines that can not be carried out are told; the others are.
   * @returns how many sources were banned.
   */
  operatorSlice(lines: readonly ChangeLine[], force: boolean, failures: LineFailure[]): number {
    const accepted: ChangeLine[] = [];
    const requests: BanRequest[] = [];
    for (const line of lines) {
      const wanted = this.#wanted(line.text, force);
      if ("message" in wanted) {
        failures.push({ line: line.number, message: wanted.message });
        continue;
      }
      accepted.push(line);
      requests.push(byOperator(wanted, line.forMs ?? this.#options.timeoutMs));
    }
    const results = this.#enforcement.banMany(requests, this.#options.nowMs());
    let banned = 0;
    let ranges = 0;
    for (const [index, result] of results.entries()) {
      const line = accepted[index];
      const prefix = requests[index]?.prefix;
      if (line === undefined || prefix === undefined) continue;
      if (result.kind === "spared") {
        failures.push({ line: line.number, message: protectedBy(line.text, result.conflict).message });
        continue;
      }
      banned++;
      if (!this.#enforcement.bans.isSource(prefix)) ranges++;
      else if (this.#sessions.size > 0) this.#cut(prefix);
    }
    if (ranges > 0) this.#cutBanned();
    return banned;
  }

  /** A slice of a list of lifts. @returns how many bans ended. */
  liftSlice(lines: readonly ChangeLine[], failures: LineFailure[]): number {
    const prefixes = lines.flatMap(({ text, number }) => {
      const prefix = this.prefixOf(text);
      if (prefix === undefined) failures.push({ line: number, message: notAnAddress(text).message });
      return prefix ?? [];
    });
    return this.#enforcement.lift(prefixes, this.#options.nowMs()).length;
  }

  /** What a person may ban, or why not; the never-ban set has its say later. */
  #wanted(text: string, force: boolean): Prefix | Refusal {
    const prefix = this.prefixOf(text);
    if (prefix === undefined) return notAnAddress(text);
    // The kernel's trie holds IPv4 in 128 bits: such a ban would take it out too.
    if (coversBoth(prefix) && !this.#enforcement.bans.isSource(prefix)) return mixed(text);
    return !force && isWide(prefix) ? tooWide(text) : prefix;
  }

  lift(text: string): ChangeResult<readonly string[]> {
    const prefix = this.prefixOf(text);
    if (prefix === undefined) return notAnAddress(text);
    if (this.#enforcement.bans.get(prefix)?.by === "foreign") return foreignEntry(text);
    const lifted = this.#enforcement.lift([prefix], this.#options.nowMs()).map((ban) => ban.prefix.text);
    if (lifted.length === 0) return { kind: "refused", message: this.#notLifted(text, prefix) };
    this.#lines.line("info", () => [
      `Lifted ${lifted.length === 1 ? lifted[0] : `${lifted.length} bans in ${prefix.text}`}: by command`,
      { source: prefix.text, lifted: lifted.length },
    ]);
    return { kind: "done", value: lifted };
  }

  /** ADDR is the source it belongs to, as the sniffer bans it; CIDR is taken as it stands. */
  prefixOf(text: string): Prefix | undefined {
    const prefix = parsePrefix(text);
    return prefix === undefined || text.includes("/") ? prefix : sourceOf(prefix, this.#options.ipv6Bits);
  }

  flushLog(): void {
    this.#lines.flush();
  }

  #tell(type: "spared" | "would-ban", source: string, protocol: string, evidence: Evidence): void {
    const none = { leftMs: undefined, kernel: undefined };
    const atMs = this.#options.nowMs();
    this.#options.events?.publish({ type, atMs, source, protocol, evidence, by: "sniffer", ...none });
  }

  /** @param counted connections of the source that a dry run counted otherwise. */
  #cut(prefix: Prefix, counted = 0): void {
    const { dryRun } = this.#options;
    this.#counters.cut += dryRun === true ? this.#sessions.count(prefix) - counted : this.#sessions.cut(prefix);
  }

  /** After many ranges: one look at all connections instead of one for each range. */
  #cutBanned(): void {
    if (this.#options.dryRun === true) return;
    const nowMs = this.#options.nowMs();
    const { bans } = this.#enforcement;
    this.#counters.cut += this.#sessions.cutWhere((client) => bans.find(client, nowMs) !== undefined);
  }

  #notLifted(text: string, prefix: Prefix): string {
    const covering = this.#enforcement.bans.covering(prefix, this.#options.nowMs());
    return covering === undefined
      ? `Not banned: "${text}"`
      : `Cannot lift "${text}": it is covered by the ban of ${covering.prefix.text}, lift that`;
  }
}

function deed(protocol: string, evidence: Evidence): string {
  const to = `port ${evidence.gatePort}, first bytes "${printable(evidence.firstBytes)}"`;
  if (protocol === refusedByServer) return `the server hung up on it again and again at ${to}`;
  if (protocol === undecidedTooOften) return `it stayed undecided again and again at ${to}`;
  return `it spoke ${protocol} to ${to}`;
}

function evidenceFields(source: string, protocol: string, evidence: Evidence): Readonly<Record<string, unknown>> {
  return { source, protocol, firstBytes: evidence.firstBytes.toHex() };
}

function byOperator(prefix: Prefix, forMs: number): BanRequest {
  return { prefix, protocol: manual, by: "operator", forMs, evidence: undefined };
}

/** A slip of the finger that takes a continent out. */
function isWide(prefix: Prefix): boolean {
  return prefix.bits < (isIpv4(prefix) ? widestIpv4Bits : widestIpv6Bits);
}

function foreignEntry(text: string): Refusal {
  const remedy = "take it out with the tool that wrote it, such as bpftool map delete";
  return { kind: "refused", message: `Cannot lift "${text}": another tool's entry without an end; ${remedy}` };
}

function tooWide(text: string): Refusal {
  return { kind: "refused", message: `Cannot ban "${text}": wider than /16 (IPv6 /32), use --force if you mean it` };
}

function mixed(text: string): Refusal {
  return { kind: "refused", message: `Cannot ban "${text}": IPv4 lies in it too; 2000::/3 is the IPv6 internet` };
}

function protectedBy(text: string, { prefix, why }: NeverBanEntry): Refusal {
  return { kind: "refused", message: `Cannot ban "${text}": ${prefix.text} is never banned (${why})` };
}

export function notAnAddress(text: string): Refusal {
  return {
    kind: "invalid",
    message: `Invalid address "${text}": expected such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::1`,
  };
}

function inKernel(outcome: FenceOutcome | undefined): string {
  switch (outcome?.kind) {
    case undefined:
      return "";
    case "enforced":
      return "; blocked in the kernel";
    case "full":
      return "; in user space only, the kernel's map is full";
    case "failed":
      return `; in user space only: ${outcome.message}`;
    default:
      return outcome satisfies never;
  }
}
