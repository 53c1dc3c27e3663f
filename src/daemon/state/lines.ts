// SPDX-License-Identifier: Apache-2.0
// The table as lines: who is banned, and who was before. A slice at a time, with a turn for everything else in between.
import { write } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import type { Bans } from "../../core/bans/bans.ts";
import { type Ban, type Claim, claimsOf } from "../../core/bans/claim.ts";
import type { Offenders } from "../../core/bans/offenders.ts";
import { journalLine, type Moment } from "./journal.ts";

const writeSome = promisify(write);

export interface Table {
  readonly bans: Bans;
  readonly offenders: Offenders;
}

/** Made in one go: about a millisecond. */
const sliceBans = 250;

/** What the table says of a source now; that it is over, where it says nothing. */
export function lineOfSource(table: Table, source: string, moment: Moment): string {
  const ban = table.bans.byText(source);
  return ban === undefined ? lineWith(table, source, [], moment) : lineOfBan(table, ban, moment);
}

/** @returns how many lines. */
export async function writeTable(fd: number, table: Table, moment: () => Moment): Promise<number> {
  const banned = await writeSliced(fd, table.bans.all(), (ban) => lineOfBan(table, ban, moment()));
  const free = await writeSliced(fd, table.offenders.all(), ([source]) => lineOfFree(table, source, moment()));
  return banned + free;
}

export async function writeAll(fd: number, text: string): Promise<void> {
  for (let rest = new TextEncoder().encode(text); rest.length > 0; ) {
    const { bytesWritten } = await writeSome(fd, rest);
    rest = rest.subarray(bytesWritten);
  }
}

function lineOfBan(table: Table, ban: Ban, moment: Moment): string {
  // Another tool's entry without an end is in that tool's own map.
  const claims = claimsOf(ban, moment.nowMs).filter(({ origin }) => origin !== "foreign");
  return lineWith(table, ban.prefix.text, claims, moment);
}

/** Who was banned before and is not now; nothing of others. */
function lineOfFree(table: Table, source: string, moment: Moment): string {
  const isRemembered = table.offenders.of(source, moment.nowMs) !== undefined;
  return isRemembered && table.bans.byText(source) === undefined ? lineWith(table, source, [], moment) : "";
}

function lineWith({ offenders }: Table, source: string, claims: readonly Claim[], moment: Moment): string {
  return journalLine({ source, claims, offender: offenders.of(source, moment.nowMs) }, moment);
}

async function writeSliced<T>(
  fd: number,
  all: IteratorObject<T, undefined, unknown>,
  lineOf: (one: T) => string,
): Promise<number> {
  let lines = 0;
  for (let slice = [...all.take(sliceBans)]; slice.length > 0; slice = [...all.take(sliceBans)]) {
    const written = slice.map(lineOf).filter((line) => line !== "");
    await writeAll(fd, written.join(""));
    lines += written.length;
    await setImmediate();
  }
  return lines;
}
