// SPDX-License-Identifier: Apache-2.0
// Says which kernel programs of an earlier run go on blocking beside this gate: whom it lifts they block all the same.
// They are not this gate's to take away: the gate that they were of may be about to start again.
import type { Libc } from "../kernel/libc.ts";
import type { Log } from "../log.ts";
import type { Native } from "../runtime/types.ts";
import { Told } from "./told.ts";

export interface LeftBehindParts {
  readonly native: Native;
  readonly libc: Libc;
  /** The block map that this gate blocks by; undefined: it blocks by none. */
  readonly own: () => string | undefined;
  readonly log: Log;
}

export class LeftBehind {
  readonly #parts: LeftBehindParts;
  readonly #told: Told;

  constructor(parts: LeftBehindParts) {
    this.#parts = parts;
    this.#told = new Told("No program of another gate is left behind any more", "warn", parts.log);
  }

  /** For /readyz. */
  get notes(): readonly string[] {
    return this.#told.texts;
  }

  /** Every few seconds: a gate that uses them gives a sign of life each second. */
  async look(nowMs: number): Promise<void> {
    const { native, libc, own } = this.#parts;
    const { programsLeftBehind } = await import("../fences/xdp/left_behind.ts");
    const programs = await programsLeftBehind(native, libc, own(), nowMs);
    this.#told.hold(
      programs.map(
        ({ map, interfaceName }) =>
          `The program of block map "${map}" on ${interfaceName} is of a gate that is gone, and goes on blocking, also whom this gate lifts: "ttgate detach ${map}" takes it away`,
      ),
    );
  }
}
