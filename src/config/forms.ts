// SPDX-License-Identifier: Apache-2.0
// The forms that values of options have: text on a command line; text, numbers and lists in the file. Each says what it
// expects when it gets something else.
import { z } from "zod";
import { parsePrefix } from "../core/address.ts";
import { parseDuration, spellDuration } from "../core/duration.ts";
import { fleetNamePattern } from "../core/fleet/record.ts";

/** So many connections at once, and as many again within the period. */
export interface Rate {
  readonly connections: number;
  readonly periodMs: number;
}

/** How long a ban for one protocol lasts. */
export interface ProtocolTimeout {
  readonly protocol: string;
  readonly timeoutMs: number;
}

/** A text that `parse` understands; `expected` is the remedy when it does not. */
export function text<T>(expected: string, parse: (text: string) => T | undefined) {
  return z.string(`expected ${expected}`).transform((given, context) => {
    const value = parse(given);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: `expected ${expected}`, input: given });
    return z.NEVER;
  });
}

/** Any text but the empty one. */
export const name = (what: string) => z.string(`expected ${what}`).min(1, `expected ${what}`);

export const file = name("a file");

export const onOff = z.boolean("expected true or false");

/** One of two words or more. */
export function oneOf<const Words extends readonly [string, string, ...string[]]>(...words: Words) {
  const quoted = words.map((word) => `"${word}"`);
  return z.enum(words, `expected ${quoted.slice(0, -1).join(", ")} or ${quoted.at(-1)}`);
}

/** One value or several, in the file as a string or a list of strings; said twice is said once. */
export function several<T>(one: z.ZodType<T, string>, least = 0) {
  const list = z.array(one).min(least, `expected at least ${least}`);
  return z
    .union([one.transform((value) => [value]), list])
    .transform((values) => [...new Map(values.map((value) => [JSON.stringify(value), value])).values()]);
}

/** The same of values of which no two may have one key. */
export function severalBy<T>(keyOf: (value: T) => string, one: z.ZodType<T, string>, expected: string) {
  const areDistinct = (values: readonly T[]) => new Set(values.map(keyOf)).size === values.length;
  return several(one).refine(areDistinct, `expected ${expected}`);
}

/** In the file a number is welcome as well. */
function numeric(form: RegExp, message: string, isWithin: (value: number) => boolean) {
  return z.union([z.string(message), z.number(message)]).transform((given, context) => {
    const value = typeof given === "number" ? given : form.test(given) ? Number(given) : Number.NaN;
    if (isWithin(value)) return value;
    context.addIssue({ code: "custom", message, input: given });
    return z.NEVER;
  });
}

export function whole(least: number, most: number) {
  const isWithin = (value: number) => Number.isInteger(value) && value >= least && value <= most;
  return numeric(/^\d+$/, `expected a whole number from ${least} to ${most}`, isWithin);
}

export function factor(least: number, most: number) {
  const message = `expected a number from ${least} to ${most}, such as 2 or 1.5`;
  return numeric(/^\d+(\.\d+)?$/, message, (value) => value >= least && value <= most);
}

export const duration = text("a duration from 1ms to 3650d, such as 30s, 10m or 1h30m", parseDuration);

function parserWithin(leastMs: number, mostMs: number) {
  return (given: string) => {
    const value = parseDuration(given);
    return value !== undefined && value >= leastMs && value <= mostMs ? value : undefined;
  };
}

export function durationWithin(leastMs: number, mostMs: number) {
  const range = `from ${spellDuration(leastMs)} to ${spellDuration(mostMs)}`;
  return text(`a duration ${range}`, parserWithin(leastMs, mostMs));
}

/** How often servers are looked at. */
const checkEvery = parserWithin(500, 3_600_000);
export const check = text("off or a duration from 500ms to 1h", (given) =>
  given === "off" ? "off" : checkEvery(given),
);

export const cidr = text("an address or CIDR, such as 192.0.2.0/24 or 2001:db8::/32", parsePrefix);

/** Of a fleet, or of a gate in it. */
export const fleetName = z
  .string("expected a name")
  .regex(fleetNamePattern, "expected a name of at most 64 letters, digits and . _ -");

/** `N/DURATION`: so many in so long. */
export const rate = text("N/DURATION, such as 20/10s", (given): Rate | undefined => {
  const [, count = "", period = ""] = /^(\d{1,7})\/(\w+)$/.exec(given) ?? [];
  const connections = Number(count);
  const periodMs = parseDuration(period);
  return connections < 1 || periodMs === undefined ? undefined : { connections, periodMs };
});

export const protocolTimeout = text("PROTOCOL=DURATION, such as http=1h", (given): ProtocolTimeout | undefined => {
  const [, protocol, period = ""] = /^([\w-]+)=(\w+)$/.exec(given) ?? [];
  const timeoutMs = parseDuration(period);
  return protocol === undefined || timeoutMs === undefined ? undefined : { protocol, timeoutMs };
});
