// SPDX-License-Identifier: Apache-2.0
// What becomes of first packets beyond their verdict: they are recorded (--record), and count against
// sources that stay undecided (a profile's strikes) or on which the server hangs up (--judge upstream).
import { evidenceBytes } from "../core/bans/claim.ts";
import { ServerStrikes, troubleMs } from "../core/bans/server_strikes.ts";
import { refusedByServer, Strikes, tooManyConnections, undecidedTooOften } from "../core/bans/strikes.ts";
import type { Client } from "../core/client.ts";
import { pseudonymOf } from "../host/pseudonym.ts";
import type { Recorder } from "../recording/recorder.ts";
import type { Offence } from "../sources/desk.ts";
import type { SessionObserver } from "./session_observer.ts";
import { type Exchange, type Tap, Taps } from "./tap.ts";
import type { TrialWatch } from "./trial_watch.ts";

/** Servers and clients that wait for this process may have given up by then. */
const standstillMs = 2000;

/** How many strikes are too many; undefined: they are not counted. */
export interface StrikeLimits {
  /** The server hung up on the source. */
  readonly refused: number | undefined;
  /** The source said too little, or what was nearly right. */
  readonly undecided: number | undefined;
  /** The source ran into a limit of its own. */
  readonly excess: number | undefined;
}

export interface ObserverOptions {
  readonly recorder: Recorder | undefined;
  readonly limits: StrikeLimits;
  readonly trial?: TrialWatch | undefined;
  gatePort(): number;
  nowMs(): number;
  /** The source has a connection open that speaks what is expected. */
  hasFriend(client: Client): boolean;
  ban(client: Client, offence: Offence): void;
}

export class Observer implements SessionObserver {
  readonly #options: ObserverOptions;
  readonly #taps: Taps;
  #limits: StrikeLimits = { refused: undefined, undecided: undefined, excess: undefined };
  #serverStrikes: ServerStrikes | undefined;
  #undecided: Strikes | undefined;
  #excess: Strikes | undefined;
  #wasDown = false;
  #troubleUntilMs = Number.NEGATIVE_INFINITY;
  /** Of this process the last one that is known. */
  #turnMs = Number.POSITIVE_INFINITY;
  #trial: TrialWatch | undefined;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#trial = options.trial;
    this.#taps = new Taps(
      () => options.nowMs(),
      (exchange) => this.#ended(exchange),
    );
    this.limit(options.limits);
  }

  /** Strikes that were counted go on to count unless their limit is another one. */
  limit(limits: StrikeLimits): void {
    const { refused, undecided, excess } = limits;
    if (refused !== this.#limits.refused) {
      this.#serverStrikes = refused === undefined ? undefined : new ServerStrikes(refused);
    }
    if (undecided !== this.#limits.undecided) {
      this.#undecided = undecided === undefined ? undefined : new Strikes(undecided);
    }
    if (excess !== this.#limits.excess) this.#excess = excess === undefined ? undefined : new Strikes(excess);
    this.#limits = limits;
  }

  relays(client: Client, isExpected: boolean, speaksExpected: boolean): Tap | undefined {
    if (isExpected) this.#undecided?.forgive(client.sourceText);
    const isWatching =
      this.#options.recorder !== undefined || this.#serverStrikes !== undefined || this.#trial !== undefined;
    return isWatching ? this.#taps.open(client, isExpected, Date.now(), speaksExpected) : undefined;
  }

  turnedAway(client: Client, bytes: Uint8Array, totalBytes: number, isStrike: boolean): void {
    const source = pseudonymOf(client.sourceText);
    this.#options.recorder?.record({ atMs: Date.now(), bytes, totalBytes, server: "unknown", source });
    if (!isStrike || this.#options.hasFriend(client)) return;
    if (this.#undecided?.add(client.sourceText, this.#options.nowMs()) !== true) return;
    this.#ban(client, "strikes", undecidedTooOften, bytes);
  }

  /** How often lately a source failed to speak as expected, as far as it counts against it. */
  undecidedOf(source: string): number {
    return this.#undecided?.recent(source, this.#options.nowMs()) ?? 0;
  }

  endTrial(): void {
    this.#trial = undefined;
  }

  /** A source ran into --max-per-source or --max-rate. Whom the server cut off, or the gate for want of one, only comes again. */
  exceeded(client: Client): void {
    if (this.#excess === undefined) return;
    const nowMs = this.#nowOfStrike();
    if (nowMs < this.#troubleUntilMs || !this.#excess.add(client.sourceText, nowMs)) return;
    this.#ban(client, "strikes", tooManyConnections, new Uint8Array(0));
  }

  /**
   * An upstream came or went. That it is there at the first attempt is no sign of trouble.
   * @param isServed it was away before, and another one answers: a spare that is down for days excuses nobody.
   */
  upstreamChanged(reachable: boolean, isServed = false): void {
    if (!reachable || this.#wasDown) this.#trouble(this.#options.nowMs(), isServed);
    this.#wasDown ||= !reachable;
  }

  /**
   * Where this process had no turn for a while, servers hang up, and clients come again, all at once.
   * @param lateMs how much later than it was to be.
   */
  hasTurn(nowMs: number, lateMs: number): void {
    this.#turnMs = nowMs;
    if (lateMs > standstillMs) this.#trouble(nowMs, false);
  }

  /** What waited for this process may be read before its clock ticks. */
  #nowOfStrike(): number {
    const nowMs = this.#options.nowMs();
    this.hasTurn(nowMs, nowMs - this.#turnMs);
    return nowMs;
  }

  #trouble(nowMs: number, isServed: boolean): void {
    this.#serverStrikes?.trouble(nowMs);
    if (isServed) return;
    this.#troubleUntilMs = nowMs + troubleMs;
    this.#excess?.forgiveAll();
  }

  tick(): void {
    this.#taps.tick();
  }

  #ended({ client, isExpected, speaksExpected, recording, answeredMs }: Exchange): void {
    this.#options.recorder?.record(recording);
    if (speaksExpected && recording.server === "accepted") this.#trial?.isWelcome(client.sourceText);
    // That it hangs up after its greeting says less: it may have said all that it had to say.
    if (this.#serverStrikes === undefined || !isExpected || recording.greeted) return;
    const { server } = recording;
    if (server === "accepted" && answeredMs !== undefined) this.#serverStrikes.welcomed(client.sourceText, answeredMs);
    if (server !== "refused" || !this.#serverStrikes.refused(client.sourceText, this.#nowOfStrike())) return;
    this.#ban(client, "server", refusedByServer, recording.bytes);
  }

  #ban(client: Client, origin: "strikes" | "server", reason: string, bytes: Uint8Array): void {
    const evidence = {
      firstBytes: bytes.slice(0, evidenceBytes),
      clientAddress: client.single().text,
      clientPort: client.port,
      gatePort: this.#options.gatePort(),
    };
    this.#options.ban(client, { origin, reason, evidence });
  }
}
