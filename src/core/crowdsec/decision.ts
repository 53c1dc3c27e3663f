// SPDX-License-Identifier: Apache-2.0
// One decision of CrowdSec as its local API tells it, https://crowdsecurity.github.io/api_doc/lapi/: what of it is a
// ban of a source here. It comes from outside: what is not well formed is no decision. Pure.
import { z } from "zod";
import { coversBoth, isIpv4, type Prefix, parsePrefix } from "../address.ts";
import { sourceOf } from "../client.ts";
import { longestDurationMs, parseGoDuration } from "../duration.ts";

/** Longer than an IPv6 prefix, an AS number or a name of a country. */
const longestText = 512;

const text = z.string().max(longestText);
const schema = z.object({
  id: z.int().nonnegative(),
  origin: text,
  /** A command's reason is any text. */
  scenario: z.string(),
  scope: text,
  type: text,
  value: text,
  duration: text,
  simulated: z.boolean().optional(),
});

export interface Decision {
  readonly id: number;
  /** Who made it: `cscli`, `crowdsec`, `CAPI`, `lists`, `ttgate:MACHINE`. */
  readonly origin: string;
  /** As CrowdSec writes them, to ask again. */
  readonly scope: string;
  readonly value: string;
  /** What is banned here: an address is the source it belongs to. */
  readonly prefix: Prefix;
  readonly reason: string;
  /** Not above 0: it is over. */
  readonly leftMs: number;
}

export type DecisionReading =
  | { readonly kind: "ban"; readonly decision: Decision }
  | { readonly kind: "simulation" | NotTaken };

/** Why a decision is not carried out: another remedy than a ban, or on something else than an address or a range. */
export type NotTaken = "malformed" | "wide" | "remedy" | "scope";

/** Wider than these nothing is taken, as from a list: a mistake of others takes a continent out. */
const widestIpv4Bits = 96 + 8;
const widestIpv6Bits = 19;

/** In the place of a protocol, where the scenario is no name: a command's, or a text. */
export const decided = "decided";
const scenarioName = /^[\w.-]{1,64}\/[\w.-]{1,64}$/;

/** @param found one item of an answer. */
export function readDecision(found: unknown, ipv6Bits: number): DecisionReading {
  const parsed = schema.safeParse(found);
  if (!parsed.success) return { kind: "malformed" };
  const { id, origin, scope, type, value, scenario, simulated, duration } = parsed.data;
  const isAddress = /^ip$/i.test(scope);
  if (simulated === true) return { kind: "simulation" };
  if (type !== "ban") return { kind: "remedy" };
  if (!isAddress && !/^range$/i.test(scope)) return { kind: "scope" };
  const given = parsePrefix(value);
  const leftMs = parseGoDuration(duration);
  if (given === undefined || leftMs === undefined || leftMs > longestLeftMs) return { kind: "malformed" };
  const prefix = given.bits === 128 && !value.includes("/") ? sourceOf(given, ipv6Bits) : given;
  if (coversBoth(prefix) || prefix.bits < (isIpv4(prefix) ? widestIpv4Bits : widestIpv6Bits)) return { kind: "wide" };
  const reason = scenarioName.test(scenario) ? scenario : decided;
  return { kind: "ban", decision: { id, origin, scope, value, prefix, reason, leftMs } };
}

/** What LAPI may have written for a ban without an end. */
const longestLeftMs = 30 * longestDurationMs;

/** What is no JSON is malformed. */
export function parseDecision(json: string, ipv6Bits: number): DecisionReading {
  try {
    return readDecision(JSON.parse(json), ipv6Bits);
  } catch {
    return { kind: "malformed" };
  }
}
