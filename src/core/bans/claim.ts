// SPDX-License-Identifier: Apache-2.0
// Claims: who wants a source banned, why and until when. A source is banned until the last claim on it
// ends. Each origin has at most one claim on a source and ends only its own; an operator ends all. Pure.
import type { Prefix } from "../address.ts";
import type { BetEvidence } from "../ciphertext/bets.ts";

/**
 * Who asked. `sniffer`: its first bytes were another protocol. `strikes`: undecided too often. `kernel`: the
 * XDP program judged it. `operator`: a command. `list:NAME`: a list of sources. `map`: another tool wrote it
 * into the kernel map. `foreign`: the same without an end in the documented map, not ttgate's to take out.
 * `server`: the server hung up on it. The others are other programs.
 */
export type Origin =
  | "sniffer"
  | "strikes"
  | "kernel"
  | "operator"
  | "map"
  | "foreign"
  | "server"
  | "crowdsec"
  | "fail2ban"
  | `list:${string}`
  | `gate:${string}`;

/** Who asks by command: a person, or a tool that has claims of its own. */
export const asking = ["operator", "fail2ban"] as const;
export type Asking = (typeof asking)[number];

/** What a connection of the source showed. */
export interface Evidence {
  /** At most `evidenceBytes` of the first packet. */
  readonly firstBytes: Uint8Array;
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly gatePort: number;
  /** The bet that the first packet lost, where it was that and no recogniser that told the stranger. */
  readonly bet?: BetEvidence | undefined;
}

/** Enough to recognise a request line or a TLS hello by eye. */
export const evidenceBytes = 64;

export interface Claim {
  readonly origin: Origin;
  /** The protocol spoken, or what stands in its place: "manual", "undecided", "refused". */
  readonly reason: string;
  /** Milliseconds since boot. */
  readonly sinceMs: number;
  /** Milliseconds since boot; Infinity is without an end. */
  readonly untilMs: number;
  readonly evidence: Evidence | undefined;
  /** The gate that saw it; undefined where it was none. */
  readonly gate?: string | undefined;
  /** It holds at that gate alone, in user space. */
  readonly isLocal?: boolean | undefined;
}

/**
 * A banned source. It is its leading claim, the one that ends last, so that the usual ban with one claim
 * takes no more memory than a claim.
 */
export interface Ban extends Claim {
  readonly prefix: Prefix;
  /** The claims beside the leading one. */
  readonly others: readonly Claim[];
  /** The kernel map that holds it, or what stands in its place; undefined: user space alone. Changed by `Bans.stand` only. */
  standsIn: string | undefined;
}

/** A ban as far as a fence has to do with it: what a walk that compares the two needs, and no more. */
export interface FencedBan {
  readonly prefix: Prefix;
  readonly standsIn: string | undefined;
  /** When the claim ends that holds everywhere; undefined: none does. Milliseconds since boot. */
  readonly untilMs: number | undefined;
}

/** In place of a map's name: no claim on it holds everywhere, so that no fence is to have it. */
export const atOneGate = "gate";

const noOthers: readonly Claim[] = [];

/** All claims on a source that still run, the leading one first. */
export function claimsOf(ban: Ban, nowMs: number): readonly Claim[] {
  if (ban.others.length === 0) return [ban];
  return [ban, ...ban.others.filter(({ untilMs }) => untilMs > nowMs)];
}

/** The claim of one origin, if it has one that runs. */
export function claimOf(ban: Ban, origin: Origin, nowMs: number): Claim | undefined {
  return claimsOf(ban, nowMs).find((claim) => claim.origin === origin);
}

/** Whether an operator wants it, be it among others. */
export function isAskedForByOperator({ origin, others }: Ban): boolean {
  return origin === "operator" || (others.length > 0 && others.some((claim) => claim.origin === "operator"));
}

/** Whether a ban that runs holds at a gate. */
export function holdsAt(ban: Ban, gate: string, nowMs: number): boolean {
  if (ban.isLocal !== true || ban.gate === gate) return true;
  return claimsOf(ban, nowMs).some((claim) => claim.isLocal !== true || claim.gate === gate);
}

/** The claim that ends last of those that hold everywhere: what a fence is to carry out. */
export function everywhere(ban: Ban): Claim | undefined {
  return ban.isLocal === true ? [...ban.others].sort(laterFirst).find(({ isLocal }) => isLocal !== true) : ban;
}

/**
 * The ban with one more claim. An origin that asks again never shortens what it asked for before.
 * @param ban undefined when the source is not banned.
 * @returns the same ban when the claim changes nothing.
 */
export function withClaim(ban: Ban | undefined, prefix: Prefix, claim: Claim, nowMs: number): Ban {
  if (ban === undefined || ban.untilMs <= nowMs) return banOfOne(prefix, claim, noOthers);
  const claims = claimsOf(ban, nowMs);
  const before = claims.find((other) => isSame(other, claim));
  if (before !== undefined && before.untilMs >= claim.untilMs) return ban;
  return banOf(prefix, [...claims.filter((other) => other !== before), claim]);
}

/** The ban of a source that these claims are all there is; undefined without one. */
export function banWith(prefix: Prefix, claims: readonly Claim[]): Ban | undefined {
  const [only] = claims;
  if (only === undefined) return undefined;
  return claims.length === 1 ? banOfOne(prefix, only, noOthers) : banOf(prefix, claims);
}

/** The ban without some of its claims; undefined when nothing is left of it. */
export function withoutClaims(ban: Ban, isOver: (claim: Claim) => boolean, nowMs: number): Ban | undefined {
  if (ban.others.length === 0) return isOver(ban) || ban.untilMs <= nowMs ? undefined : ban;
  const claims = claimsOf(ban, nowMs);
  const left = claims.filter((claim) => !isOver(claim) && claim.untilMs > nowMs);
  if (left.length === claims.length) return ban;
  return left.length === 0 ? undefined : banOf(ban.prefix, left);
}

/** Of claims that end together the one made first leads. */
function banOf(prefix: Prefix, claims: readonly Claim[]): Ban {
  const [leading, ...others] = [...claims].sort(laterFirst);
  if (leading === undefined) throw new Error("A ban needs a claim");
  return banOfOne(prefix, leading, others.map(claimAlone));
}

/** Field by field: there may be a million, and a copy by `...` takes four times as long. */
function banOfOne(
  prefix: Prefix,
  { origin, reason, sinceMs, untilMs, evidence, gate, isLocal }: Claim,
  others: readonly Claim[],
): Ban {
  return { prefix, origin, reason, sinceMs, untilMs, evidence, gate, isLocal, others, standsIn: undefined };
}

/** An origin has one claim that holds everywhere, and one at each gate alone. */
function isSame(one: Claim, other: Claim): boolean {
  if (one.origin !== other.origin || (one.isLocal === true) !== (other.isLocal === true)) return false;
  return one.isLocal !== true || one.gate === other.gate;
}

function laterFirst(a: Claim, b: Claim): number {
  return ending(b) - ending(a) || a.sinceMs - b.sinceMs;
}

/** Infinity less Infinity is no number to sort by. */
function ending({ untilMs }: Claim): number {
  return Math.min(untilMs, Number.MAX_SAFE_INTEGER);
}

/** A claim that led is a whole ban, with its map and its own others. */
function claimAlone({ origin, reason, sinceMs, untilMs, evidence, gate, isLocal }: Claim): Claim {
  return { origin, reason, sinceMs, untilMs, evidence, gate, isLocal };
}
