// SPDX-License-Identifier: Apache-2.0
// Reads the bans that an earlier run saved, a piece at a time: nothing of a million of them is held here. What is
// damaged is counted and left out; everything else counts.
import { createReadStream, existsSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import type { Claim } from "../../core/bans/claim.ts";
import {
  type Basis,
  journalHead,
  type Moment,
  momentBy,
  parseBasisLine,
  parseJournalLine,
  type SavedSource,
} from "./journal.ts";

export interface ReadState {
  /** Lines that could not be read. */
  readonly damaged: number;
  /** The file is of another version: nothing of it was read. */
  readonly isForeign: boolean;
}

/** Of every version. */
const headOfAny = "ttgate-bans ";
const chunkBytes = 64 * 1024;

/**
 * @param take what the lines of a piece say last of each source, claims that are over left out: in the place of what
 * an earlier piece said of it.
 * @throws Error when a file that is there cannot be read.
 */
export async function readState(
  path: string,
  moment: () => Moment,
  take: (saved: readonly SavedSource[]) => void,
): Promise<ReadState> {
  if (!existsSync(path)) return { damaged: 0, isForeign: false };
  let damaged = 0;
  let isFirst = true;
  let basis: Basis | undefined;
  for await (const lines of linesOf(path)) {
    let now = momentBy(basis, moment());
    const piece = new Map<string, SavedSource>();
    for (const line of lines) {
      const isHead = isFirst && line.startsWith(headOfAny);
      if (isHead && line !== journalHead) return { damaged: 0, isForeign: true };
      isFirst = false;
      if (isHead) continue;
      const found = parsed(() => parseBasisLine(line));
      if (found !== undefined) {
        basis = found;
        now = momentBy(found, now);
        continue;
      }
      const saved = parsed(() => parseJournalLine(line, now));
      if (saved === undefined) damaged++;
      else piece.set(saved.source, running(saved, now.nowMs));
    }
    take([...piece.values()]);
    await setImmediate();
  }
  return { damaged, isForeign: false };
}

function running(saved: SavedSource, nowMs: number): SavedSource {
  const isRunning = ({ untilMs }: Claim) => untilMs > nowMs;
  // Nearly all, and there may be a million.
  return saved.claims.every(isRunning) ? saved : { ...saved, claims: saved.claims.filter(isRunning) };
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

function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
