// SPDX-License-Identifier: Apache-2.0
// A directory for one test, gone with all that is in it when the scope ends.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Undo } from "./undo.ts";

export class TempDir implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "ttg-"));
  readonly #undo = new Undo();

  constructor() {
    this.#undo.push(() => rmSync(this.path, { recursive: true, force: true }));
  }

  /** The path of a file in it. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** Writes a file. @returns its path. */
  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.file(name), content);
    return this.file(name);
  }

  [Symbol.dispose](): void {
    this.#undo[Symbol.dispose]();
  }
}
