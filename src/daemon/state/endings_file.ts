// SPDX-License-Identifier: Apache-2.0
// Keeps in a file what this gate lifted, for a fleet whose engine was away: so that no lift is forgotten when the
// gate is started anew before the engine is back. Written whole, and only when something changed or the wall clock stepped.
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { z } from "zod";
import { parsePrefix } from "../../core/address.ts";
import type { OwnDoings } from "../../core/fleet/own_doings.ts";
import { OneAtATime } from "../../core/one_at_a_time.ts";
import { messageOf } from "../../failure.ts";
import { replaceWhole } from "../../host/atomic_file.ts";
import type { Log } from "../../log.ts";
import { type Basis, basisOf, type Moment, momentBy, stepMs, wallAtBootMs } from "./journal.ts";

/** Source, taken back at, lifted at (null: not for all), kept until (null: for ever); Unix time. */
const lift = z.tuple([
  z.string().refine((source) => parsePrefix(source)?.text === source),
  z.number(),
  z.number().nullable(),
  z.number().nullable(),
]);
/** Each is looked at by itself: one that is none costs no other. */
const lifts = z.array(z.unknown());
const basis = z.object({ boot: z.string().optional(), wallAtBootMs: z.number() });
/** Earlier versions wrote the lifts alone. */
const written = z.union([lifts.transform((rows) => ({ basis: undefined, lifts: rows })), z.object({ basis, lifts })]);

export class EndingsFile {
  readonly path: string;
  readonly #own: OwnDoings;
  readonly #moment: () => Moment;
  readonly #log: Log;
  #saved = 0;
  /** Of the file as it was written last; undefined where there is nothing in it. */
  #basis: Basis | undefined;
  #isFailing = false;
  readonly #saving = new OneAtATime(() => this.#save());

  constructor(path: string, own: OwnDoings, moment: () => Moment, log: Log) {
    this.path = path;
    this.#own = own;
    this.#moment = moment;
    this.#log = log;
  }

  restore(): void {
    try {
      // So that a user that ttgate changes to can be made its owner.
      if (!existsSync(this.path)) closeSync(openSync(this.path, "a", 0o600));
      const text = readFileSync(this.path, "utf8");
      const saved = text === "" ? { basis: undefined, lifts: [] } : written.parse(JSON.parse(text));
      const bootMs = wallAtBootMs(momentBy(saved.basis, this.#moment()));
      this.#basis = saved.basis;
      let unreadable = 0;
      for (const row of saved.lifts) {
        const parsed = lift.safeParse(row);
        if (!parsed.success) {
          unreadable++;
          continue;
        }
        const [source, at, lifted, keep] = parsed.data;
        this.#own.restore(source, {
          atMs: at - bootMs,
          liftedMs: lifted === null ? undefined : lifted - bootMs,
          keepUntilMs: keep === null ? Number.POSITIVE_INFINITY : keep - bootMs,
        });
      }
      if (unreadable > 0) this.#warn(`${unreadable} of them have another form, the others are kept`);
    } catch (error) {
      this.#warn(messageOf(error));
    }
  }

  #warn(reason: string): void {
    this.#log("warn", `Cannot read the lifts in "${this.path}": ${reason}; the fleet's engine knows them`);
  }

  /** Once a second. */
  save(): Promise<void> {
    return this.#saving.run();
  }

  /** What was lifted until now is in the file, or it is said why it cannot be. */
  saved(): Promise<void> {
    return this.#saving.runAnew();
  }

  async #save(): Promise<void> {
    const version = this.#own.endingsVersion;
    const now = basisOf(this.#moment());
    const bootMs = now.wallAtBootMs;
    const isStepped = this.#basis !== undefined && Math.abs(bootMs - this.#basis.wallAtBootMs) > stepMs;
    if (version === this.#saved && !isStepped) return;
    const rows = [...this.#own.endings()].map(([source, { atMs, liftedMs, keepUntilMs }]) => [
      source,
      Math.round(bootMs + atMs),
      liftedMs === undefined ? null : Math.round(bootMs + liftedMs),
      Number.isFinite(keepUntilMs) ? Math.round(bootMs + keepUntilMs) : null,
    ]);
    try {
      await replaceWhole(this.path, `${JSON.stringify({ basis: now, lifts: rows })}\n`, 0o600);
      this.#saved = version;
      this.#basis = now;
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#log("error", `${messageOf(error)}; lifts are not saved, it is tried again`);
      this.#isFailing = true;
    }
  }
}
