// SPDX-License-Identifier: Apache-2.0
// Who proves good in a trial of inline mode, where nobody listens to what is said: a source whose other
// connections pass, and one that the server goes on to keep connections with although the profile would have
// ended them.
import { requirePrefix } from "../core/address.ts";
import type { BanChange, BanFollower } from "../core/bans/change.ts";
import { peersOf } from "../host/connections.ts";

/** Connected at so many looks: a server that does not understand its client hangs up sooner. */
const enoughLooks = 5;
/** Of a flood of strangers the newest. */
const suspectLimit = 1000;
const lookMs = 2000;

interface Suspect {
  readonly address: string;
  looks: number;
}

export interface InlineTrialParts {
  readonly port: () => number;
  /** Whether a connection of the address passed lately. */
  isWelcome(address: string): boolean;
}

export class InlineTrial implements BanFollower {
  readonly #parts: InlineTrialParts;
  readonly #suspects = new Map<string, Suspect>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(parts: InlineTrialParts) {
    this.#parts = parts;
  }

  bansChanged(changes: readonly BanChange[]): void {
    for (const change of changes) {
      const evidence = change.kind === "ban" ? change.claim.evidence : undefined;
      if (evidence === undefined) continue;
      this.suspect(change.ban.prefix.text, evidence.clientAddress);
    }
  }

  /** The profile would have turned the source away. */
  suspect(source: string, address: string): void {
    const looks = this.#suspects.get(source)?.looks ?? 0;
    this.#suspects.delete(source);
    this.#suspects.set(source, { address, looks });
    if (this.#suspects.size > suspectLimit) this.#suspects.delete(this.#suspects.keys().next().value ?? "");
  }

  /** @returns the sources that have proven good. */
  good(nowMs: number): readonly string[] {
    if (this.#suspects.size === 0 || nowMs - this.#lookedMs < lookMs) return [];
    this.#lookedMs = nowMs;
    const peers = peersOf(this.#parts.port());
    for (const suspect of this.#suspects.values()) if (peers.has(peerOf(suspect.address))) suspect.looks++;
    return [...this.#suspects].filter(([, suspect]) => this.#isGood(suspect)).map(([source]) => source);
  }

  #isGood({ address, looks }: Suspect): boolean {
    return looks >= enoughLooks || this.#parts.isWelcome(address);
  }
}

/** As `peersOf` writes it. */
function peerOf(address: string): string {
  return address.includes(":") ? requirePrefix(address).bytes.toHex() : address;
}
