// SPDX-License-Identifier: Apache-2.0
// Long work that can be put aside: a generator that yields wherever somebody else may have a turn. Knows nothing of
// time; who drives it decides how much is done at a time.

export type Work<T> = Generator<void, T, void>;

/** Does all of it now. */
export function finished<T>(work: Work<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
