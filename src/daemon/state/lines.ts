// SPDX-License-Identifier: Apache-2.0
// The table as lines: who is banned, and who was before. A slice at a time, with a turn for everything else in between.
import { setImmediate } from "node:timers/promises";
import type { Bans } from "../../core/bans/bans.ts";
import { type Ban, type Claim, claimsOf } from "../../core/bans/claim.ts";
import type { Offenders } from "../../core/bans/offenders.ts";
import type { Work } from "../../core/work.ts";
import { writeBytes } from "../../host/write_all.ts";
import { inTurns } from "../../sources/turns.ts";
import { journalLine, type Moment, wallAtBootMs } from "./journal.ts";
import { LineWriter } from "./line_writer.ts";
import type { SavedSource } from "./saved_source.ts";

export interface Table {
  readonly bans: Bans;
  readonly offenders: Offenders;
}

/** Written in one go. */
const pieceBytes = 32 * 1024;
/** Made between two looks at the clock. */
const linesAtOnce = 20;

/** What the table says of a source now; that it is over, where it says nothing. */
export function lineOfSource(table: Table, source: string, moment: Moment): string {
  return journalLine(savedOf(table, source, table.bans.byText(source), moment), moment);
}

function savedOf({ offenders }: Table, source: string, ban: Ban | undefined, { nowMs }: Moment): SavedSource {
  const offender = offenders.of(source, nowMs);
  return { source, claims: ban === undefined ? [] : savedClaims(ban, nowMs), offender };
}

/** Another tool's entry without an end is in that tool's own map. */
function savedClaims(ban: Ban, nowMs: number): readonly Claim[] {
  return claimsOf(ban, nowMs).filter(({ origin }) => origin !== "foreign");
}

/** Writes what a table says to a file. */
export class TableWriter {
  readonly #fd: number;
  readonly #table: Table;
  readonly #moment: () => Moment;
  readonly #writer = new LineWriter();
  #lines = 0;

  constructor(fd: number, table: Table, moment: () => Moment) {
    this.#fd = fd;
    this.#table = table;
    this.#moment = moment;
  }

  /** All of it. @returns how many lines. */
  async writeAll(): Promise<number> {
    const { bans, offenders } = this.#table;
    const banned = await this.#write(bans.all(), (ban) => this.#ban(ban));
    return banned + (await this.#write(offenders.all(), ([source]) => this.#free(source)));
  }

  /** What it says of these now; that they are over, where it says nothing. @returns how many lines. */
  writeOf(sources: Iterable<string>): Promise<number> {
    return this.#write(Iterator.from(sources), (source) => this.#add(source, this.#table.bans.byText(source)));
  }

  /** Who was banned before and is not now; nothing of others. */
  #free(source: string): void {
    const { bans, offenders } = this.#table;
    const isRemembered = offenders.of(source, this.#moment().nowMs) !== undefined;
    if (isRemembered && bans.byText(source) === undefined) this.#add(source, undefined);
  }

  #ban(ban: Ban): void {
    const moment = this.#moment();
    const { offenders } = this.#table;
    // Texts of a million sources are looked up in vain otherwise.
    const offender = offenders.size === 0 ? undefined : offenders.of(ban.prefix.text, moment.nowMs);
    this.#writer.add({ source: ban.prefix, claims: savedClaims(ban, moment.nowMs), offender }, wallAtBootMs(moment));
    this.#lines++;
  }

  #add(source: string, ban: Ban | undefined): void {
    const moment = this.#moment();
    this.#writer.add(savedOf(this.#table, source, ban, moment), wallAtBootMs(moment));
    this.#lines++;
  }

  async #write<T>(all: Iterator<T, unknown>, add: (one: T) => void): Promise<number> {
    const before = this.#lines;
    while (await inTurns(this.#fill(all, add))) {
      await writeBytes(this.#fd, this.#writer.take());
      // A disk that is quick enough leaves nobody else a turn.
      await setImmediate();
    }
    return this.#lines - before;
  }

  /** @returns false when nothing was left. */
  *#fill<T>(all: Iterator<T, unknown>, add: (one: T) => void): Work<boolean> {
    for (let count = 1; this.#writer.length < pieceBytes; count++) {
      const { done, value } = all.next();
      if (done === true) break;
      add(value);
      if (count % linesAtOnce === 0) yield;
    }
    return this.#writer.length > 0;
  }
}
