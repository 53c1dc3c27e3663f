// SPDX-License-Identifier: Apache-2.0
// What is done with a connection, given what the sniffer says of its first bytes. The line that
// decides a ban is here. Pure.
import type { Sniff } from "./sniff.ts";

export type Verdict =
  /** Not decided yet: wait for more bytes. */
  | { readonly kind: "hold" }
  /** The expected protocol, or a dry run: on to the server. */
  | { readonly kind: "relay"; readonly would: TurnAway | undefined }
  | TurnAway;

export type TurnAway =
  /** Another protocol: out, and banned. */
  | { readonly kind: "ban"; readonly protocol: string }
  /** Silent, slow or gone before it said enough: out, but that is no evidence against the source. */
  | {
      readonly kind: "close";
      /** It said all that could tell, or the profile counts its silence. */
      readonly isStrike?: true;
    };

export interface Circumstances {
  /** The client sends nothing more: FIN, or silent until the deadline. */
  readonly ended: boolean;
  /** Judge and count, ban nobody. */
  readonly dryRun: boolean;
}

export function verdict(sniff: Sniff, { ended, dryRun }: Circumstances): Verdict {
  switch (sniff.kind) {
    case "accept":
      return { kind: "relay", would: undefined };
    case "foreign":
      return turnAway({ kind: "ban", protocol: sniff.protocol }, dryRun);
    case "malformed":
      return turnAway({ kind: "close", isStrike: true }, dryRun);
    case "more":
      if (sniff.isLast === true) return turnAway({ kind: "close", isStrike: true }, dryRun);
      return ended ? turnAway({ kind: "close" }, dryRun) : { kind: "hold" };
    default:
      return sniff satisfies never;
  }
}

function turnAway(would: TurnAway, dryRun: boolean): Verdict {
  return dryRun ? { kind: "relay", would } : would;
}
