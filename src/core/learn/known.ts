// SPDX-License-Identifier: Apache-2.0
// Which of the profiles that come with ttgate takes all that was recorded: then nothing needs to be guessed. Its
// rules rest on the protocol's specification, and take what these clients happened not to send.
import { profileLibrary } from "../profile/library.ts";
import { type ProfileSource, signatureContext } from "../profile/profile.ts";
import { evidenceBits } from "../signature/bounds.ts";
import type { Ciphers } from "../signature/cipher.ts";
import { createMatcher, type Matcher } from "../signature/matcher.ts";
import { programOf } from "../signature/program.ts";
import { alternativesOf } from "../signature/term.ts";
import type { Recording } from "./recording.ts";

/** They say what is left when nothing is known: a site's own header says more. */
const unspecific = ["tapetrack", "opaque"];
/** Of other data one packet in 65,536 would fit by chance. */
const leastBits = 16;

export interface KnownProtocol {
  readonly name: string;
  readonly source: ProfileSource;
}

/** @returns the profile that says most of them, where one takes all. */
export function knownProtocolOf(samples: readonly Recording[], ciphers: Ciphers): KnownProtocol | undefined {
  let best: (KnownProtocol & { readonly bits: number }) | undefined;
  for (const [name, source] of profileLibrary) {
    if (unspecific.includes(name)) continue;
    const bits = bitsOf(source, samples, ciphers);
    if (bits >= leastBits && bits > (best?.bits ?? 0)) best = { name, source, bits };
  }
  return best;
}

interface Compiled {
  readonly matcher: Matcher;
  /** Of each alternative. */
  readonly bits: readonly number[];
}

const compiled = new WeakMap<ProfileSource, Compiled>();

function compiledOf(source: ProfileSource, ciphers: Ciphers): Compiled {
  const before = compiled.get(source);
  if (before !== undefined) return before;
  const alternatives = alternativesOf(source.expect, "expect", signatureContext(ciphers));
  const made = { matcher: createMatcher(programOf(alternatives)), bits: alternatives.map(evidenceBits) };
  compiled.set(source, made);
  return made;
}

/** The evidence in the sample that has least of it; 0 where one is not expected. */
function bitsOf(source: ProfileSource, samples: readonly Recording[], ciphers: Ciphers): number {
  const { matcher, bits } = compiledOf(source, ciphers);
  let least = Number.POSITIVE_INFINITY;
  for (const { bytes } of samples) {
    let most = 0;
    for (const [index, evidence] of bits.entries()) {
      if (evidence > most && matcher(index, bytes, bytes.length, false) > 0) most = evidence;
    }
    least = Math.min(least, most);
    if (least < leastBits) return 0;
  }
  return least;
}
