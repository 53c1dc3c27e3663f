// SPDX-License-Identifier: Apache-2.0
// A profile: which protocol is expected, what is surely foreign, and what becomes of the rest.
// Compiles to a sniffer. Everything wrong with a profile is reported at once, each with its path.
// Knows nothing of files.
import { z } from "zod";
import { fewestStrikes } from "../bans/strikes.ts";
import { mostBetBytes } from "../ciphertext/bets.ts";
import { boundsOf, canBothMatch, canMatch } from "../signature/bounds.ts";
import type { Ciphers } from "../signature/cipher.ts";
import { recognisers as library } from "../signature/recogniser.ts";
import { prefixLimitBytes, type Recogniser, type Rule, recogniserSchema, ruleSchema } from "../signature/signature.ts";
import { type Alternative, alternativesOf, type Problem, type SignatureContext } from "../signature/term.ts";
import { finished, type Work } from "../work.ts";

export const profileSchema = z.strictObject({
  /** For editors: docs/profile.schema.json. */
  $schema: z.string().optional(),
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "A name is up to 64 letters, digits, dots, dashes")
    .optional(),
  description: z.string().optional(),
  /** The protocol that the server speaks. Accepted as soon as it is certain and nothing in `foreign` is possible. */
  expect: ruleSchema,
  /** Names out of the library, or "all": refuted by these, whatever `expect` says. */
  foreign: z.union([z.literal("all"), z.array(z.string())]).optional(),
  /** With "all": names that do not refute, because friends would have to wait until they are ruled out. */
  tolerate: z.array(z.string()).optional(),
  /** Recognisers of one's own; they refute as those in `foreign` do, and name. */
  recognisers: z.array(recogniserSchema).optional(),
  /** What becomes of that which is neither expected nor known as foreign. Undecided: closed at the deadline, no ban. */
  default: z.enum(["foreign", "accept", "undecided"]).optional(),
  /**
   * Near misses: of the expected protocol's family, and not what its clients send. Refused without a ban;
   * `strikes` of them are one. Known by recognisers of the library (family) or by rules, unless another
   * recogniser holds that is not among those that a near miss overrules.
   */
  near: z
    .strictObject({
      family: z.array(z.string()).optional(),
      overrules: z.array(z.string()).optional(),
      rules: z.array(ruleSchema).optional(),
    })
    .optional(),
  /**
   * So many strikes within ten minutes are a ban. A strike is a near miss; where the profile knows none, a
   * connection that said more than a byte and stayed undecided.
   */
  strikes: z.int().min(fewestStrikes).max(1000).optional(),
  /** Who speaks first once the connection is open. A silent client gets the greeting of a server that does. */
  speaksFirst: z.enum(["client", "server"]).optional(),
  /** What a learned profile rests on is too little to enforce it; the text says what is missing. */
  unproven: z.string().min(1).optional(),
});

export type ProfileSource = z.infer<typeof profileSchema>;

/** A recogniser taken apart. `refutes`: it overrules `expect`; otherwise it only names. */
export interface NamedAlternatives {
  readonly name: string;
  readonly refutes: boolean;
  /** Of the profile itself, not of the library. */
  readonly isOwn: boolean;
  /** Of the expected protocol's family: what it knows is a near miss. */
  readonly isKin: boolean;
  /** Names only what is no near miss. */
  readonly isOverruled: boolean;
  readonly alternatives: readonly Alternative[];
}

export interface Profile {
  readonly name: string;
  readonly expect: readonly Alternative[];
  readonly known: readonly NamedAlternatives[];
  /** What is near without being known to a recogniser. */
  readonly near: readonly Alternative[];
  readonly hasNear: boolean;
  readonly fallback: "foreign" | "accept" | "undecided";
  readonly undecidedLimit?: number | undefined;
  readonly speaksFirst?: "client" | "server" | undefined;
  readonly unproven?: string | undefined;
}

export type ProfileResult =
  | { readonly kind: "profile"; readonly profile: Profile }
  /** `overlaps`: the recognisers that would refute what is expected, where that is all that is wrong. */
  | { readonly kind: "invalid"; readonly problems: readonly Problem[]; readonly overlaps?: readonly string[] };

/**
 * @param source what a profile file holds, unchecked.
 * @param name for a source that does not name itself.
 */
export function parseProfile(source: unknown, name: string, ciphers: Ciphers): ProfileResult {
  return finished(parsingProfile(source, name, ciphers));
}

/** The same a recogniser at a time. */
export function* parsingProfile(source: unknown, name: string, ciphers: Ciphers): Work<ProfileResult> {
  const parsed = profileSchema.safeParse(source);
  if (!parsed.success)
    return { kind: "invalid", problems: parsed.error.issues.flatMap((issue) => problemsOf(issue, [])) };
  yield;
  const context = signatureContext(ciphers);
  const written = alternativesOf(parsed.data.expect, "expect", context);
  yield;
  const expect = yield* sound(written, "expect", context.problems);
  const known = yield* knownTo(parsed.data, context);
  const near = yield* nearTo(parsed.data, context);
  checkNear(parsed.data, expect, context.problems);
  if (context.problems.length > 0) return { kind: "invalid", problems: context.problems };
  const overlaps = yield* overlapsOf(expect, known);
  if (overlaps.length > 0)
    return { kind: "invalid", problems: overlaps, overlaps: overlaps.map(({ recogniser }) => recogniser) };
  const { strikes: undecidedLimit, default: fallback = "foreign", speaksFirst, unproven } = parsed.data;
  const hasNear = parsed.data.near !== undefined;
  const named = parsed.data.name ?? name;
  const profile = { name: named, expect, known, near, hasNear, fallback, undecidedLimit, speaksFirst, unproven };
  return { kind: "profile", profile };
}

/** The same for every profile, and the longest part of loading one. */
let libraryParts: readonly NamedAlternatives[] | undefined;

/** Every recogniser of the library, taken apart: what is compiled when ttgate is built. */
export function* libraryRecognisers(ciphers: Ciphers): Work<readonly NamedAlternatives[]> {
  if (libraryParts !== undefined) return libraryParts;
  const context = signatureContext(ciphers);
  const known: NamedAlternatives[] = [];
  for (const recogniser of library) known.push(yield* named(recogniser, true, recogniser.name, context));
  if (context.problems.length === 0) {
    libraryParts = known;
    return known;
  }
  throw new Error(context.problems.map(({ path, message }) => `${path}: ${message}`).join("; "));
}

/** Whether a recogniser of the library overrules what is expected. */
export function isRefuter({ foreign = [], tolerate = [] }: ProfileSource, name: string): boolean {
  return foreign === "all" ? !tolerate.includes(name) : foreign.includes(name);
}

/** Whether what a recogniser of the library knows is a near miss. */
export function isKin({ near }: ProfileSource, name: string): boolean {
  return near?.family?.includes(name) === true;
}

/** Whether a near miss overrules a recogniser of the library. */
export function isOverruled({ near }: ProfileSource, name: string): boolean {
  return near?.overrules?.includes(name) === true;
}

export function signatureContext(ciphers: Ciphers): SignatureContext {
  return {
    problems: [],
    protocols: [...rulesByName.keys()],
    rulesOf: (protocol) => rulesByName.get(protocol),
    ciphers,
  };
}

/** What is expected is then decided within the bytes that bets take, by nothing that comes later. */
export function isDecidedByBets({ expect, fallback }: Pick<Profile, "expect" | "fallback">): boolean {
  const terms = expect.flat();
  return (
    fallback === "foreign" &&
    terms.some(({ test }) => test.kind === "probe" && test.probe.bets !== undefined) &&
    expect.every((alternative) => boundsOf(alternative).horizonBytes <= mostBetBytes)
  );
}

const rulesByName: ReadonlyMap<string, readonly Rule[]> = new Map(library.map(({ name, rules }) => [name, rules]));

type Issue = z.core.$ZodIssue;

/** A union hides the issues of its branches; those of the branch that came nearest are the useful ones. */
function problemsOf(issue: Issue, before: readonly PropertyKey[]): Problem[] {
  const path = [...before, ...issue.path];
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const nearest = issue.errors.reduce((best, branch) => (depthOf(branch) > depthOf(best) ? branch : best));
    return nearest.flatMap((inner) => problemsOf(inner, path));
  }
  const message = issue.message.replace(/^Invalid input: (.*), received undefined$/, "It is missing: $1");
  return [{ path: pathText(path), message }];
}

function depthOf(issues: readonly Issue[]): number {
  return Math.max(0, ...issues.map((issue) => issue.path.length));
}

function pathText(path: readonly PropertyKey[]): string {
  const text = path.map((key) => (typeof key === "number" ? `[${key}]` : `.${String(key)}`)).join("");
  return text === "" ? "the file" : text.replace(/^\./, "");
}

/** Drops combinations that contradict themselves; a rule of which none is left can never match. */
function* sound(alternatives: readonly Alternative[], path: string, problems: Problem[]): Work<Alternative[]> {
  const live: Alternative[] = [];
  for (const alternative of alternatives) {
    yield;
    if (canMatch(boundsOf(alternative))) live.push(alternative);
  }
  const used = new Set(live.flatMap((alternative) => alternative.map((term) => term.path)));
  const dead = new Set(
    alternatives.flatMap((alternative) => alternative.map((term) => term.path)).filter((at) => !used.has(at)),
  );
  for (const at of dead)
    problems.push({ path: at, message: "This can never match together with the rest of the rule; change or drop it" });
  const longest = Math.max(0, ...live.map((alternative) => boundsOf(alternative).horizonBytes));
  if (longest > prefixLimitBytes) {
    problems.push({
      path,
      message: `The rule may need ${longest} bytes to decide and ${prefixLimitBytes} is the limit; lower its offsets or maxima`,
    });
  }
  return live;
}

function* knownTo(source: ProfileSource, context: SignatureContext): Work<NamedAlternatives[]> {
  const { problems } = context;
  const own = source.recognisers ?? [];
  const names = new Set(library.map((recogniser) => recogniser.name));
  const foreign = source.foreign ?? [];
  for (const [index, recogniser] of own.entries()) {
    if (!names.has(recogniser.name)) continue;
    const message = `The name "${recogniser.name}" is taken by the library; choose another`;
    problems.push({ path: `recognisers[${index}].name`, message });
  }
  const tolerated = source.tolerate ?? [];
  const family = source.near?.family ?? [];
  const listed = {
    foreign: foreign === "all" ? [] : foreign,
    tolerate: tolerated,
    "near.family": family,
    "near.overrules": source.near?.overrules ?? [],
  };
  for (const [field, list] of Object.entries(listed)) {
    for (const [index, name] of list.entries()) {
      if (names.has(name)) continue;
      const message = `There is no recogniser "${name}"; known are ${[...names].join(", ")}`;
      problems.push({ path: `${field}[${index}]`, message });
    }
  }
  const known: NamedAlternatives[] = [];
  for (const [index, recogniser] of own.entries())
    known.push(yield* named(recogniser, true, `recognisers[${index}]`, context));
  return [
    ...known,
    ...(yield* libraryRecognisers(context.ciphers)).map((part) => ({
      ...part,
      refutes: isRefuter(source, part.name),
      isKin: isKin(source, part.name),
      isOverruled: isOverruled(source, part.name),
    })),
  ];
}

const ownPath = "recognisers[";

function* named(
  recogniser: Recogniser,
  refutes: boolean,
  path: string,
  context: SignatureContext,
): Work<NamedAlternatives> {
  const alternatives = yield* soundRules(recogniser.rules, path, context);
  return {
    name: recogniser.name,
    refutes,
    isOwn: path.startsWith(ownPath),
    isKin: false,
    isOverruled: false,
    alternatives,
  };
}

function* soundRules(rules: readonly Rule[], path: string, context: SignatureContext): Work<Alternative[]> {
  const alternatives: Alternative[] = [];
  for (const [index, rule] of rules.entries()) {
    yield;
    const at = `${path}.rules[${index}]`;
    alternatives.push(...(yield* sound(alternativesOf(rule, at, context), at, context.problems)));
  }
  return alternatives;
}

function* nearTo({ near }: ProfileSource, context: SignatureContext): Work<Alternative[]> {
  return yield* soundRules(near?.rules ?? [], "near", context);
}

/** What nobody would ever ask for: that a near miss is known, and is not. */
function checkNear(source: ProfileSource, expect: readonly Alternative[], problems: Problem[]): void {
  if (source.near === undefined) return;
  if (source.default !== undefined && source.default !== "foreign") {
    const message = `With default = "${source.default}" nobody is foreign for not being expected, so nothing is a near miss; drop near`;
    problems.push({ path: "near", message });
  }
  if (expect.flat().some(({ test }) => test.kind === "probe" && test.probe.bets !== undefined)) {
    problems.push({ path: "near", message: "Ciphertext is expected, and nothing is nearly that; drop near" });
  }
  for (const field of ["family", "overrules"] as const) {
    for (const [index, name] of (source.near[field] ?? []).entries()) {
      if (!isRefuter(source, name)) continue;
      const message = `The recogniser "${name}" is in foreign too, which bans at once; drop it from one of them`;
      problems.push({ path: `near.${field}[${index}]`, message });
    }
  }
}

/**
 * What is expected must not be refuted. An `expect` without a word on the bytes themselves (a length, a
 * look of randomness) says only what is left when nothing is known, so it overlaps with everything.
 */
function* overlapsOf(
  expect: readonly Alternative[],
  known: readonly NamedAlternatives[],
): Work<(Problem & { readonly recogniser: string })[]> {
  const expected = expect.map(boundsOf).filter((bounds) => bounds.places.size > 0);
  const overlaps: (Problem & { readonly recogniser: string })[] = [];
  for (const { name, refutes, alternatives } of known) {
    yield;
    if (!refutes) continue;
    const clash = alternatives.find((alternative) =>
      expected.some((bounds) => canBothMatch(bounds, boundsOf(alternative))),
    );
    if (clash === undefined) continue;
    const message = `The recogniser "${name}" overlaps with expect, so friends would be refused; drop it from foreign, or make expect narrower`;
    overlaps.push({ recogniser: name, path: clash[0]?.path ?? name, message });
  }
  return overlaps;
}
