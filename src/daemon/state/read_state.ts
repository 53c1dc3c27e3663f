// SPDX-License-Identifier: Apache-2.0
// Reads the bans that an earlier run saved, a piece at a time: nothing of a million of them is held here. What is
// damaged is counted and left out; everything else counts.
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { nameOf } from "../../core/address.ts";
import type { Claim } from "../../core/bans/claim.ts";
import type { Work } from "../../core/work.ts";
import { codeOf, messageOf } from "../../failure.ts";
import { inTurns } from "../../sources/turns.ts";
import { type Basis, journalHead, type Moment, momentBy, parseBasisLine, parseJournalBytes } from "./journal.ts";
import type { SavedSource } from "./saved_source.ts";

export interface ReadState {
  /** Lines with what is said of a source. */
  readonly lines: number;
  /** Lines that could not be read. */
  readonly damaged: number;
  /** The first line is of another version, or damaged so that it looks like that. */
  readonly isHeadForeign: boolean;
  /** It ends with a whole line, so that more can be written behind it. */
  readonly isWhole: boolean;
  /** By which clock the last of them were written; undefined where the file does not say so. */
  readonly basis: Basis | undefined;
  /** Why no more of it could be read. */
  readonly error: string | undefined;
}

/** Of every version. */
const headOfAny = "ttgate-bans ";
const newline = 10;
const brace = 123;
/** Behind the checksum. */
const textAt = 9;
const decoder = new TextDecoder();
const chunkBytes = 256 * 1024;
/** No line is so long; a file without newlines is none of ttgate's. */
const longestLine = 1024 * 1024;
/** Taken together: a fourth of a millisecond. */
const linesAtOnce = 100;
/** What the file is, and stays: there is no use in waiting. Of others, as of too many open files, the next start knows nothing. */
const lasting: ReadonlySet<string | undefined> = new Set(["EACCES", "EPERM", "EISDIR", "ELOOP", "ENXIO"]);

/**
 * @param take what the lines of a piece say last of each source, claims that are over left out: in the place of what
 * an earlier piece said of it.
 * @throws Error for a reason that may pass; the file is as it was.
 */
export async function readState(
  path: string,
  moment: () => Moment,
  take: (saved: readonly SavedSource[]) => void,
): Promise<ReadState> {
  const reader = new StateReader(moment, take);
  for await (const bytes of chunksOf(path)) {
    if (typeof bytes === "string") reader.error = bytes;
    else await inTurns(reader.read(bytes));
  }
  return reader;
}

class StateReader implements ReadState {
  lines = 0;
  damaged = 0;
  isHeadForeign = false;
  isWhole = false;
  basis: Basis | undefined;
  error: string | undefined;
  readonly #moment: () => Moment;
  readonly #take: (saved: readonly SavedSource[]) => void;
  #isBegun = false;

  constructor(moment: () => Moment, take: (saved: readonly SavedSource[]) => void) {
    this.#moment = moment;
    this.#take = take;
  }

  /** @param bytes whole lines; behind the last of the file there may be no newline. */
  *read(bytes: Uint8Array<ArrayBuffer>): Work<void> {
    this.isWhole = bytes.at(-1) === newline;
    const first = this.#isBegun ? 0 : this.#head(bytes);
    this.#isBegun = true;
    for (let at = first; at < bytes.length; ) {
      at = this.#piece(bytes, at);
      yield;
    }
  }

  /** @returns where the lines begin. */
  #head(bytes: Uint8Array<ArrayBuffer>): number {
    const end = endOfLine(bytes, 0);
    const head = new TextDecoder("latin1").decode(bytes.subarray(0, end));
    this.isHeadForeign = head.startsWith(headOfAny) && head !== journalHead;
    return head.startsWith(headOfAny) ? end + 1 : 0;
  }

  /** @returns where the next piece begins. */
  #piece(bytes: Uint8Array<ArrayBuffer>, start: number): number {
    let now = momentBy(this.basis, this.#moment());
    const piece = new Map<number | string, SavedSource>();
    let at = start;
    for (let count = 0; count < linesAtOnce && at < bytes.length; count++) {
      const end = endOfLine(bytes, at);
      const line = lineAt(bytes, at, end, now);
      if (line === undefined) this.damaged++;
      else if ("prefix" in line) {
        piece.set(nameOf(line.prefix), running(line, now.nowMs));
        this.lines++;
      } else {
        this.basis = line;
        now = momentBy(line, this.#moment());
      }
      at = end + 1;
    }
    this.#take([...piece.values()]);
    return at;
  }
}

function endOfLine(bytes: Uint8Array<ArrayBuffer>, from: number): number {
  const end = bytes.indexOf(newline, from);
  return end < 0 ? bytes.length : end;
}

/** For a line that is longer than any of ttgate's. */
function enlarged(buffer: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(2 * buffer.length);
  larger.set(buffer);
  return larger;
}

/** Undefined for one that is damaged. */
function lineAt(bytes: Uint8Array, from: number, to: number, moment: Moment): SavedSource | Basis | undefined {
  try {
    const basis = bytes[from + textAt] === brace ? parseBasisLine(decoder.decode(bytes.subarray(from, to))) : undefined;
    return basis ?? parseJournalBytes(bytes, from, to, moment);
  } catch {
    return undefined;
  }
}

function running(saved: SavedSource, nowMs: number): SavedSource {
  const { claims } = saved;
  const isRunning = ({ untilMs }: Claim) => untilMs > nowMs;
  // Nearly all, and there may be a million: most of one claim.
  const isWhole = claims.length === 1 ? isRunning(claims[0] as Claim) : claims.every(isRunning);
  return isWhole ? saved : { ...saved, claims: claims.filter(isRunning) };
}

/**
 * Whole lines, a chunk of the file at a time; what stands behind the last newline comes last. The bytes are reused.
 * A text says why there is no more. Throws for a reason that may pass.
 */
async function* chunksOf(path: string): AsyncGenerator<Uint8Array<ArrayBuffer> | string> {
  let file: FileHandle | undefined;
  try {
    // A pipe is not waited for.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = await file.stat();
    if (stat.isFile() || stat.isDirectory()) yield* linesOf(file);
    else yield "it is no regular file";
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") return;
    // What is open and cannot be read has a bad sector.
    const isBad = code === "EIO" && file !== undefined;
    if (!isBad && !lasting.has(code)) throw error;
    yield messageOf(error);
  } finally {
    await file?.close();
  }
}

async function* linesOf(file: FileHandle): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let buffer = new Uint8Array(2 * chunkBytes);
  let filled = 0;
  for (;;) {
    if (filled + chunkBytes > buffer.length) buffer = enlarged(buffer);
    const { bytesRead } = await file.read(buffer, filled, chunkBytes);
    if (bytesRead === 0) break;
    filled += bytesRead;
    const last = buffer.lastIndexOf(newline, filled - 1) + 1;
    const end = last === 0 && filled > longestLine ? filled : last;
    if (end > 0) yield buffer.subarray(0, end);
    buffer.copyWithin(0, end, filled);
    filled -= end;
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}
