// SPDX-License-Identifier: Apache-2.0
// Bans and lifts with everything that belongs to them: the decision is carried out, live connections of
// the source end, and the log says plainly what was done and why.
import { type Prefix, parsePrefix } from "./core/address.ts";
import type { Ban, Evidence } from "./core/bans.ts";
import { type Client, sourceOf } from "./core/client.ts";
import type { Counters, LatencyHistogram } from "./core/counters.ts";
import { formatDuration } from "./core/duration.ts";
import type { Enforcement } from "./core/enforcement.ts";
import type { FenceOutcome } from "./core/fence.ts";
import { LineLimit, type Log, printable } from "./log.ts";
import type { Sessions } from "./net/sessions.ts";
import type { ChangeResult } from "./status.ts";

export interface BanningOptions {
  readonly timeoutMs: number;
  readonly ipv6Bits: number;
  readonly nowMs: () => number;
  /** From verdict to map entry. */
  readonly latency: LatencyHistogram;
}

/** A port scan of a /16 makes tens of thousands of lines otherwise. */
const linesPerSecond = 20;

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

  /** The sniffer found another protocol. */
  client(client: Client, protocol: string, evidence: Evidence): void {
    const target = this.#enforcement.neverBan.bannable(client);
    if ("conflict" in target) {
      const { prefix, why } = target.conflict;
      this.#counters.spared++;
      this.#lines.line("warn", () => [
        `Did not ban ${client.sourceText}: ${spoke(protocol, evidence)}, but ${prefix.text} is never banned (${why})`,
        evidenceFields(client.sourceText, protocol, evidence),
      ]);
      return;
    }
    const { prefix } = target;
    const forMs = this.#options.timeoutMs;
    const decidedMs = performance.now();
    const result = this.#enforcement.ban({ prefix, protocol, by: "sniffer", forMs, evidence }, this.#options.nowMs());
    if (result.kind === "spared") return;
    if (result.kernel?.kind === "enforced") this.#latency.observe((performance.now() - decidedMs) / 1000);
    this.#cut(prefix);
    this.#lines.line("info", () => [
      `Banned ${prefix.text} for ${formatDuration(forMs)}: ${spoke(protocol, evidence)}${inKernel(result.kernel)}`,
      { ...evidenceFields(prefix.text, protocol, evidence), seconds: forMs / 1000, kernel: result.kernel?.kind },
    ]);
  }

  /** The same under --dry-run. */
  wouldBan(client: Client, protocol: string, evidence: Evidence): void {
    const counted = this.#counters.bansByProtocol.get(protocol) ?? 0;
    this.#counters.bansByProtocol.set(protocol, counted + 1);
    this.#lines.line("info", () => [
      `Would ban ${client.sourceText}: ${spoke(protocol, evidence)} (dry run)`,
      evidenceFields(client.sourceText, protocol, evidence),
    ]);
  }

  /** @param text ADDR (the source it belongs to) or CIDR. */
  operator(text: string, forMs = this.#options.timeoutMs): ChangeResult<Ban> {
    const prefix = this.prefixOf(text);
    if (prefix === undefined) return notAnAddress(text);
    const request = { prefix, protocol: "manual", by: "operator", forMs, evidence: undefined } as const;
    const result = this.#enforcement.ban(request, this.#options.nowMs());
    if (result.kind === "spared") {
      const { prefix: protectedPrefix, why } = result.conflict;
      return { kind: "refused", message: `Cannot ban "${text}": ${protectedPrefix.text} is never banned (${why})` };
    }
    this.#cut(prefix);
    this.#lines.line("info", () => [
      `Banned ${prefix.text} for ${formatDuration(forMs)}: by command${inKernel(result.kernel)}`,
      { source: prefix.text, seconds: forMs / 1000, kernel: result.kernel?.kind },
    ]);
    return { kind: "done", value: result.ban };
  }

  lift(text: string): ChangeResult<readonly string[]> {
    const prefix = this.prefixOf(text);
    if (prefix === undefined) return notAnAddress(text);
    const lifted = this.#enforcement.lift(prefix).map((ban) => ban.prefix.text);
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

  #cut(prefix: Prefix): void {
    this.#counters.cut += this.#sessions.cut(prefix);
  }

  #notLifted(text: string, prefix: Prefix): string {
    const covering = this.#enforcement.bans.covering(prefix, this.#options.nowMs());
    return covering === undefined
      ? `Not banned: "${text}"`
      : `Cannot lift "${text}": it is covered by the ban of ${covering.prefix.text}, lift that`;
  }
}

function spoke(protocol: string, evidence: Evidence): string {
  return `it spoke ${protocol} to port ${evidence.gatePort}, first bytes "${printable(evidence.firstBytes)}"`;
}

function evidenceFields(source: string, protocol: string, evidence: Evidence): Readonly<Record<string, unknown>> {
  return { source, protocol, firstBytes: evidence.firstBytes.toHex() };
}

function notAnAddress(text: string): { readonly kind: "refused"; readonly message: string } {
  return {
    kind: "refused",
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
