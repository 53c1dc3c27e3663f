// SPDX-License-Identifier: Apache-2.0
// The profiles of gates, as user space and as the kernel judges by them. Those that are built in never change
// and are made once; those in files are read whenever they are asked for.
import type { GateOptions } from "../config/options.ts";
import { isBuiltIn, loadSignatureTable, loadSniffer } from "../config/profile.ts";
import type { SignatureTable } from "../core/signature/table.ts";
import type { Sniffer } from "../core/sniff.ts";

export interface GateProfile {
  readonly sniffer: Sniffer;
  /** Undefined where the kernel does not judge. */
  readonly table: SignatureTable | undefined;
}

export class Profiles {
  readonly #sniffers = new Map<string, Sniffer>();
  readonly #tables = new Map<string, SignatureTable>();

  /** @throws Failure with what is wrong with it. */
  load({ profile }: Pick<GateOptions, "profile">, judgesInKernel: boolean): GateProfile {
    const sniffer = cached(this.#sniffers, profile, loadSniffer);
    return { sniffer, table: judgesInKernel ? cached(this.#tables, profile, loadSignatureTable) : undefined };
  }
}

function cached<T>(made: Map<string, T>, profile: string, make: (profile: string) => T): T {
  const value = made.get(profile) ?? make(profile);
  if (isBuiltIn(profile)) made.set(profile, value);
  return value;
}
