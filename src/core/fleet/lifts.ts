// SPDX-License-Identifier: Apache-2.0
// Lifts that are remembered, so that no ban made before one comes back to life: from an engine that lost its
// memory, or from a gate that was away. Each gate has room of its own here, so that none drives out another's. Pure.

interface Lift {
  /** By the engine's clock as it goes now. */
  liftedMs: number;
  readonly gate: string;
}

export class Lifts {
  readonly #bySource = new Map<string, Lift>();
  /** The oldest first. */
  readonly #byGate = new Map<string, Set<string>>();
  readonly #limit: number;

  /** @param limit lifts of one gate. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#bySource.size;
  }

  /** The last lift of a source by the engine's clock; 0 without one. */
  of(source: string): number {
    return this.#bySource.get(source)?.liftedMs ?? 0;
  }

  /** The engine's clock was set by so much. */
  shift(byMs: number): void {
    for (const lift of this.#bySource.values()) lift.liftedMs += byMs;
  }

  remember(source: string, gate: string, liftedMs: number): void {
    const before = this.#bySource.get(source);
    if (before !== undefined) {
      if (before.liftedMs > liftedMs) return;
      this.#byGate.get(before.gate)?.delete(source);
    }
    const sources = this.#byGate.get(gate) ?? new Set();
    this.#byGate.set(gate, sources);
    sources.add(source);
    this.#bySource.set(source, { liftedMs, gate });
    if (sources.size <= this.#limit) return;
    const [oldest] = sources;
    if (oldest === undefined) return;
    sources.delete(oldest);
    this.#bySource.delete(oldest);
  }
}
