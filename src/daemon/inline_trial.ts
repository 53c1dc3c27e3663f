// SPDX-License-Identifier: Apache-2.0
// Who proves good in a trial of inline mode, where nobody listens to what is said: a source whose other
// connections pass, and one whose connection the server keeps although the profile would have ended it.
import { requirePrefix } from "../core/address.ts";
import type { BanChange, BanFollower } from "../core/bans/enforcement.ts";
import { peersOf } from "../host/connections.ts";

/** A server that does not understand its client hangs up sooner. */
const longMs = 10_000;
/** Of a flood of strangers the newest. */
const suspectLimit = 1000;
const lookMs = 2000;

interface Suspect {
  readonly address: string;
  readonly port: number;
  readonly atMs: number;
}

export interface InlineTrialParts {
  readonly port: number;
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
      const { clientAddress: address, clientPort: port } = evidence;
      const { text } = change.ban.prefix;
      this.#suspects.delete(text);
      this.#suspects.set(text, { address, port, atMs: change.atMs });
      if (this.#suspects.size > suspectLimit) this.#suspects.delete(this.#suspects.keys().next().value ?? "");
    }
  }

  /** @returns the sources that have proven good. */
  good(nowMs: number): readonly string[] {
    if (this.#suspects.size === 0 || nowMs - this.#lookedMs < lookMs) return [];
    this.#lookedMs = nowMs;
    const peers = peersOf(this.#parts.port);
    return [...this.#suspects].filter(([, suspect]) => this.#isGood(suspect, peers, nowMs)).map(([source]) => source);
  }

  #isGood({ address, port, atMs }: Suspect, peers: ReadonlySet<string>, nowMs: number): boolean {
    if (this.#parts.isWelcome(address)) return true;
    return nowMs - atMs >= longMs && peers.has(`${peerOf(address)} ${port}`);
  }
}

/** As `peersOf` writes it. */
function peerOf(address: string): string {
  return address.includes(":") ? requirePrefix(address).bytes.toHex() : address;
}
