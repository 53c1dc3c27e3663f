// SPDX-License-Identifier: Apache-2.0
// Follows the hints of other gates. A hint says where to look; what is there is what counts.
import { setImmediate } from "node:timers/promises";
import type { FleetTable } from "../../core/fleet/fleet_table.ts";
import type { Hint } from "./replies.ts";
import type { FleetKeys } from "./script.ts";

export interface FollowerOptions {
  readonly gate: string;
  readonly table: FleetTable;
  readonly keys: FleetKeys;
  readonly trusts: (gate: string) => boolean;
  /** Names of gates that are known; anybody may add to them. */
  readonly gatesAtMost: number;
  readonly nowMs: () => number;
}

/** Sources in a question, and questions at a time: taking up the answers is a matter of five milliseconds. */
const askedAtOnce = 250;
const questionsAtOnce = 8;

type Ask = (command: string[]) => Promise<unknown>;

export class Follower {
  /** Gates that are to be read anew: a hint of theirs is missing. */
  readonly stale = new Set<string>();
  readonly #options: FollowerOptions;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  async take(hints: readonly Hint[], ask: Ask): Promise<void> {
    const byGate = new Map<string, Set<string>>();
    for (const hint of hints) {
      if (!this.#isOfInterest(hint)) continue;
      this.#count(hint);
      const wanted = byGate.get(hint.gate) ?? new Set();
      for (const source of hint.sources) wanted.add(source);
      byGate.set(hint.gate, wanted);
    }
    const questions = [...byGate].flatMap(([gate, wanted]) => this.#questions(gate, [...wanted], ask));
    while (questions.length > 0) {
      await Promise.all(questions.splice(0, questionsAtOnce).map((question) => question()));
      if (questions.length > 0) await setImmediate();
    }
  }

  #isOfInterest({ gate }: Hint): boolean {
    const { gate: self, trusts, table, gatesAtMost } = this.#options;
    if (gate === "" || gate === self || !trusts(gate)) return false;
    return table.peers.has(gate) || table.peers.size < gatesAtMost;
  }

  #count({ gate, number }: Hint): void {
    const peer = this.#options.table.peer(gate);
    const isFirst = peer.lastHint === undefined;
    // One is missing in between, or it is a gate that was not known.
    const isGap = isFirst ? number !== 1 && peer.readAtMs < 0 : number !== (peer.lastHint ?? 0) + 1;
    if (isGap) this.stale.add(gate);
    peer.lastHint = number;
  }

  #questions(gate: string, sources: readonly string[], ask: Ask): (() => Promise<void>)[] {
    // Over its limit: it is read anew as a whole, a piece at a time.
    if (this.#options.table.peer(gate).isDeferred) return [];
    const questions: (() => Promise<void>)[] = [];
    for (let start = 0; start < sources.length; start += askedAtOnce) {
      questions.push(() => this.#look(gate, sources.slice(start, start + askedAtOnce), ask));
    }
    return questions;
  }

  async #look(gate: string, sources: readonly string[], ask: Ask): Promise<void> {
    const { keys, table, nowMs } = this.#options;
    const reply = await ask(["HMGET", keys.records(gate), ...sources]);
    const records = Array.isArray(reply) ? reply : [];
    const entries = sources.map((source, index): [string, string | null] => {
      const record: unknown = records[index];
      return [source, typeof record === "string" ? record : null];
    });
    table.apply(gate, entries, nowMs());
  }
}
