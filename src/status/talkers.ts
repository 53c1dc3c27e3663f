// SPDX-License-Identifier: Apache-2.0
// `GET /talkers`: the sources with the most connections now, and the banned ones of which the kernel dropped the most.
import type { Work } from "../core/work.ts";

export interface TalkersView {
  readonly connections: readonly { readonly source: string; readonly connections: number }[];
  /** As of the last look through the kernel's map; empty where none is counted. */
  readonly dropped: readonly {
    readonly source: string;
    readonly packets: number;
    readonly bytes: number;
    /** RFC 3339. */
    readonly lastSeen: string | null;
  }[];
}

/** Of each kind. */
const kept = 20;
/** Sources looked at between two yields: less than a millisecond. */
const countedAtOnce = 2000;

export function* busiest(
  counts: Iterable<readonly [source: string, connections: number]>,
): Work<TalkersView["connections"]> {
  const most: { source: string; connections: number }[] = [];
  let looked = 0;
  for (const [source, connections] of counts) {
    if (++looked % countedAtOnce === 0) yield;
    if (most.length === kept && connections <= (most.at(-1)?.connections ?? 0)) continue;
    const rank = most.findIndex((other) => other.connections < connections);
    most.splice(rank < 0 ? most.length : rank, 0, { source, connections });
    if (most.length > kept) most.pop();
  }
  return most;
}
