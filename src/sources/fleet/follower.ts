// SPDX-License-Identifier: Apache-2.0
// Follows other gates. What one says on its channel comes by itself and is taken as it is; the log of hints has all of
// it once more. A hint that was not heard says where to look; what is there is what counts.
import { setImmediate } from "node:timers/promises";
import type { FleetTable } from "../../core/fleet/fleet_table.ts";
import { fleetNamePattern } from "../../core/fleet/record.ts";
import { type Hint, msOf, recordsOf, saidOf } from "./replies.ts";
import { type FleetKeys, StrangeKey } from "./script.ts";

export interface FollowerOptions {
  readonly gate: string;
  readonly table: FleetTable;
  readonly keys: FleetKeys;
  readonly trusts: (gate: string) => boolean;
  /** Who is trusted by name: they have a place among the gates that are known. */
  readonly named: () => readonly string[];
  /** Names of gates that are known; anybody may add to them. */
  readonly gatesAtMost: number;
  readonly nowMs: () => number;
}

/** Sources in a question, and questions at a time: taking up the answers is a matter of five milliseconds. */
const askedAtOnce = 250;
const questionsAtOnce = 8;
/** Of what was heard and is not taken yet, in characters: some seconds of a list. What is beyond is asked for. */
const heardAtMost = 4_000_000;
/** A gate that says what it does is heard at once. */
const silentMs = 5000;
/** So long the log is followed closely for a gate that is not heard: an older one, or one that may not publish. */
const missingMs = 60_000;

type Ask = (command: string[]) => Promise<unknown>;

interface Said {
  readonly gate: string;
  readonly message: string;
}

/** Hints of one gate that came by its channel, without a gap. */
interface Heard {
  from: number;
  to: number;
  atMs: number;
}

export class Follower {
  /** Gates that are to be read anew: a hint of theirs is missing. */
  readonly stale = new Set<string>();
  readonly #options: FollowerOptions;
  readonly #heard = new Map<string, Heard>();
  /** Gates by their channels. */
  readonly #sayers = new Map<string, string>();
  #said: Said[] = [];
  #saidCharacters = 0;
  /** Others have their turn before what is said is taken further. */
  #isResting = false;
  #onFailure: (error: unknown) => void = () => {};
  /** Records since the event loop had a turn. */
  #taken = 0;
  #hearsSinceMs = 0;
  #missingUntilMs = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  /**
   * @param engineMs what is said before, by the engine's clock, may have been missed.
   * @param onFailure called when what was heard could not be taken.
   */
  beginHearing(engineMs: number, onFailure: (error: unknown) => void): void {
    this.#onFailure = onFailure;
    this.#heard.clear();
    this.#said = [];
    this.#saidCharacters = 0;
    this.#hearsSinceMs = engineMs;
    this.#missingUntilMs = 0;
  }

  /** Whether a gate does something that is not heard. */
  isMissing(nowMs: number): boolean {
    return nowMs < this.#missingUntilMs;
  }

  hear(channel: string, message: string): void {
    const gate = this.#sayer(channel);
    if (!this.#isOfInterest(gate)) return;
    if (this.#saidCharacters + message.length > heardAtMost) return;
    this.#said.push({ gate, message });
    this.#saidCharacters += message.length;
    if (!this.#isResting) this.#takeSaid();
  }

  /** Empty: it is no gate's channel. */
  #sayer(channel: string): string {
    const known = this.#sayers.get(channel);
    if (known !== undefined) return known;
    const gate = this.#options.keys.sayer(channel);
    if (!fleetNamePattern.test(gate)) return "";
    if (this.#sayers.size < this.#options.gatesAtMost) this.#sayers.set(channel, gate);
    return gate;
  }

  async take(hints: readonly Hint[], ask: Ask): Promise<void> {
    const byGate = new Map<string, Set<string>>();
    for (const hint of hints) {
      if (!this.#isOfInterest(hint.gate)) continue;
      this.#count(hint);
      if (this.#isHeard(hint)) continue;
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

  /** Many come together where one gate announces a list: a slice of them between two turns. */
  #takeSaid(): void {
    try {
      for (let next = this.#said.shift(); next !== undefined; next = this.#said.shift()) {
        this.#saidCharacters -= next.message.length;
        this.#takeOne(next);
        if (this.#taken < askedAtOnce) continue;
        this.#taken = 0;
        this.#isResting = true;
        void setImmediate().then(() => {
          this.#isResting = false;
          this.#takeSaid();
        });
        return;
      }
    } catch (error) {
      this.#onFailure(error);
    }
  }

  #takeOne({ gate, message }: Said): void {
    const { table, nowMs } = this.#options;
    table.peer(gate).isOutdated = false;
    const { number, entries } = saidOf(message);
    const heard = this.#heard.get(gate);
    const from = heard?.to === number - 1 ? heard.from : number;
    this.#heard.set(gate, { from, to: number, atMs: nowMs() });
    this.#taken += entries.length;
    if (!table.peer(gate).isDeferred) table.apply(gate, entries, nowMs());
  }

  #isHeard({ id, gate, number }: Hint): boolean {
    const heard = this.#heard.get(gate);
    if (heard !== undefined && heard.from <= number && number <= heard.to) return true;
    const nowMs = this.#options.nowMs();
    const isSilent = nowMs - (heard?.atMs ?? Number.NEGATIVE_INFINITY) > silentMs;
    if (isSilent && !this.isMissing(nowMs) && msOf(id) > this.#hearsSinceMs) this.#missingUntilMs = nowMs + missingMs;
    return false;
  }

  #isOfInterest(gate: string): boolean {
    const { gate: self, trusts, named, table, gatesAtMost } = this.#options;
    if (gate === "" || gate === self || !trusts(gate)) return false;
    return table.peers.has(gate) || table.peers.size < gatesAtMost || named().includes(gate);
  }

  #count({ gate, number }: Hint): void {
    const peer = this.#options.table.peer(gate);
    peer.isOutdated = false;
    const isFirst = peer.lastHint === undefined;
    // One is missing in between, or it is a gate that was not known.
    const isGap = isFirst ? number !== 1 && peer.readAtMs < 0 : number !== (peer.lastHint ?? 0) + 1;
    if (isGap) this.stale.add(gate);
    peer.lastHint = number;
  }

  #questions(gate: string, sources: readonly string[], ask: Ask): (() => Promise<void>)[] {
    // Over its limit: it is read anew as a whole, a piece at a time.
    const { isDeferred, isHollow } = this.#options.table.peer(gate);
    if (isDeferred || isHollow) return [];
    const questions: (() => Promise<void>)[] = [];
    for (let start = 0; start < sources.length; start += askedAtOnce) {
      questions.push(() => this.#look(gate, sources.slice(start, start + askedAtOnce), ask));
    }
    return questions;
  }

  async #look(gate: string, sources: readonly string[], ask: Ask): Promise<void> {
    const { keys, table, nowMs } = this.#options;
    const reply = await ask(["HMGET", keys.records(gate), ...sources]).catch((error: unknown) => {
      if (!(error instanceof StrangeKey)) throw error;
      table.peer(gate).refused.malformed++;
    });
    table.apply(gate, recordsOf(reply, sources), nowMs());
  }
}
