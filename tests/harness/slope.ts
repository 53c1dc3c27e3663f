// SPDX-License-Identifier: Apache-2.0
// Whether a series grows: the slope of the line of least squares, and how sure that is.

export interface Slope {
  /** A minute. */
  readonly perMinute: number;
  /** Of that, with 95 % confidence at least so much. */
  readonly atLeast: number;
}

/**
 * Samples that follow one another resemble one another, so that each block of them counts once, by its least: the
 * memory of a collector goes up and down, and what it cannot free lies below.
 * @param samples one a second.
 */
export function slopeOf(samples: readonly number[], blockSeconds: number): Slope {
  const blocks = Math.floor(samples.length / blockSeconds);
  const least = Array.from({ length: blocks }, (_, index) =>
    Math.min(...samples.slice(index * blockSeconds, (index + 1) * blockSeconds)),
  );
  const times = least.map((_, index) => (index * blockSeconds) / 60);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanTime, meanValue] = [mean(times), mean(least)];
  const spread = times.reduce((sum, time) => sum + (time - meanTime) ** 2, 0);
  const perMinute =
    times.reduce((sum, time, index) => sum + (time - meanTime) * ((least[index] ?? 0) - meanValue), 0) / spread;
  const rest = least.reduce(
    (sum, value, index) => sum + (value - meanValue - perMinute * ((times[index] ?? 0) - meanTime)) ** 2,
    0,
  );
  const error = Math.sqrt(rest / Math.max(1, blocks - 2) / spread);
  // Student's t for 8 degrees of freedom, one-sided; with more it is a little less.
  return { perMinute, atLeast: perMinute - 1.86 * error };
}
