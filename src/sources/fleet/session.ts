// SPDX-License-Identifier: Apache-2.0
// What is asked of the engine and written there, for as long as one connection lasts; errors in the fleet's words.
import { setImmediate } from "node:timers/promises";
import type { Engine } from "./engine.ts";
import { page } from "./replies.ts";
import { type FleetKeys, readCommand, strangeKeyOr } from "./script.ts";
import type { FleetTroubles } from "./troubles.ts";

export interface SessionOptions {
  readonly engine: Engine;
  readonly keys: FleetKeys;
  readonly troubles: FleetTroubles;
  readonly onAnswer: () => void;
}

const pageSize = 500;

export class Session {
  readonly engine: Engine;
  /** What other gates say comes by itself, and this one is heard. */
  isHearing = false;
  readonly #options: SessionOptions;

  constructor(options: SessionOptions) {
    this.engine = options.engine;
    this.#options = options;
  }

  async ask(command: string[]): Promise<unknown> {
    const reply = await this.engine.send(command);
    this.#options.onAnswer();
    return reply;
  }

  /** A command that reads, by a script that leaves out what fills memory. @throws StrangeKey */
  read(command: string[]): Promise<unknown> {
    return this.askAbout(readCommand(this.#options.keys, command), command);
  }

  /** @param about the command that a script runs. @throws StrangeKey */
  async askAbout(script: string[], about = script): Promise<unknown> {
    try {
      return await this.ask(script);
    } catch (error) {
      throw strangeKeyOr(error, about);
    }
  }

  async write(command: string[]): Promise<unknown> {
    const reply = await this.askAbout(command);
    this.#options.troubles.clear("full", "The fleet's engine takes writes again");
    return reply;
  }

  /** Records of a gate, so many at most. */
  async *records(gate: string, most: number): AsyncGenerator<readonly [string, string][]> {
    const key = this.#options.keys.records(gate);
    let cursor = "0";
    let read = 0;
    do {
      const { cursor: next, entries } = page(await this.read(["HSCAN", key, cursor, "COUNT", String(pageSize)]));
      yield entries;
      read += entries.length;
      cursor = next;
      await setImmediate();
    } while (cursor !== "0" && read < most);
  }
}
