// SPDX-License-Identifier: Apache-2.0
// What a test must put back: run in reverse order when its scope ends, and also when the process is
// interrupted in the middle of one.
import process from "node:process";

const open = new Set<Undo>();

/** What was opened last goes first. */
export function undoEverything(): void {
  for (const undo of [...open].reverse()) undo[Symbol.dispose]();
}

function abandon(code: number): void {
  undoEverything();
  process.exit(code);
}

function watchForTheEnd(): void {
  process.once("SIGINT", () => abandon(130));
  process.once("SIGTERM", () => abandon(143));
  process.once("exit", undoEverything);
}

let watching = false;

/** A stack of clean-up steps; each runs once, whatever the others do. Steps are synchronous. */
export class Undo implements Disposable {
  readonly #steps: (() => void)[] = [];

  constructor() {
    if (!watching) watchForTheEnd();
    watching = true;
    open.add(this);
  }

  push(step: () => void): void {
    this.#steps.push(step);
  }

  [Symbol.dispose](): void {
    open.delete(this);
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        step();
      } catch (failure) {
        failures.push(failure);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "Cannot clean up after a test");
  }
}
