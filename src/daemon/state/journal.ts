// SPDX-License-Identifier: Apache-2.0
// The lines of the state file. Each is a checksum and a source with all of its claims as they are then; the last
// line of a source wins, and one without claims ends its ban. Behind them stands how often it was banned before. Ends
// are absolute (Unix time), so that they mean the same after a reboot; a line says which clock those behind it were
// written by, so that within one boot no step of the wall clock moves them. A line that was torn or damaged is left out.
import { crc32 } from "node:zlib";
import { parsePrefix } from "../../core/address.ts";
import type { Claim, Evidence, Origin } from "../../core/bans/claim.ts";
import type { BetEvidence } from "../../core/ciphertext/bets.ts";
import { LineWriter, type Written } from "./line_writer.ts";
import type { SavedSource } from "./saved_source.ts";
import { UsualLine } from "./usual_line.ts";

/** The first line of a file; another version's is not read. */
export const journalHead = "ttgate-bans 1";

/** The same moment by two clocks: since boot, and since 1970. */
export interface Moment {
  readonly nowMs: number;
  readonly wallMs: number;
  /** Which boot the first clock counts from; undefined where that cannot be told. */
  readonly boot?: string | undefined;
}

/** Ends by the clock since boot alone: for another process of this host, however the wall clock is set meanwhile. */
export function sinceBoot(nowMs: number): Moment {
  return { nowMs, wallMs: nowMs };
}

/** By which clock a file was written: it stands in it, once. */
export interface Basis {
  readonly boot?: string | undefined;
  readonly wallAtBootMs: number;
}

export function basisOf(moment: Moment): Basis {
  return { boot: moment.boot, wallAtBootMs: Math.round(wallAtBootMs(moment)) };
}

/** The moment by the clock that a file was written by, unless it does not say so, or that was before a reboot. */
export function momentBy(basis: Basis | undefined, moment: Moment): Moment {
  if (basis?.boot === undefined || basis.boot !== moment.boot) return moment;
  return { ...moment, wallMs: moment.nowMs + basis.wallAtBootMs };
}

/** The wall clock at boot, in Unix time: another one after a step of the wall clock. */
export function wallAtBootMs({ nowMs, wallMs }: Moment): number {
  return wallMs - nowMs;
}

/** A file is written anew when the wall clock differs by more from when it was written: the ends in it are of that clock. */
export const stepMs = 2000;

export function basisLine({ boot, wallAtBootMs: atBootMs }: Basis): string {
  const text = JSON.stringify({ boot, wallAtBootMs: atBootMs });
  return `${checksum(text)} ${text}\n`;
}

/** @returns undefined for another line, and for one that is damaged. */
export function parseBasisLine(line: string): Basis | undefined {
  if (line[9] !== "{") return undefined;
  const text = checked(line);
  return text === undefined ? undefined : (JSON.parse(text) as Basis);
}

/** A source without claims is not banned any more. */
export function journalLine(written: Written, moment: Moment): string {
  oneLine.add(written, wallAtBootMs(moment));
  return decoder.decode(oneLine.take());
}

const oneLine = new LineWriter();
const usualLine = new UsualLine();
const decoder = new TextDecoder();

type WrittenClaim = readonly [
  origin: string,
  reason: string,
  since: number,
  /** 0 is without an end. */
  until: number,
  evidence: WrittenEvidence | null,
  gate?: string,
  isLocal?: boolean,
];
/** How many bans, and until when the last of them. */
type WrittenOffender = readonly [number, number];
type WrittenEvidence = readonly [
  firstBytes: string,
  client: string,
  clientPort: number,
  gatePort: number,
  bet?: BetEvidence | null,
];

/**
 * The checksum stands for what was written by this version; nothing else is looked at but that.
 * @returns undefined for a line that is damaged.
 */
export function parseJournalLine(line: string, moment: Moment): SavedSource | undefined {
  const bytes = new TextEncoder().encode(line);
  return parseJournalBytes(bytes, 0, bytes.length, moment);
}

/** The same of a line in a file, without its newline. */
export function parseJournalBytes(
  bytes: Uint8Array,
  from: number,
  to: number,
  moment: Moment,
): SavedSource | undefined {
  const start = from + 9;
  if (to <= start || bytes[start - 1] !== space) return undefined;
  if (numberAt(bytes, from) !== crc32(bytes.subarray(start, to))) return undefined;
  const bootMs = wallAtBootMs(moment);
  return usualLine.read(bytes, start, to, bootMs) ?? parsed(decoder.decode(bytes.subarray(start, to)), bootMs);
}

function parsed(text: string, bootMs: number): SavedSource | undefined {
  const written = JSON.parse(text) as readonly [string, readonly WrittenClaim[], WrittenOffender?];
  const prefix = parsePrefix(written[0]);
  if (prefix === undefined) return undefined;
  // By their places: taking arrays apart is a tenth of the time that a million lines take.
  const before = written[2];
  const offender = before && { bans: before[0], untilMs: before[1] - bootMs };
  return { prefix, claims: written[1].map((claim) => claimOf(claim, bootMs)), offender };
}

function claimOf(written: WrittenClaim, bootMs: number): Claim {
  const until = written[3];
  const evidence = written[4];
  return {
    // Whoever it was: a name that this version does not know is kept as it is.
    origin: written[0] as Origin,
    reason: written[1],
    sinceMs: written[2] - bootMs,
    untilMs: until === 0 ? Number.POSITIVE_INFINITY : until - bootMs,
    evidence: evidence === null ? undefined : evidenceOf(evidence),
    gate: written[5],
    isLocal: written[6],
  };
}

function evidenceOf(written: WrittenEvidence): Evidence {
  const bet = written[4];
  const seen = {
    firstBytes: Uint8Array.fromHex(written[0]),
    clientAddress: written[1],
    clientPort: written[2],
    gatePort: written[3],
  };
  return bet === null || bet === undefined ? seen : { ...seen, bet };
}

const space = 32;

/** Of eight hexadecimal digits, in small letters; -1: they are none. */
function numberAt(bytes: Uint8Array, at: number): number {
  let number = 0;
  for (let index = at; index < at + 8; index++) {
    const code = bytes[index] ?? 0;
    const digit = code >= 48 && code <= 57 ? code - 48 : code >= 97 && code <= 102 ? code - 87 : -1;
    if (digit < 0) return -1;
    number = number * 16 + digit;
  }
  return number;
}

function checked(line: string): string | undefined {
  const text = line.slice(9);
  return line[8] === " " && line.slice(0, 8) === checksum(text) ? text : undefined;
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, "0");
}
