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
  /** Turned away and good: no flood of others takes their room. */
  readonly #hurt = new Map<string, string>();
  readonly #good = new Set<string>();
  readonly #welcomes = new Map<string, number>();

  /** @param saved of an earlier run with the same profile. */
  constructor(fingerprint: string, durationMs: number, saved?: SavedTrial) {
    this.fingerprint = fingerprint;
    this.durationMs = durationMs;
    this.observedMs = saved?.observedMs ?? 0;
    this.passedMs = saved?.passedMs;
    for (const turnedAway of saved?.turnedAway ?? []) this.wouldTurnAway(turnedAway);
    for (const source of saved?.good ?? []) this.isGood(source);
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
    return this.#turnedAway.size + this.#hurt.size;
  }

  wouldTurnAway({ source, reason }: TurnedAway): void {
    if (this.#good.has(source) || this.#hurt.has(source)) keepNewest(this.#hurt, source, reason);
    else keepNewest(this.#turnedAway, source, reason);
  }

  /** The server answered, and both carried on for long. */
  isGood(source: string): void {
    this.#good.delete(source);
    this.#good.add(source);
    if (this.#good.size > sourceLimit) this.#good.delete(this.#good.values().next().value ?? "");
    const reason = this.#turnedAway.get(source);
    if (reason === undefined) return;
    this.#turnedAway.delete(source);
    keepNewest(this.#hurt, source, reason);
  }

  /** The profile expects the connection, and the server took it. */
  isWelcome(source: string): void {
    const count = (this.#welcomes.get(source) ?? 0) + 1;
    if (count >= leastWelcomes) this.isGood(source);
    keepNewest(this.#welcomes, source, count);
  }

  /** @param isSpared who would not be banned any more: it is on the never-ban list by now. */
  hurt(isSpared: (source: string) => boolean): TurnedAway[] {
    return listOf(this.#hurt).filter(({ source }) => !isSpared(source));
  }

  saved(): SavedTrial {
    const { fingerprint, observedMs, passedMs } = this;
    const hurt = listOf(this.#hurt).slice(-savedSources);
    return {
      ...{ fingerprint, observedMs, passedMs },
      turnedAway: [...listOf(this.#turnedAway).slice(-savedSources), ...hurt],
      good: [...[...this.#good].slice(-savedSources), ...hurt.map(({ source }) => source)],
    };
  }
}

function listOf(sources: ReadonlyMap<string, string>): TurnedAway[] {
  return [...sources].map(([source, reason]) => ({ source, reason }));
}

function keepNewest<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > sourceLimit) map.delete(map.keys().next().value ?? "");
}
