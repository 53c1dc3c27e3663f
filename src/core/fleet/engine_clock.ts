// SPDX-License-Identifier: Apache-2.0
// The engine's clock as seen from here. Gates never compare their own clocks: each knows how far the engine's
// is from its own monotonic one. Of some samples the one with the shortest way there and back is the best. Pure.

interface Sample {
  readonly offsetMs: number;
  readonly roundTripMs: number;
}

/** At one sample in two seconds: drift over that time is well below a millisecond. */
const samplesKept = 10;
/** What a clock that was set differs by at least. */
const jumpMs = 50;

export class EngineClock {
  #samples: Sample[] = [];

  /** Whether the engine was ever asked. */
  get isKnown(): boolean {
    return this.#samples.length > 0;
  }

  /** What is added to milliseconds since boot to have the engine's; whole, so that sums are exact. */
  get offsetMs(): number {
    let best: Sample | undefined;
    for (const sample of this.#samples) if (best === undefined || sample.roundTripMs < best.roundTripMs) best = sample;
    return Math.round(best?.offsetMs ?? 0);
  }

  /** @param sentMs milliseconds since boot when the engine was asked, `receivedMs` when it had answered. */
  sample(sentMs: number, engineMs: number, receivedMs: number): void {
    const roundTripMs = receivedMs - sentMs;
    const offsetMs = engineMs - (sentMs + receivedMs) / 2;
    // Further away than the way there and back explains: the clock was set, or it is another engine.
    if (this.isKnown && Math.abs(offsetMs - this.offsetMs) > roundTripMs + jumpMs) this.#samples = [];
    this.#samples = [...this.#samples.slice(1 - samplesKept), { offsetMs, roundTripMs }];
  }

  /** Another engine may answer from now on. */
  restart(): void {
    this.#samples = [];
  }
}
