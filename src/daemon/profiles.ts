// SPDX-License-Identifier: Apache-2.0
// The profiles of gates, as user space and as the kernel judges by them. Making one takes longer than all the rest
// of a reload, and connections wait meanwhile: what has not changed is not made again.
import { isJudgedInKernel } from "../config/gates.ts";
import type { GateOptions } from "../config/options.ts";
import {
  loadSignatureTable,
  loadSniffer,
  profileContent,
  profileFingerprint,
  requireProven,
} from "../config/profile.ts";
import type { SignatureTable } from "../core/signature/table.ts";
import type { Sniffer } from "../core/sniff.ts";

export interface GateProfile {
  readonly sniffer: Sniffer;
  /** Undefined where the kernel does not judge. */
  readonly table: SignatureTable | undefined;
  /** What tells whether it is the one that it was. */
  readonly fingerprint: string;
}

export class Profiles {
  readonly #sniffers = new Made(loadSniffer);
  readonly #tables = new Made(loadSignatureTable);

  /** @throws Failure with what is wrong with it, or missing to enforce it. */
  load(gate: GateOptions, isDryRun: boolean): GateProfile {
    const { profile } = gate;
    const sniffer = this.#sniffers.of(profile);
    requireProven(sniffer, gate, isDryRun);
    const table = judgesInKernel(gate, isDryRun) ? this.#tables.of(profile) : undefined;
    return { sniffer, table, fingerprint: profileFingerprint(profile) };
  }
}

/** The kernel judges its port, but for a relay's dry run. */
export function judgesInKernel(gate: Pick<GateOptions, "mode" | "prefilter">, isDryRun: boolean): boolean {
  return gate.mode === "inline" || (isJudgedInKernel(gate) && !isDryRun);
}

/** What was made of profiles, by name or file. */
class Made<T> {
  readonly #make: (profile: string) => T;
  readonly #made = new Map<string, { readonly content: string | undefined; readonly value: T }>();

  constructor(make: (profile: string) => T) {
    this.#make = make;
  }

  of(profile: string): T {
    const made = this.#made.get(profile);
    if (made?.content !== undefined && made.content === profileContent(profile)) return made.value;
    const value = this.#make(profile);
    this.#made.set(profile, { content: profileContent(profile), value });
    return value;
  }
}
