// SPDX-License-Identifier: Apache-2.0
// Reads what the engine has of other gates: all of it, or what was written into the log since.
import { setTimeout as sleep } from "node:timers/promises";
import { fleetNamePattern } from "../../core/fleet/record.ts";
import { Follower, type FollowerOptions } from "./follower.ts";
import { type Hint, hintsOf, readHints, shortHints, texts } from "./replies.ts";
import { hintsCommand, StrangeKey } from "./script.ts";
import type { Session } from "./session.ts";
import type { FleetTroubles } from "./troubles.ts";

export interface ReaderOptions extends Omit<FollowerOptions, "gatesAtMost"> {
  /** Bans of another gate that may be held. */
  readonly most: () => number;
  /** Of one gate beyond those. */
  readonly readAtMost: number;
  readonly troubles: FleetTroubles;
  readonly onAnswer: () => void;
}

const blockMs = 1500;
const hintsAtOnce = 500;
/** One ban comes at once; of many several come together, and following takes half of the time at most. */
const breathLeastMs = 4;
const breathMostMs = 20;
/** What was heard needs no question: the log is looked at for what was not. */
const logEveryMs = 1000;
/** Names of gates that are looked at; anybody may add to them. */
const gatesAtMost = 2000;
/** Everything is read anew so often: what a failover lost comes back that way. */
const fullEveryMs = 600_000;
/** One gate is read anew no more often. */
const rereadMs = 5000;

export class Reader {
  /** The last hint that was followed. */
  position = "0-0";
  readonly follower: Follower;
  readonly #options: ReaderOptions;
  #fullMs = Number.NEGATIVE_INFINITY;
  #isCaughtUp = false;

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.follower = new Follower({ ...options, gatesAtMost });
  }

  get isDue(): boolean {
    return this.#options.nowMs() - this.#fullMs > fullEveryMs;
  }

  /** Everything is to be read anew so soon, or before. */
  dueWithin(ms: number): void {
    this.#fullMs = Math.min(this.#fullMs, this.#options.nowMs() - fullEveryMs + ms);
  }

  /** What is read from now on is news. */
  caughtUp(): void {
    this.#isCaughtUp = true;
  }

  /** True where the engine still has every hint since the last one that was followed. */
  async canGoOn(session: Session): Promise<boolean> {
    if (!this.#isCaughtUp || this.isDue) return false;
    const reply = await session.read(["XRANGE", this.#options.keys.log, this.position, "+", "COUNT", "1"]);
    return hintsOf(reply)[0]?.id === this.position;
  }

  /** @param compareOwn what this gate itself has there is compared before anything newer is followed. */
  async all(session: Session, compareOwn: () => Promise<void>): Promise<void> {
    const { keys, gate: self, trusts, named, table, nowMs } = this.#options;
    const [last] = hintsOf(await session.read(["XREVRANGE", keys.log, "+", "-", "COUNT", "1"]));
    const found = texts(await session.read(["ZRANGE", keys.gates, "0", String(gatesAtMost - 1), "REV"]));
    this.#tellNames(found.length);
    // Whoever adds names to the list of gates drives nobody out who is known.
    for (const gate of new Set([...named(), ...table.peers.keys(), ...found])) {
      if (gate !== self && fleetNamePattern.test(gate) && trusts(gate)) await this.#gate(session, gate);
    }
    await compareOwn();
    this.position = last?.id ?? "0-0";
    this.#fullMs = nowMs();
  }

  /** Gates of which something is missing, or was left with the engine. */
  async stale(session: Session): Promise<void> {
    const { table, nowMs } = this.#options;
    for (const { name, isDeferred, isHollow, readAtMs } of table.peers.values()) {
      const isStale = isDeferred || isHollow || this.follower.stale.has(name);
      if (isStale && nowMs() - readAtMs > rereadMs) await this.#gate(session, name);
    }
  }

  /** What comes into the log, until the signal. */
  async run(session: Session, signal: AbortSignal): Promise<void> {
    const { nowMs, onAnswer } = this.#options;
    while (!signal.aborted) {
      const hints = await this.#hints(session);
      onAnswer();
      const begunMs = nowMs();
      await this.follower.take(hints, (command) => session.read(command));
      this.position = hints.at(-1)?.id ?? this.position;
      const breathMs = this.#breathMs(session, hints.length, nowMs() - begunMs);
      if (breathMs > 0) await sleep(breathMs, undefined, { signal }).catch(() => {});
    }
  }

  async #hints(session: Session): Promise<Hint[]> {
    const { keys } = this.#options;
    if (session.isHearing) return shortHints(await session.askAbout(hintsCommand(keys, hintsAtOnce, this.position)));
    const from = ["COUNT", String(hintsAtOnce), "BLOCK", String(blockMs), "STREAMS", keys.log, this.position];
    return readHints(await session.engine.wait(["XREAD", ...from], blockMs));
  }

  /** Until the log is looked at again. */
  #breathMs({ isHearing }: Session, hints: number, tookMs: number): number {
    if (isHearing && hints < hintsAtOnce)
      return this.follower.isMissing(this.#options.nowMs()) ? breathMostMs : logEveryMs;
    return hints === 0 ? 0 : Math.min(breathMostMs, Math.max(breathLeastMs, tookMs));
  }

  async #gate(session: Session, gate: string): Promise<void> {
    const { table, most, readAtMost, nowMs } = this.#options;
    const peer = table.peer(gate);
    peer.isDeferred = false;
    peer.isHollow = false;
    if (peer.isOutdated) return;
    peer.readAtMs = nowMs();
    this.follower.stale.delete(gate);
    const isFirst = !this.#isCaughtUp;
    try {
      for await (const entries of session.records(gate, most() + readAtMost)) {
        table.apply(gate, entries, nowMs(), isFirst);
        if (peer.isDeferred) break;
      }
    } catch (error) {
      // What one gate does to its own keys is no trouble of the others.
      if (!(error instanceof StrangeKey)) throw error;
      peer.refused.malformed++;
    }
  }

  #tellNames(count: number): void {
    const { named, troubles } = this.#options;
    if (count < gatesAtMost || named().length > 0) troubles.clear("names");
    else
      troubles.set(
        "names",
        `The fleet's list has more than ${gatesAtMost} gates, and not all are followed: name those that are with --fleet-trust`,
      );
  }
}
