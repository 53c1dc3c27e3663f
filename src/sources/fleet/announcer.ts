// SPDX-License-Identifier: Apache-2.0
// Announces what this gate bans and lifts, and again what the engine lost. What could not be written waits.
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import type { EngineClock } from "../../core/fleet/engine_clock.ts";
import type { FleetTable } from "../../core/fleet/fleet_table.ts";
import type { FleetRecord } from "../../core/fleet/record.ts";
import { recordsOf } from "./replies.ts";
import { type FleetKeys, writeCommand } from "./script.ts";
import type { Session } from "./session.ts";
import type { FleetTroubles } from "./troubles.ts";

export interface AnnouncerOptions {
  readonly table: FleetTable;
  readonly gate: string;
  readonly keys: FleetKeys;
  readonly clock: EngineClock;
  readonly troubles: FleetTroubles;
  /** Of this gate's own records. */
  readonly readAtMost: number;
  readonly nowMs: () => number;
}

const announcedAtOnce = 200;
/** A list is not held up by the way to the engine and back. */
const writesAtOnce = 4;
/** An engine that is full is tried again so often. */
const fullRetryMs = 1000;

export class Announcer {
  announced = 0;
  /** The engine has fewer records of this gate than it had. */
  hasForgotten = false;
  readonly #options: AnnouncerOptions;
  /** With the engine, as of the last answer; undefined: not known. */
  #records: number | undefined;
  #wake: () => void = () => {};

  constructor(options: AnnouncerOptions) {
    this.#options = options;
    options.table.own.onChange = () => this.#wake();
  }

  /** As it comes, until the signal. */
  async run(session: Session, signal: AbortSignal): Promise<void> {
    const { table, troubles } = this.#options;
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      if (troubles.has("full")) await sleep(fullRetryMs, undefined, { signal }).catch(() => {});
      else if (table.own.waiting === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
      await this.all(session);
    }
  }

  /** What waits; less where the engine has no room. */
  async all(session: Session): Promise<void> {
    const { own } = this.#options.table;
    while (own.waiting > 0) {
      const writes: Promise<boolean>[] = [];
      while (own.waiting > 0 && writes.length < writesAtOnce)
        writes.push(this.#some(session, own.take(announcedAtOnce)));
      // Each marks again what it could not announce, before this goes on.
      await Promise.allSettled(writes);
      if (!(await Promise.all(writes)).every((hasRoom) => hasRoom)) return;
    }
  }

  /** Announces again what the engine lost, and what it never had. */
  async compare(session: Session): Promise<void> {
    const { table, gate, readAtMost, nowMs } = this.#options;
    const published = new Map<string, FleetRecord>();
    let read = 0;
    for await (const entries of session.records(gate, readAtMost)) {
      table.adopt(entries, nowMs(), published);
      read += entries.length;
    }
    await this.#missing(session, published, read < readAtMost);
  }

  /** Announces everything anew. */
  anew(session: Session): Promise<void> {
    return this.#missing(session, new Map(), true);
  }

  /**
   * Of each answer, in their order: a write after a loss must not hide it.
   * @param over taken out with this command.
   */
  count(records: number, over: number): void {
    // Fewer than there were, although nothing else was taken out since: the engine forgot, or threw out.
    if (this.#records !== undefined && records < this.#records - over) this.hasForgotten = true;
    this.#records = records;
  }

  /** @returns false when the engine has no room. */
  async #some(session: Session, sources: readonly string[]): Promise<boolean> {
    const { table, gate, keys, clock, troubles, nowMs } = this.#options;
    const madeMs = nowMs();
    const announcements = sources.flatMap((source) => table.announcement(source, madeMs) ?? []);
    if (announcements.length === 0) return true;
    const writing = { announcements, engineMs: madeMs + clock.offsetMs, isSaid: session.isHearing };
    try {
      const reply = await session.write(writeCommand(keys, gate, writing));
      const [, records, over, refused] = Array.isArray(reply) ? reply : [];
      this.count(Number(records), Number(over));
      this.#tellLog(refused === "" || refused === undefined);
      this.announced += announcements.length;
      return true;
    } catch (error) {
      for (const source of sources) table.own.mark(source);
      if (!troubles.isFull(error)) throw error;
      return false;
    }
  }

  #tellLog(isTaken: boolean): void {
    const { keys, troubles } = this.#options;
    if (isTaken) troubles.clear("log", "The fleet's log takes hints again");
    else
      troubles.set(
        "log",
        `The fleet's log takes no more hints, because somebody used its numbers up: redis-cli del '${keys.log}'; what is not heard at once comes within ten minutes`,
      );
  }

  /** @param isAll whether it is all that the engine has; otherwise it is asked about the rest. */
  async #missing(session: Session, published: ReadonlyMap<string, FleetRecord>, isAll: boolean): Promise<void> {
    const { table, nowMs } = this.#options;
    this.#records = undefined;
    table.own.isOverflown = false;
    for (const different of table.compare(published, nowMs)) {
      const sources = isAll ? different : await this.#notPublished(session, different);
      for (const source of sources) table.own.mark(source);
      await setImmediate();
      // So that what waits never overflows while the table is gone through.
      if (table.own.waiting > announcedAtOnce * writesAtOnce) await this.all(session);
    }
  }

  /** Of more records than are read, these are asked for. */
  async #notPublished(session: Session, sources: readonly string[]): Promise<readonly string[]> {
    if (sources.length === 0) return sources;
    const { table, gate, keys, nowMs } = this.#options;
    const reply = await session.read(["HMGET", keys.records(gate), ...sources]);
    return recordsOf(reply, sources).flatMap(([source, text]) =>
      table.isDifferent(source, text, nowMs()) ? [source] : [],
    );
  }
}
