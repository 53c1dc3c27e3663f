// SPDX-License-Identifier: Apache-2.0
// What was measured, as the pages and plots look it up. Throws where a row is asked for that was not measured: a page
// that says nothing would go unnoticed.
import { median, type Row, type Written } from "../report.ts";

export class Figures {
  readonly #reports: readonly Written[];

  constructor(reports: readonly Written[]) {
    this.#reports = reports;
  }

  has(bench: string): boolean {
    return this.#reports.some(({ name }) => name === bench);
  }

  /** Whether a subject took part: a baseline may be older than it. */
  hasSubject(bench: string, subject: string): boolean {
    return this.rows(bench).some(({ samples }) => samples[subject] !== undefined);
  }

  row(bench: string, metric: string): Row {
    const report = this.#reports.find(({ name }) => name === bench);
    const row = report?.rows.find((one) => one.metric === metric);
    if (row === undefined)
      throw new Error(
        `The baseline has no "${metric}" of "${bench}": measure it by make bench BASELINE=1 ONLY=${bench}`,
      );
    return row;
  }

  rows(bench: string): readonly Row[] {
    return this.#reports.find(({ name }) => name === bench)?.rows ?? [];
  }

  samples(bench: string, metric: string, subject: string): readonly number[] {
    const samples = this.row(bench, metric).samples[subject];
    if (samples === undefined || samples.length === 0)
      throw new Error(`The baseline has no "${metric}" of "${bench}" for "${subject}"`);
    return samples;
  }

  median(bench: string, metric: string, subject: string): number {
    return median(this.samples(bench, metric, subject));
  }

  ratio(bench: string, metric: string, subject: string, reference: string): number {
    return this.median(bench, metric, subject) / this.median(bench, metric, reference);
  }
}
