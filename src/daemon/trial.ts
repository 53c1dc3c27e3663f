// SPDX-License-Identifier: Apache-2.0
// --trial: a gate bans nobody until the profile has been watched for as long as was asked for, and enforces
// it then, unless a good client would have been hurt. Keeps the trial over restarts; says where it stands.
import { existsSync } from "node:fs";
import { gatePrefix } from "../config/gates.ts";
import { parsePrefix } from "../core/address.ts";
import type { BanChange } from "../core/bans/change.ts";
import type { Client } from "../core/client.ts";
import { formatDuration } from "../core/duration.ts";
import { Trial, type TurnedAway } from "../core/trial/trial.ts";
import { Failure, messageOf } from "../failure.ts";
import type { TrialWatch } from "../gate/trial_watch.ts";
import type { Log } from "../log.ts";
import type { Desk } from "../sources/desk.ts";
import { inTurns } from "../sources/turns.ts";
import type { TrialSnapshot } from "../status/gate_snapshot.ts";
import type { DaemonBans, DeskParts } from "./bans.ts";
import type { InlineTrial } from "./inline_trial.ts";
import { sweepBans } from "./sweeper.ts";
import { readTrial, writeTrial } from "./trial_file.ts";

/** What a crash may cost of the time that was observed. */
const saveMs = 5000;
/** Named in a line; the status names more. */
const sourcesInLine = 5;
const sourcesInStatus = 100;

export interface DaemonTrialOptions {
  readonly durationMs: number;
  readonly profile: () => string;
  readonly fingerprint: string;
  /** Undefined without a state directory. */
  readonly path: () => string | undefined;
  /** The daemon's: bans that others made hold here too. */
  readonly bans: DaemonBans;
  readonly gateBans: DeskParts;
  readonly log: Log;
  readonly nowMs: () => number;
  /** In inline mode: who has proven good. */
  readonly inline: InlineTrial | undefined;
  wouldBan(changes: readonly BanChange[]): void;
  /** Nothing is a trial any more. */
  enforce(): void;
}

export class DaemonTrial implements TrialWatch {
  readonly #options: DaemonTrialOptions;
  #trial: Trial;
  /** Who would be banned: of this trial alone. */
  #apart: { readonly bans: DaemonBans; readonly desk: Desk };
  #lastMs: number;
  #savedMs: number;
  #saveError: string | undefined;
  #isEnforcing: boolean;
  /** Another process goes on with it. */
  #isSuspended = false;
  #isClosed = false;
  /** Whom the log named as hurt. */
  #told = "";

  constructor(options: DaemonTrialOptions) {
    this.#options = options;
    this.#trial = this.#taken(options.fingerprint);
    this.#apart = this.#newTable();
    this.#isEnforcing = this.#trial.isPassed;
    this.#lastMs = options.nowMs();
    this.#savedMs = this.#lastMs;
  }

  get isObserving(): boolean {
    return !this.#isEnforcing;
  }

  /** What exists of it in the state directory. */
  get paths(): readonly string[] {
    return [this.#options.path()].filter((path) => path !== undefined && existsSync(path)) as string[];
  }

  /** The desk that a gate is to ask in place of its own: what it asks for is noted only while the trial goes on. */
  deskBefore(desk: Desk): Desk {
    return {
      refuses: (client) => desk.refuses(client),
      wouldRefuse: (client) => this.isObserving && this.#apart.desk.wouldRefuse(client),
      isFenced: (client) => desk.isFenced(client),
      ban: (client, offence) => (this.isObserving ? this.#apart.desk : desk).ban(client, offence),
    };
  }

  /** The kernel saw a near miss: it would have reset the connection. */
  wouldReset(client: Client): void {
    if (this.#isEnforcing) return;
    this.#trial.wouldTurnAway({ source: client.sourceText, reason: "malformed" });
    this.#options.inline?.suspect(client.sourceText, client.single().text);
  }

  wouldClose(source: string): void {
    this.#trial.wouldTurnAway({ source, reason: "undecided" });
  }

  isWelcome(source: string): void {
    this.#trial.isWelcome(source);
  }

  isGood(source: string): void {
    this.#trial.isGood(source);
  }

  /** When the gate begins to serve: nothing before that was observed. */
  begun(): void {
    const { log, path, nowMs, enforce } = this.#options;
    const profile = this.#options.profile();
    this.#lastMs = nowMs();
    if (!this.#isEnforcing) {
      // A process that this one takes over from went on with it until now.
      this.#trial = this.#taken(this.#trial.fingerprint);
      this.#isEnforcing = this.#trial.isPassed;
    }
    const { durationMs, observedMs } = this.#trial;
    const asked = formatDuration(durationMs);
    if (this.#isEnforcing) {
      enforce();
      log("info", `Trial: profile ${profile} passed its trial of ${asked} before: enforcing`);
      return;
    }
    const before =
      observedMs > 0 ? ` goes on, ${formatDuration(observedMs)} of ${asked} are over` : ` of ${asked} begins`;
    log("info", `Trial: the trial of profile ${profile}${before}: nobody is banned until ${this.#endText()}`);
    if (path() === undefined)
      log("warn", "Trial: there is no state directory, so a restart begins the trial anew; name one with --state");
    this.#save();
  }

  /** A few times a second. */
  async tick(nowMs: number): Promise<void> {
    if (this.#isEnforcing || this.#isSuspended) return;
    this.#observeUntil(nowMs);
    for (const source of this.#options.inline?.good(nowMs) ?? []) this.isGood(source);
    if (nowMs - this.#savedMs >= saveMs) this.#save();
    await this.#tend(nowMs);
    if (!this.#trial.isOver || this.#isSuspended) return;
    const hurt = this.#hurt();
    if (hurt.length > 0) this.#tellHurt(hurt);
    else this.#enforce();
  }

  /** @throws Failure where another profile has passed: nothing is changed then. */
  requireSame(fingerprint: string): void {
    if (!this.#isEnforcing || fingerprint === this.#trial.fingerprint) return;
    const { profile, gateBans } = this.#options;
    throw new Failure(
      `${gatePrefix(gateBans.gate)}Cannot reload the profile ${profile()}: another one passed the trial; restart to begin a trial of this one`,
      { exitCode: 2 },
    );
  }

  /** The profile was read again. */
  reloaded(fingerprint: string): void {
    if (this.#isEnforcing || fingerprint === this.#trial.fingerprint) return;
    this.#trial = new Trial(fingerprint, this.#options.durationMs);
    this.#told = "";
    this.#apart.bans.log.close();
    this.#apart = this.#newTable();
    this.#options.log("warn", `Trial: the profile has changed: its trial begins, until ${this.#endText()}`);
    this.#save();
  }

  /** Saves it for a process that takes over: from now on that one writes it. */
  suspend(): void {
    this.#observeUntil(this.#options.nowMs());
    this.#save();
    this.#isSuspended = true;
  }

  /** That process came to nothing. Nobody was accepted meanwhile. */
  resume(): void {
    this.#isSuspended = false;
    this.#lastMs = this.#options.nowMs();
    this.#save();
  }

  /** Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#observeUntil(this.#options.nowMs());
    this.#apart.bans.log.close();
    this.#save();
  }

  snapshot(): TrialSnapshot {
    const { durationMs, observedMs, leftMs, goodSources, turnedAwaySources } = this.#trial;
    const hurt = this.#isEnforcing ? [] : this.#hurt();
    return {
      state: this.#isEnforcing ? "enforcing" : "observing",
      until: this.#isEnforcing || this.#trial.isOver ? null : new Date(Date.now() + leftMs).toISOString(),
      ...{ durationSeconds: durationMs / 1000, observedSeconds: observedMs / 1000, goodSources },
      wouldTurnAway: turnedAwaySources,
      hurt: hurt.slice(0, sourcesInStatus),
      text: this.#words(hurt),
    };
  }

  #words(hurt: readonly TurnedAway[]): string {
    if (this.#isEnforcing) return "enforcing: the trial is over, and no good client would have been banned";
    const { turnedAwaySources } = this.#trial;
    const sources = `${turnedAwaySources} source${turnedAwaySources === 1 ? "" : "s"} would have been turned away`;
    if (hurt.length > 0)
      return `observing${this.#trial.isOver ? " although the trial is over" : ` until ${this.#endText()}`}: it would have hurt ${named(hurt)}; ${remedy}`;
    return `observing until ${this.#endText()}: ${sources}, none of them proven good`;
  }

  #observeUntil(nowMs: number): void {
    if (!this.#isEnforcing) this.#trial.observedMs += Math.max(0, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }

  #endText(): string {
    return new Date(Date.now() + this.#trial.leftMs).toISOString();
  }

  #hurt(): TurnedAway[] {
    const { neverBan } = this.#options.bans.enforcement;
    return this.#trial.hurt((source) => {
      const prefix = parsePrefix(source);
      return prefix !== undefined && neverBan.conflict(prefix) !== undefined;
    });
  }

  #newTable(): { readonly bans: DaemonBans; readonly desk: Desk } {
    const { bans: shared, gateBans, wouldBan } = this.#options;
    const bans = shared.apart();
    bans.enforcement.follow({
      bansChanged: (changes) => {
        this.#noteBans(changes);
        wouldBan(changes);
      },
    });
    return { bans, desk: bans.deskOf(gateBans) };
  }

  #noteBans(changes: readonly BanChange[]): void {
    this.#options.inline?.bansChanged(changes);
    for (const change of changes) {
      if (change.kind !== "ban" || change.claim.evidence === undefined) continue;
      this.#trial.wouldTurnAway({ source: change.ban.prefix.text, reason: change.claim.reason });
    }
  }

  /** What a table needs that nobody else looks after. */
  async #tend(nowMs: number): Promise<void> {
    const { enforcement, log } = this.#apart.bans;
    await inTurns(enforcement.protect(this.#options.bans.enforcement.neverBan.entries(), this.#options.nowMs));
    await sweepBans(enforcement, this.#options.nowMs, () => this.isObserving);
    log.flush(nowMs);
  }

  #tellHurt(hurt: readonly TurnedAway[]): void {
    const told = named(hurt);
    if (told === this.#told) return;
    this.#told = told;
    this.#options.log("warn", `Trial: over, and goes on observing: it would have hurt ${told}; ${remedy}`, {
      sources: hurt.slice(0, sourcesInStatus).map(({ source }) => source),
    });
    this.#save();
  }

  #enforce(): void {
    const { log, profile, enforce } = this.#options;
    const { goodSources, turnedAwaySources, durationMs } = this.#trial;
    this.#isEnforcing = true;
    try {
      enforce();
    } catch (error) {
      this.#isEnforcing = false;
      throw error;
    }
    this.#trial.passedMs = durationMs;
    this.#apart.bans.log.close();
    // As large as a flood has made it.
    this.#apart = this.#newTable();
    this.#save();
    const seen = `${turnedAwaySources} sources would have been turned away, none of them proven good`;
    log(
      "info",
      `Trial: passed after ${formatDuration(durationMs)}: ${seen}; profile ${profile()} is enforced from now on`,
    );
    if (goodSources === 0) log("warn", "Trial: no client has proven good meanwhile, so it says little");
  }

  #taken(fingerprint: string): Trial {
    const { durationMs, log } = this.#options;
    const path = this.#options.path();
    if (path === undefined) return new Trial(fingerprint, durationMs);
    try {
      const saved = readTrial(path);
      if (saved?.fingerprint === fingerprint) return new Trial(fingerprint, durationMs, saved);
      if (saved !== undefined) log("info", "Trial: the trial before was of another profile");
    } catch (error) {
      log("warn", `Trial: cannot read "${path}": ${messageOf(error)}; the trial begins anew`);
    }
    return new Trial(fingerprint, durationMs);
  }

  #save(): void {
    const { log, nowMs } = this.#options;
    const path = this.#options.path();
    this.#savedMs = nowMs();
    if (path === undefined || this.#isSuspended) return;
    try {
      writeTrial(path, this.#trial.saved());
      this.#saveError = undefined;
    } catch (error) {
      const reason = messageOf(error);
      if (reason !== this.#saveError)
        log("error", `Trial: it cannot be saved: ${reason}; a restart would observe longer than asked`);
      this.#saveError = reason;
    }
  }
}

const remedy =
  "never ban them (--allow), correct the profile (a changed one has a trial of its own), or enforce it all the same without --trial";

function named(hurt: readonly TurnedAway[]): string {
  const some = hurt.slice(0, sourcesInLine).map(({ source, reason }) => `${source} (${reason})`);
  return hurt.length > sourcesInLine ? `${some.join(", ")} and ${hurt.length - sourcesInLine} more` : some.join(", ");
}
