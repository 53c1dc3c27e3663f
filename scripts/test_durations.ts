// SPDX-License-Identifier: Apache-2.0
// How long each test file took when it last ran. The longest begin first, so that no processor waits for
// another at the end.
import { readFileSync, writeFileSync } from "node:fs";
import { kernelFolders } from "./junit.ts";

/** Of files that never ran here: those of the kernel are the long ones. */
const guessMs = { kernel: 20_000, other: 1000 };

export class Durations {
  readonly #path: string;
  readonly #byFile: Map<string, number>;

  constructor(path: string) {
    this.#path = path;
    this.#byFile = new Map(Object.entries(read(path)));
  }

  set(file: string, durationMs: number): void {
    this.#byFile.set(file, Math.round(durationMs));
  }

  longestFirst(files: readonly string[]): string[] {
    const of = (file: string) => this.#byFile.get(file) ?? (kernelFolders.test(file) ? guessMs.kernel : guessMs.other);
    return files.toSorted((a, b) => of(b) - of(a));
  }

  save(): void {
    writeFileSync(this.#path, `${JSON.stringify(Object.fromEntries(this.#byFile), undefined, 1)}\n`);
  }
}

function read(path: string): Record<string, number> {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Record<string, number>;
  } catch {
    return {};
  }
}
