// SPDX-License-Identifier: Apache-2.0
// The profiles of gates, as user space and as the kernel judges by them. Making one takes longer than all the rest
// of a reload: it is done in steps, and what has not changed is not made again.
import { isJudgedInKernel } from "../config/gates.ts";
import type { GateOptions } from "../config/options.ts";
import {
  makeSignatureTable,
  makeSniffer,
  profileContent,
  profileFingerprint,
  requireProven,
} from "../config/profile.ts";
import type { SignatureTable } from "../core/signature/table.ts";
import type { Sniffer } from "../core/sniff.ts";
import type { Work } from "../core/work.ts";
import { Failure } from "../failure.ts";

export interface GateProfile {
  readonly sniffer: Sniffer;
  /** Undefined where the kernel does not judge. */
  readonly table: SignatureTable | undefined;
  /** What tells whether it is the one that it was. */
  readonly fingerprint: string;
}

export class Profiles {
  readonly #sniffers = new Made(makeSniffer);
  readonly #tables = new Made(makeSignatureTable);

  /** @throws Failure with what is wrong with it, or missing to enforce it. */
  *make(gate: GateOptions, isDryRun: boolean): Work<GateProfile> {
    const { profile } = gate;
    const fingerprint = profileFingerprint(profile);
    const sniffer = yield* this.#sniffers.of(profile);
    requireProven(sniffer, gate, isDryRun);
    const table = judgesInKernel(gate, isDryRun) ? yield* this.#tables.of(profile) : undefined;
    // Sniffer and table would be of two versions.
    if (profileFingerprint(profile) !== fingerprint)
      throw new Failure(`Profile "${profile}" has changed while it was read: reload again`, { exitCode: 2 });
    return { sniffer, table, fingerprint };
  }
}

/** The kernel judges its port, but for a relay's dry run. */
export function judgesInKernel(gate: Pick<GateOptions, "mode" | "prefilter">, isDryRun: boolean): boolean {
  return gate.mode === "inline" || (isJudgedInKernel(gate) && !isDryRun);
}

/** What was made of profiles, by name or file. */
class Made<T> {
  readonly #make: (profile: string) => Work<T>;
  readonly #made = new Map<string, { readonly content: string | undefined; readonly value: T }>();

  constructor(make: (profile: string) => Work<T>) {
    this.#make = make;
  }

  *of(profile: string): Work<T> {
    const made = this.#made.get(profile);
    const content = profileContent(profile);
    if (made?.content !== undefined && made.content === content) return made.value;
    const value = yield* this.#make(profile);
    this.#made.set(profile, { content, value });
    return value;
  }
}
