// SPDX-License-Identifier: Apache-2.0
// How much what was recorded can prove: that a value was the same in many connections says little when one
// client made them all.
import type { Recording } from "./recording.ts";

/** Fewer sources may have in common what is their own: a user, a version, a place. */
const leastSources = 5;
/** Connections of one source within ten minutes are one session. */
const leastSessions = 10;
const sessionMs = 600_000;

export interface Variety {
  readonly connections: number;
  /** 0 where the recordings name none. */
  readonly sources: number;
  readonly sessions: number;
}

export function varietyOf(samples: readonly Recording[]): Variety {
  let sessions = 0;
  const bySource = samplesBySource(samples);
  for (const list of bySource.values()) {
    let lastMs = Number.NEGATIVE_INFINITY;
    for (const { atMs } of list.toSorted((a, b) => a.atMs - b.atMs)) {
      if (atMs - lastMs > sessionMs) sessions++;
      lastMs = atMs;
    }
  }
  return { connections: samples.length, sources: bySource.size, sessions };
}

export function samplesBySource(samples: readonly Recording[]): Map<string, Recording[]> {
  const bySource = new Map<string, Recording[]>();
  for (const sample of samples) {
    if (sample.source === undefined) continue;
    const list = bySource.get(sample.source);
    if (list === undefined) bySource.set(sample.source, [sample]);
    else list.push(sample);
  }
  return bySource;
}

/** @returns what is missing to take what is always the same for a part of the protocol; empty: nothing. */
export function missingIn({ sources, sessions }: Variety): string[] {
  if (sources === 0) return ["the recordings name no sources; record anew with this version"];
  return [
    ...(sources < leastSources
      ? [`${sources} ${plural("source", sources)} of the ${leastSources} that are needed`]
      : []),
    ...(sessions < leastSessions
      ? [`${sessions} ${plural("session", sessions)} of the ${leastSessions} that are needed`]
      : []),
  ];
}

export function plural(word: string, count: number): string {
  return count === 1 ? word : `${word}s`;
}
