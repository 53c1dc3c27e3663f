// SPDX-License-Identifier: Apache-2.0

/** Work that is done in pieces, all at once. @returns what it comes to. */
export function drained<T>(work: Generator<unknown, T, void>): T {
  let step = work.next();
  while (step.done !== true) step = work.next();
  return step.value;
}
