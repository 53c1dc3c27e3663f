// SPDX-License-Identifier: Apache-2.0
// What it means that the engine in the kernel says what the matcher says, for a profile of any kind:
//
// - On the rules that the table holds, exactly the same: open is more, pass is accept, foreign is foreign
//   with the same name. Where nobody is foreign for not being expected, the kernel does not look at what is
//   expected: it passes as soon as nothing can refute any more. The matcher's answer is then that of the
//   same profile with nothing expected and accept as default.
// - Where nothing but what is expected decides, it passes exactly what the matcher accepts, and calls foreign
//   nobody whom the matcher would not, once the client is silent.
// - On all the rules, the kernel may only miss: it never calls foreign what the matcher accepts, a verdict
//   with a name that has no rule left out is the same in both, and any other answer of the matcher is one
//   that a rule left out, or the expectation that it did not look at, explains.
import { compileProfile } from "../../src/core/profile/compiled_profile.ts";
import type { Profile } from "../../src/core/profile/profile.ts";
import { createSniffer } from "../../src/core/profile/sniffer.ts";
import { boundsOf } from "../../src/core/signature/bounds.ts";
import { type SignatureTable, tableOf, tablePrefixBytes } from "../../src/core/signature/table.ts";
import type { Alternative } from "../../src/core/signature/term.ts";
import type { Sniff } from "../../src/core/sniff.ts";
import { type Engine, kindOf, ownerOf, verdictForeign, verdictMalformed, verdictOpen, verdictPass } from "./inline.ts";

export interface Agreement {
  readonly table: SignatureTable;
  /** The profile with only the rules that the table holds. */
  readonly held: Profile;
  /** In words, what one of the engines says otherwise; undefined: they agree. Counts what was said. */
  disagreement(bytes: Uint8Array, length: number): string | undefined;
  readonly said: { open: number; pass: number; malformed: number; foreign: number };
}

/** A table can hold it: docs/signatures.md. */
function isHeld(alternative: Alternative): boolean {
  return (
    boundsOf(alternative).horizonBytes <= tablePrefixBytes &&
    alternative.every(
      ({ test, negated }) =>
        (test.kind !== "probe" || test.probe.bets !== undefined) &&
        (!negated || test.kind !== "bytes" || test.value.length <= 8),
    )
  );
}

/** The table is written to the engines. @returns the kernel's problems with a profile that it cannot hold. */
export function agreementOf(profile: Profile, engines: readonly Engine[]): Agreement | readonly string[] {
  const result = tableOf(profile);
  if (result.kind === "refused") return result.problems.map(({ path, message }) => `${path}: ${message}`);
  const { table } = result;
  for (const engine of engines) engine.use(table.bytes);

  const known = profile.known.map((part) => ({ ...part, alternatives: part.alternatives.filter(isHeld) }));
  const lostNames = new Set(
    profile.known.filter(({ alternatives }) => !alternatives.every(isHeld)).map(({ name }) => name),
  );
  const lost = profile.known.flatMap(({ alternatives }) => alternatives.filter((alternative) => !isHeld(alternative)));
  if (lost.length !== table.leftOut.length)
    throw new Error(`The table left out ${table.leftOut.length} rules instead of ${lost.length}`);
  const isStrict = profile.fallback === "foreign";
  const held: Profile = { ...profile, known };
  const exact = createSniffer(compileProfile(isStrict ? held : { ...held, expect: [], fallback: "accept" }));
  const whole = createSniffer(compileProfile(profile));
  const isPlain = isStrict && !profile.known.some(({ refutes }) => refutes);
  const said = { open: 0, pass: 0, malformed: 0, foreign: 0 };

  function nameOf(verdict: number): string {
    return table.protocols[ownerOf(verdict)] ?? `owner ${ownerOf(verdict)}`;
  }

  function isSame(verdict: number, sniff: Sniff): boolean {
    switch (sniff.kind) {
      case "more":
        return verdict === verdictOpen;
      case "accept":
        return verdict === verdictPass;
      case "malformed":
        return verdict === verdictMalformed;
      case "foreign":
        return kindOf(verdict) === verdictForeign && nameOf(verdict) === sniff.protocol;
    }
  }

  function isExplained(verdict: number, sniff: Sniff): boolean {
    if (isSame(verdict, sniff)) return true;
    if (sniff.kind === "foreign") return lostNames.has(sniff.protocol);
    if (sniff.kind === "accept") return false;
    return verdict === verdictPass ? !isStrict || lost.length > 0 : lost.length > 0;
  }

  /** Of a profile that only expects: no rule left out can matter. */
  function isKept(verdict: number, sniff: Sniff, prefix: Uint8Array): boolean {
    if ((verdict === verdictPass) !== (sniff.kind === "accept")) return false;
    return kindOf(verdict) !== verdictForeign || whole.sniff(prefix, true).kind === "foreign";
  }

  function words(verdict: number): string {
    if (verdict === verdictMalformed) return "malformed";
    if (kindOf(verdict) === verdictForeign) return `foreign ${nameOf(verdict)}`;
    return verdict === verdictPass ? "pass" : verdict === verdictOpen ? "open" : `verdict ${verdict}`;
  }

  return {
    table,
    held,
    said,
    disagreement(bytes, length) {
      const prefix = bytes.subarray(0, length);
      const rules = exact.sniff(prefix, false);
      const all = whole.sniff(prefix, false);
      for (const engine of engines) {
        const verdict = engine.verdict(bytes, length);
        if (!isSame(verdict, rules)) return `${words(verdict)} instead of ${JSON.stringify(rules)}`;
        if (!isExplained(verdict, all) || (isPlain && !isKept(verdict, all, prefix)))
          return `${words(verdict)} and with all rules ${JSON.stringify(all)}`;
      }
      if (rules.kind === "more") said.open++;
      else if (rules.kind === "accept") said.pass++;
      else if (rules.kind === "malformed") said.malformed++;
      else said.foreign++;
      return undefined;
    },
  };
}
