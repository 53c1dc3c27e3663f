// SPDX-License-Identifier: Apache-2.0
// The rows of a report while they are measured.
import type { Row } from "./report.ts";

/** Samples by row and subject, filled as they are measured. */
export class Samples {
  readonly #rows = new Map<string, Omit<Row, "samples"> & { samples: Record<string, number[]> }>();

  add(row: Omit<Row, "samples">, subject: string, sample: number): void {
    const known = this.#rows.get(row.metric) ?? { ...row, samples: {} };
    this.#rows.set(row.metric, known);
    known.samples[subject] = [...(known.samples[subject] ?? []), sample];
  }

  rows(): Row[] {
    return [...this.#rows.values()];
  }
}
