// SPDX-License-Identifier: Apache-2.0
// Reads the bans that an earlier run saved. What is damaged is counted and left out; everything else counts.
import { createReadStream, existsSync } from "node:fs";
import { journalHead, type Moment, parseJournalLine, type SavedSource } from "./journal.ts";

export interface SavedState {
  /** Sources whose bans still run, or that were banned before. */
  readonly sources: readonly SavedSource[];
  /** Lines that could not be read. */
  readonly damaged: number;
  /** The file is of another version: nothing of it was read. */
  readonly isForeign: boolean;
}

/** Of every version. */
const headOfAny = "ttgate-bans ";
const chunkBytes = 1024 * 1024;

/** @throws Error when a file that is there cannot be read. */
export async function readState(path: string, moment: Moment): Promise<SavedState> {
  if (!existsSync(path)) return { sources: [], damaged: 0, isForeign: false };
  const bySource = new Map<string, SavedSource>();
  let damaged = 0;
  let isFirst = true;
  for await (const lines of linesOf(path)) {
    for (const line of lines) {
      const isHead = isFirst && line.startsWith(headOfAny);
      if (isHead && line !== journalHead) return { sources: [], damaged: 0, isForeign: true };
      isFirst = false;
      if (isHead) continue;
      const saved = parsed(line, moment);
      if (saved === undefined) damaged++;
      else if (saved.claims.length === 0 && saved.offender === undefined) bySource.delete(saved.source);
      else bySource.set(saved.source, saved);
    }
  }
  return { sources: [...running(bySource.values(), moment.nowMs)], damaged, isForeign: false };
}

/** Those of which anything counts yet. */
function* running(all: Iterable<SavedSource>, nowMs: number): Generator<SavedSource> {
  for (const saved of all) {
    // Nearly all, and there may be a million.
    if (saved.claims.length > 0 && saved.claims.every(({ untilMs }) => untilMs > nowMs)) yield saved;
    else {
      const claims = saved.claims.filter(({ untilMs }) => untilMs > nowMs);
      if (claims.length > 0 || saved.offender !== undefined) yield { ...saved, claims };
    }
  }
}

/** Whole lines, a chunk of the file at a time; what stands behind the last newline comes last. */
async function* linesOf(path: string): AsyncGenerator<readonly string[]> {
  let rest = "";
  for await (const chunk of createReadStream(path, { encoding: "utf8", highWaterMark: chunkBytes })) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    yield lines;
  }
  if (rest !== "") yield [rest];
}

function parsed(line: string, moment: Moment): SavedSource | undefined {
  try {
    return parseJournalLine(line, moment);
  } catch {
    return undefined;
  }
}
