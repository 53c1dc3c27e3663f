// SPDX-License-Identifier: Apache-2.0
// A trial of a profile: for so long nobody is banned, and it is noted whom the profile would have banned or
// closed, and who has proven to be good. Whoever is both would have been hurt. Pure: knows no clock and no file.

/** Whom the profile would have turned away. */
export interface TurnedAway {
  readonly source: string;
  /** The protocol, or what stands in its place. */
  readonly reason: string;
}

/** What outlives the process. */
export interface SavedTrial {
  /** Of which profile: another text makes another trial. */
  readonly fingerprint: string;
  /** How long it was observed, however often the gate was started meanwhile. */
  readonly observedMs: number;
  /** Passed and enforced: with what time asked for; undefined: not yet. */
  readonly passedMs?: number | undefined;
  readonly turnedAway: readonly TurnedAway[];
  readonly good: readonly string[];
}

/** A flood of strangers pushes out strangers that came before, and nobody who is known as good. */
const sourceLimit = 65_536;
/** Of each kind; of a flood the newest. */
const savedSources = 4096;
/** Fewer connections that were expected and that the server took may be a scanner's, too. */
const leastWelcomes = 3;

export class Trial {
  readonly fingerprint: string;
  readonly durationMs: number;
  observedMs: number;
  passedMs: number | undefined;
  readonly #turnedAway = new Map<string, string>();
  readonly #good = new Set<string>();
  readonly #welcomes = new Map<string, number>();

  /** @param saved of an earlier run with the same profile. */
  constructor(fingerprint: string, durationMs: number, saved?: SavedTrial) {
    this.fingerprint = fingerprint;
    this.durationMs = durationMs;
    this.observedMs = saved?.observedMs ?? 0;
    this.passedMs = saved?.passedMs;
    for (const { source, reason } of saved?.turnedAway ?? []) this.#turnedAway.set(source, reason);
    for (const source of saved?.good ?? []) this.#good.add(source);
  }

  /** Passed for as long as it is asked for now. */
  get isPassed(): boolean {
    return this.passedMs !== undefined && this.passedMs >= this.durationMs;
  }

  get isOver(): boolean {
    return this.observedMs >= this.durationMs;
  }

  get leftMs(): number {
    return Math.max(0, this.durationMs - this.observedMs);
  }

  get goodSources(): number {
    return this.#good.size;
  }

  get turnedAwaySources(): number {
    return this.#turnedAway.size;
  }

  wouldTurnAway({ source, reason }: TurnedAway): void {
    keepNewest(this.#turnedAway, source, reason);
  }

  /** The server answered, and both carried on for long. */
  isGood(source: string): void {
    this.#good.delete(source);
    this.#good.add(source);
    if (this.#good.size > sourceLimit) this.#good.delete(this.#good.values().next().value ?? "");
  }

  /** The profile expects the connection, and the server took it. */
  isWelcome(source: string): void {
    const count = (this.#welcomes.get(source) ?? 0) + 1;
    if (count >= leastWelcomes) this.isGood(source);
    keepNewest(this.#welcomes, source, count);
  }

  /** @param isSpared who would not be banned any more: it is on the never-ban list by now. */
  hurt(isSpared: (source: string) => boolean): TurnedAway[] {
    const hurt = [...this.#turnedAway].filter(([source]) => this.#good.has(source) && !isSpared(source));
    return hurt.map(([source, reason]) => ({ source, reason }));
  }

  saved(): SavedTrial {
    const { fingerprint, observedMs, passedMs } = this;
    const good = [...this.#good];
    const turnedAway = [...this.#turnedAway].map(([source, reason]) => ({ source, reason }));
    const hurt = turnedAway.filter(({ source }) => this.#good.has(source));
    const others = turnedAway.filter(({ source }) => !this.#good.has(source));
    return {
      ...{ fingerprint, observedMs, passedMs },
      turnedAway: [...others.slice(-savedSources), ...hurt.slice(-savedSources)],
      good: [...good.slice(-savedSources), ...hurt.slice(-savedSources).map(({ source }) => source)],
    };
  }
}

function keepNewest<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > sourceLimit) map.delete(map.keys().next().value ?? "");
}
