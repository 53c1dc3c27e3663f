// SPDX-License-Identifier: Apache-2.0
// The log lines about bans, made from the changes of the table whoever asked for them: what was done, to
// whom, why and for how long, and whether a fence holds it.
import { defaultGateName } from "../config/gates.ts";
import { balancerAdvice, balancerIn } from "../core/bans/advice.ts";
import type { BanChange, BanFollower } from "../core/bans/change.ts";
import type { Ban, Claim, Evidence, Origin } from "../core/bans/claim.ts";
import type { FenceOutcome } from "../core/bans/fence.ts";
import type { NeverBanEntry } from "../core/bans/never_ban.ts";
import type { Offenders } from "../core/bans/offenders.ts";
import { type Refusal, refusalText } from "../core/bans/refusal.ts";
import { conducts, tooManyConnections } from "../core/bans/strikes.ts";
import { formatDuration } from "../core/duration.ts";
import { Repeats } from "../core/repeats.ts";
import { LineLimit, type Log, printable } from "../log.ts";
import type { Spared } from "../sources/client_bans.ts";

/** Of one kind within a minute: a port scan of a /16 makes tens of thousands otherwise. */
const linesPerPeriod = 20;
const periodMs = 60_000;
/** As many sources as a line names in its fields. */
const sourcesNamed = 100;
/** A monitoring system that knocks on every port is to be told of, not to fill the log. */
const sparedPeriodMs = 60_000;

export interface BanLogOptions {
  readonly log: Log;
  readonly dryRun: boolean;
  /** What nobody is banned for then. */
  readonly occasion?: "dry run" | "trial";
  /** Who keeps a source out whose ban is in the fence. */
  readonly refusalOf: (ban: Ban) => Refusal;
  /** Whether a load balancer may be told to a gate (--accept-proxy). */
  readonly mayAcceptProxy: (gate: string | undefined) => boolean;
  /** Told of a change before this log is. */
  readonly offenders: Offenders;
}

export class BanLog implements BanFollower {
  /** Also for who logs what others bring about. */
  readonly lines: LineLimit;
  readonly #spared = new Repeats<Spared>(sparedPeriodMs, (spared, repeated) => this.#notBanned(spared, repeated));
  readonly #dryRun: boolean;
  readonly #occasion: string;
  readonly #refusalOf: (ban: Ban) => Refusal;
  readonly #mayAcceptProxy: BanLogOptions["mayAcceptProxy"];
  #isWayOutSaid = false;
  #adoptedAtStart: number | undefined = 0;
  readonly #log: Log;
  readonly #offenders: Offenders;

  constructor({ log, dryRun, occasion = "dry run", refusalOf, mayAcceptProxy, offenders }: BanLogOptions) {
    this.#log = log;
    this.#refusalOf = refusalOf;
    this.#mayAcceptProxy = mayAcceptProxy;
    this.#offenders = offenders;
    this.lines = new LineLimit(log, linesPerPeriod, periodMs);
    this.#dryRun = dryRun;
    this.#occasion = occasion;
  }

  /** Bans that are taken up from now on are another tool's doing; those until now are told together. */
  started(): void {
    const adopted = this.#adoptedAtStart ?? 0;
    this.#adoptedAtStart = undefined;
    if (adopted > 0) this.#log("info", `Took up ${adopted} bans from the map, with the time that they have left`);
  }

  bansChanged(all: readonly BanChange[]): void {
    const changes = all.filter((change) => !("isQuiet" in change) || change.isQuiet !== true);
    const bans = changes.filter((change) => change.kind === "ban");
    this.#banned(bans.filter(({ isAdopted }) => !isAdopted));
    this.#adopted(bans.filter(({ isAdopted }) => isAdopted).map(sourceOf));
    this.#lifted(changes.filter((change) => change.kind === "lift"));
    for (const change of changes) {
      if (change.kind === "release") this.#released(change);
      if (change.kind === "end" && typeof change.by === "object") this.#protected(change.ban, change.by);
    }
  }

  /** A client did what others are banned for. */
  spared(spared: Spared, nowMs: number): void {
    this.#spared.add(spared.source, spared, nowMs);
  }

  /** About twice a second: tells what was held back. */
  flush(nowMs: number): void {
    this.#spared.flush(nowMs);
    this.lines.flush(nowMs);
  }

  /** Nothing of what was held back is lost. */
  close(): void {
    this.lines.close();
  }

  #notBanned({ source, gate, offence: { reason, evidence }, because }: Spared, repeated: number): void {
    const verb = this.#dryRun ? "Would not ban" : "Did not ban";
    const times = repeated === 0 ? "" : `, ${repeated} more times within ${formatDuration(sparedPeriodMs)}`;
    this.lines.line("warn", "sources that were spared", () => [
      `${verb} ${source}${times}: ${deedOf(reason, evidence, gate)}, but ${because}${askedFor(because)}`,
      { ...evidenceFields(source, reason, evidence), repeated },
    ]);
  }

  #ban(change: Change<"ban">): void {
    this.lines.line("info", "bans", () => this.#banLine(change));
  }

  /** Made only where it is written: of thousands in a minute a few are. */
  #banLine({ atMs, ban, claim, fence }: Change<"ban">) {
    const source = ban.prefix.text;
    const leftMs = claim.untilMs - atMs;
    const verb = this.#dryRun ? "Would ban" : "Banned";
    const bans = claim.evidence === undefined ? undefined : this.#offenders.of(source, atMs)?.bans;
    const again = bans === undefined || bans < 2 ? "" : `; ban number ${bans} of this source`;
    const balancer = balancerIn(claim, this.#mayAcceptProxy);
    const end = this.#dryRun && claim.evidence !== undefined ? ` (${this.#occasion})` : this.#wayOut(ban, claim);
    const advice = balancer === undefined ? "" : `; ${balancerAdvice(balancer)}`;
    return [
      `${verb} ${source} for ${formatDuration(leftMs)}: ${whyOf(claim)}${again}${this.#inFence(ban, fence)}${longer(ban, claim, atMs)}${end}${advice}`,
      {
        ...(claim.evidence === undefined ? { source } : evidenceFields(source, claim.reason, claim.evidence)),
        origin: claim.origin,
        gate: claim.gate,
        seconds: Number.isFinite(leftMs) ? leftMs / 1000 : null,
        kernel: fence?.kind,
      },
    ] as const;
  }

  /** Said once: perhaps somebody tries the gate, and is locked out now. */
  #wayOut({ prefix }: Ban, { evidence }: Claim): string {
    if (this.#isWayOutSaid || evidence === undefined) return "";
    this.#isWayOutSaid = true;
    return `; "ttgate lift ${prefix.text}" ends it early`;
  }

  #banned(changes: readonly Change<"ban">[]): void {
    const [first] = changes;
    if (first === undefined) return;
    if (changes.length === 1) {
      this.#ban(first);
      return;
    }
    this.lines.line("info", "bans", () => [
      `${this.#dryRun ? "Would ban" : "Banned"} ${changes.length} sources, ${first.ban.prefix.text} and others: ${whyOf(first.claim)}${this.#heldText(changes)}`,
      { sources: changes.slice(0, sourcesNamed).map(sourceOf), origin: first.claim.origin },
    ]);
  }

  #inFence(ban: Ban, outcome: FenceOutcome | undefined): string {
    return outcome?.kind === "enforced" ? `; ${refusalText(this.#refusalOf(ban))}` : notInFence(outcome);
  }

  /**
   * Of many, each is asked for, which takes a question to the kernel: only for a line that is written. Who keeps the
   * first of the others out is said as an example.
   */
  #heldText(changes: readonly Change<"ban">[]): string {
    if (changes[0]?.fence === undefined) return "";
    const held = changes.filter(({ fence }) => fence?.kind === "enforced").map(({ ban }) => ban);
    const others = held.filter((ban) => this.#refusalOf(ban).by !== "kernel");
    const inKernel = `; ${held.length - others.length} of them blocked in the kernel`;
    const [other] = others;
    if (other === undefined) return inKernel;
    return `${inKernel}, ${other.prefix.text} and others ${refusalText(this.#refusalOf(other))}`;
  }

  #adopted(sources: readonly string[]): void {
    if (this.#adoptedAtStart !== undefined) this.#adoptedAtStart += sources.length;
    else if (sources.length > 0) {
      this.lines.line("info", "bans from the map", () => [
        `Took up ${bansOf(sources)} that another tool wrote into the map`,
        { sources: sources.slice(0, sourcesNamed) },
      ]);
    }
  }

  #lifted(changes: readonly Change<"lift">[]): void {
    const [first] = changes;
    if (first === undefined) return;
    const sources = changes.map(sourceOf);
    const how = first.by === "map" ? " that another tool took out of the map" : `: ${byOf(first.by)}`;
    this.lines.line("info", "lifts", () => [
      `Lifted ${bansOf(sources)}${how}`,
      { sources: sources.slice(0, sourcesNamed), origin: first.by },
    ]);
  }

  #released({ ban, by }: Change<"release">): void {
    const source = ban.prefix.text;
    this.lines.line("info", "claims that ended", () => [
      `The claim on ${source} ended ${byOf(by)}; it stays banned: ${whyOf(ban)}`,
      { source, origin: by },
    ]);
  }

  #protected(ban: Ban, { prefix, why }: NeverBanEntry): void {
    const source = ban.prefix.text;
    this.lines.line("warn", "bans that ended", () => [
      `Ended the ban of ${source}: ${prefix.text} is never banned (${why})`,
      { source },
    ]);
  }
}

type Change<K extends BanChange["kind"]> = Extract<BanChange, { readonly kind: K }>;

function sourceOf({ ban }: BanChange): string {
  return ban.prefix.text;
}

function bansOf(sources: readonly string[]): string {
  const [first] = sources;
  return sources.length === 1 ? `the ban of ${first}` : `${sources.length} bans (${first} and others)`;
}

function whyOf({ origin, reason, evidence, gate, isLocal }: Claim): string {
  if (evidence === undefined) return byOf(origin);
  return deedOf(reason, evidence, gate) + (isLocal === true ? ", at this gate alone" : "");
}

function byOf(origin: Origin): string {
  if (origin === "operator") return "by command";
  if (origin.startsWith("list:")) return `on the list ${origin.slice("list:".length)}`;
  return `by ${origin}`;
}

/** Who tries the gate from this host waits for a ban. */
function askedFor(because: string): string {
  return because.endsWith("(loopback)") ? "; --never-ban none bans loopback too" : "";
}

function deedOf(reason: string, evidence: Evidence, gate: string | undefined): string {
  const of = gate === undefined || gate === defaultGateName ? "" : ` of gate "${gate}"`;
  const to = `port ${evidence.gatePort}${of}, first bytes "${printable(evidence.firstBytes)}"`;
  const conduct = conducts.get(reason);
  if (conduct === undefined) return `it spoke ${reason} to ${to}`;
  return `${conduct} at ${reason === tooManyConnections ? `port ${evidence.gatePort}` : to}`;
}

/** Said where another claim keeps the source banned for longer than this one. */
function longer(ban: Claim, claim: Claim, atMs: number): string {
  if (ban.untilMs <= claim.untilMs) return "";
  return `; it is banned for ${formatDuration(ban.untilMs - atMs)} anyway (${ban.origin})`;
}

function evidenceFields(source: string, protocol: string, evidence: Evidence): Readonly<Record<string, unknown>> {
  return { source, protocol, firstBytes: evidence.firstBytes.toHex() };
}

function notInFence(outcome: Exclude<FenceOutcome, { readonly kind: "enforced" }> | undefined): string {
  switch (outcome?.kind) {
    case undefined:
      return "";
    case "full":
      return "; in user space only, the kernel's map is full";
    case "failed":
      return `; in user space only: ${outcome.message}`;
    default:
      return outcome satisfies never;
  }
}
