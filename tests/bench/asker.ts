// SPDX-License-Identifier: Apache-2.0
// Compiles ask.c, and has it ask an HTTP server on a unix socket.
import { Child } from "../harness/child.ts";
import { compileC } from "./compile.ts";

export interface Asked {
  readonly perSecond: number;
  /** How much of a CPU the asking took. */
  readonly cpuShare: number;
}

export class Asker {
  readonly #program: string;

  private constructor(program: string) {
    this.#program = program;
  }

  /** @throws Error with what the compiler said. */
  static async compile(directory: string): Promise<Asker> {
    return new Asker(await compileC("ask", directory));
  }

  /**
   * Asks so many times a second while something is measured, or as often as the answers come where that is less.
   * @returns what was measured, and how it was asked meanwhile. @throws Error when an answer was no good.
   */
  async meanwhile<T>(
    { socket, path, perSecond }: { readonly socket: string; readonly path: string; readonly perSecond: number },
    measure: () => Promise<T>,
  ): Promise<readonly [T, Asked]> {
    await using child = new Child([this.#program, socket, path, `${perSecond}`]);
    const measured = await measure();
    child.signal("SIGTERM");
    const told = JSON.parse((await child.said(/^(\{.*\})$/m))[1] ?? "") as Readonly<Record<string, number>>;
    const { answers = 0, bad = 0, seconds = 0, cpuSeconds = 0 } = told;
    if (answers === 0 || bad > 0) throw new Error(`Cannot use "${path}": ${answers} answers, ${bad} bad`);
    return [measured, { perSecond: Math.round(answers / seconds), cpuShare: cpuSeconds / seconds }];
  }
}
