// SPDX-License-Identifier: Apache-2.0
// What `ttgate learn` learns from: as many connections as memory is set aside for, drawn evenly from all.
import type { Recording } from "../core/learn/recording.ts";
import { Reservoir } from "../core/learn/reservoir.ts";

/** Of each kind: with 4,096 bytes each, 16 MB. */
export const keptConnections = 4096;

export interface SampleCounts {
  readonly accepted: number;
  readonly refused: number;
  /** The server neither answered and stayed nor hung up without a byte. */
  readonly unknown: number;
  /** Clients that sent nothing. */
  readonly silent: number;
}

export class Sample {
  readonly #accepted = new Reservoir<Recording>(keptConnections, Math.random);
  readonly #refused = new Reservoir<Recording>(keptConnections, Math.random);
  #unknown = 0;
  #silent = 0;

  add(recording: Recording): void {
    if (recording.totalBytes === 0) this.#silent++;
    else if (recording.server === "unknown") this.#unknown++;
    else this.#of(recording.server).add(recording);
  }

  get counts(): SampleCounts {
    const { offered: accepted } = this.#accepted;
    return { accepted, refused: this.#refused.offered, unknown: this.#unknown, silent: this.#silent };
  }

  recordings(): Recording[] {
    return [...this.#accepted.items, ...this.#refused.items];
  }

  /** More came than are kept. */
  get isThinned(): boolean {
    return this.#accepted.offered > keptConnections || this.#refused.offered > keptConnections;
  }

  #of(server: "accepted" | "refused"): Reservoir<Recording> {
    return server === "accepted" ? this.#accepted : this.#refused;
  }
}
