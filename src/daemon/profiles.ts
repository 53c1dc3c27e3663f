// SPDX-License-Identifier: Apache-2.0
// The profiles of gates, as user space and as the kernel judges by them. Making one takes longer than all the rest
// of a reload, and connections wait meanwhile: what has not changed is not made again.
import type { GateOptions } from "../config/options.ts";
import { loadSignatureTable, loadSniffer, profileContent } from "../config/profile.ts";
import type { SignatureTable } from "../core/signature/table.ts";
import type { Sniffer } from "../core/sniff.ts";

export interface GateProfile {
  readonly sniffer: Sniffer;
  /** Undefined where the kernel does not judge. */
  readonly table: SignatureTable | undefined;
}

export class Profiles {
  readonly #sniffers = new Made(loadSniffer);
  readonly #tables = new Made(loadSignatureTable);

  /** @throws Failure with what is wrong with it. */
  load({ profile }: Pick<GateOptions, "profile">, judgesInKernel: boolean): GateProfile {
    return {
      sniffer: this.#sniffers.of(profile),
      table: judgesInKernel ? this.#tables.of(profile) : undefined,
    };
  }
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
