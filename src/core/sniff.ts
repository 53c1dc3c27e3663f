// SPDX-License-Identifier: Apache-2.0
// What the sniffer says of the first bytes of a connection. The verdict of a prefix never depends on
// how TCP cut it: `more` until the answer cannot change any more.

import type { BetEvidence } from "./ciphertext/bets.ts";

export type Sniff =
  | { readonly kind: "accept" }
  | { readonly kind: "foreign"; readonly protocol: string }
  /** A near miss: of the expected protocol's family, and not what its clients send. Refused, and a strike. */
  | { readonly kind: "malformed" }
  /** `isLast`: no byte that may come decides; a strike. */
  | { readonly kind: "more"; readonly isLast?: true };

export interface Sniffer {
  /** The profile's name. */
  readonly profile: string;
  /** Names that a foreign verdict may carry. */
  readonly protocols: readonly string[];
  /** No verdict needs more bytes than this; it is computed from the rules. */
  readonly prefixBytes: number;
  /** Who says the first word on a connection: the client unless said otherwise. */
  readonly speaksFirst?: "client" | "server" | undefined;
  /** What the profile lacks to be enforced; undefined: nothing. */
  readonly unproven?: string | undefined;
  /** A source with so many strikes within ten minutes is banned; undefined: none is. */
  readonly undecidedLimit?: number | undefined;
  /**
   * @param bytes what the client sent so far.
   * @param ended the client sends nothing more (FIN, or silent until the deadline).
   */
  sniff(bytes: Uint8Array, ended: boolean): Sniff;
  /** The bet that a foreign client lost, where one said so and no recogniser: who won it, and how. */
  evidence?(bytes: Uint8Array): BetEvidence | undefined;
}
