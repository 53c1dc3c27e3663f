// SPDX-License-Identifier: Apache-2.0
// What happened by second, minute and hour, in rings of a fixed size: 2460 slots of 13 numbers, 256 kB, whatever
// the uptime. Fed with totals about once a second; holds what was added to them. Pure: times are arguments.

/** Totals since the start of whoever counts; each may start from zero again. */
export const historyCounters = [
  "accepted",
  "relayed",
  "foreign",
  "undecided",
  "refusedBanned",
  "refusedFull",
  "upstreamFailed",
  "spared",
  "bans",
  "droppedPackets",
  "droppedBytes",
] as const;

/** What holds at a moment. */
export const historyGauges = ["openConnections", "activeBans"] as const;

export type CounterName = (typeof historyCounters)[number];
export type GaugeName = (typeof historyGauges)[number];

export type Totals = Readonly<Record<CounterName | GaugeName, number>>;

/** Five minutes, a day, thirty days. */
const rings = {
  second: { stepMs: 1000, slots: 300 },
  minute: { stepMs: 60_000, slots: 1440 },
  hour: { stepMs: 3_600_000, slots: 720 },
} as const;

export type Step = keyof typeof rings;

export const steps = Object.keys(rings) as readonly Step[];

/** A sample that is later than this says nothing of when it happened: the process stood still. */
const lateMs = 5000;

export interface Past {
  readonly stepMs: number;
  /** The end of the last slot, milliseconds since boot. */
  readonly untilMs: number;
  /** Oldest first, one value a slot; null where nothing was sampled. Counters: what was added in the slot. */
  readonly series: Readonly<Record<CounterName | GaugeName, readonly (number | null)[]>>;
}

export class History {
  readonly #rings: Readonly<Record<Step, Ring>> = {
    second: new Ring(rings.second),
    minute: new Ring(rings.minute),
    hour: new Ring(rings.hour),
  };
  #last: { readonly atMs: number; readonly totals: Totals } | undefined;

  sample(nowMs: number, totals: Totals): void {
    const last = this.#last;
    this.#last = { atMs: nowMs, totals };
    // What was counted before the first sample was counted at no known time.
    if (last === undefined || nowMs <= last.atMs) return;
    const added = historyCounters.map((name) => {
      const more = totals[name] - last.totals[name];
      if (more >= 0) return more;
      // The fence's counters started from zero with a new map; of the others a gate went, with what it had counted.
      return name === "droppedPackets" || name === "droppedBytes" ? totals[name] : 0;
    });
    const held = historyGauges.map((name) => totals[name]);
    for (const step of steps) this.#rings[step].add(last.atMs, nowMs, added, held);
  }

  /** @param count of slots, the newest ones; of seconds those that are over, of the others the running one too. */
  read(step: Step, count: number, nowMs: number): Past {
    const { stepMs, slots } = rings[step];
    const running = Math.floor(nowMs / stepMs);
    const last = step === "second" ? running - 1 : running;
    const shown = Math.min(count, slots - 1);
    return { stepMs, untilMs: (last + 1) * stepMs, series: this.#rings[step].read(last - shown + 1, last) };
  }
}

class Ring {
  readonly #stepMs: number;
  readonly #slots: number;
  readonly #counters: readonly Float64Array[];
  readonly #gauges: readonly Float64Array[];
  /** The newest slot that holds something; slots count from boot. */
  #newest = Number.NEGATIVE_INFINITY;

  constructor({ stepMs, slots }: { readonly stepMs: number; readonly slots: number }) {
    this.#stepMs = stepMs;
    this.#slots = slots;
    const empty = () => new Float64Array(slots).fill(Number.NaN);
    this.#counters = historyCounters.map(empty);
    this.#gauges = historyGauges.map(empty);
  }

  /** Shares what was added among the slots that the time went through. */
  add(fromMs: number, toMs: number, added: readonly number[], held: readonly number[]): void {
    const last = Math.floor(toMs / this.#stepMs);
    const first = toMs - fromMs > lateMs ? last : Math.floor(fromMs / this.#stepMs);
    for (let slot = first; slot <= last; slot++) {
      const startMs = slot * this.#stepMs;
      const withinMs = Math.min(toMs, startMs + this.#stepMs) - Math.max(fromMs, startMs);
      const share = first === last ? 1 : withinMs / (toMs - fromMs);
      if (share > 0) this.#put(slot, share, added, held);
    }
  }

  #put(slot: number, share: number, added: readonly number[], held: readonly number[]): void {
    this.#open(slot);
    const index = slot % this.#slots;
    for (const [series, values] of this.#counters.entries()) {
      const before = values[index] ?? Number.NaN;
      values[index] = (Number.isNaN(before) ? 0 : before) + share * (added[series] ?? 0);
    }
    for (const [series, values] of this.#gauges.entries()) values[index] = held[series] ?? 0;
  }

  /** Empties the slots up to a new one. */
  #open(slot: number): void {
    if (slot <= this.#newest) return;
    const first = Math.max(this.#newest + 1, slot - this.#slots + 1);
    for (let each = first; each <= slot; each++) {
      for (const values of [...this.#counters, ...this.#gauges]) values[each % this.#slots] = Number.NaN;
    }
    this.#newest = slot;
  }

  read(first: number, last: number): Past["series"] {
    const of = (values: Float64Array | undefined) =>
      Array.from({ length: last - first + 1 }, (_, offset) => this.#at(values, first + offset));
    return Object.fromEntries([
      ...historyCounters.map((name, series) => [name, of(this.#counters[series])]),
      ...historyGauges.map((name, series) => [name, of(this.#gauges[series])]),
    ]);
  }

  /** To a hundredth: shares of seconds are no whole numbers. */
  #at(values: Float64Array | undefined, slot: number): number | null {
    if (slot < 0 || slot > this.#newest || slot <= this.#newest - this.#slots) return null;
    const value = values?.[slot % this.#slots] ?? Number.NaN;
    return Number.isNaN(value) ? null : Math.round(value * 100) / 100;
  }
}
