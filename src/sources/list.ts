// SPDX-License-Identifier: Apache-2.0
// Lists of bans or lifts, `ADDR|CIDR [DURATION]` a line, # begins a comment; the command line makes this of all other
// forms (core/lists/). Done a slice at a time, so
// that the relay goes on in between; what is wrong in a line is told and does not stop the others.

import { setImmediate } from "node:timers/promises";
import type { Origin } from "../core/bans/claim.ts";
import { parseBanDuration } from "../core/duration.ts";
import { quoted } from "../core/quoted.ts";
import type { ChangeLine, LineFailure, ListResult } from "./answer.ts";
import type { Operator } from "./operator.ts";
import { inTurns } from "./turns.ts";

/** With the kernel's part about a millisecond. */
const sliceLines = 500;
const failuresTold = 20;

export interface ListOptions {
  /** How long a line's ban lasts that says nothing of it; undefined: the gate's time-out. */
  readonly forMs: number | undefined;
  /** Also what is wider than an operator is allowed without it. */
  readonly force: boolean;
  /** What the list is called; undefined: its bans count as the operator's own. */
  readonly name: string | undefined;
}

export function banList(operator: Operator, text: string, { forMs, force, name }: ListOptions): Promise<ListResult> {
  const origin: Origin = name === undefined ? "operator" : `list:${name}`;
  return inSlices(text, forMs, (slice, failures) => operator.banSlice(slice, origin, force, failures));
}

export function liftList(operator: Operator, text: string): Promise<ListResult> {
  return inSlices(text, undefined, (slice, failures) => inTurns(operator.liftSlice(slice, failures)));
}

async function inSlices(
  text: string,
  forMs: number | undefined,
  carryOut: (slice: readonly ChangeLine[], failures: LineFailure[]) => number | Promise<number>,
): Promise<ListResult> {
  const failures: LineFailure[] = [];
  const lines = text.split("\n");
  let done = 0;
  for (let start = 0; start < lines.length; start += sliceLines) {
    const slice = parseLines(lines.slice(start, start + sliceLines), start + 1, forMs, failures);
    done += await carryOut(slice, failures);
    await setImmediate();
  }
  const failed = failures.sort((a, b) => a.line - b.line);
  const failedLines = failed.map(({ line }) => line);
  return { done, failed: failed.length, failures: failed.slice(0, failuresTold), failedLines };
}

function parseLines(
  lines: readonly string[],
  firstNumber: number,
  forMs: number | undefined,
  failures: LineFailure[],
): ChangeLine[] {
  const parsed: ChangeLine[] = [];
  let number = firstNumber - 1;
  for (const line of lines) {
    number++;
    if (line !== "" && !/[\s#]/.test(line)) {
      parsed.push({ number, text: line, forMs });
      continue;
    }
    const [address = "", duration, ...rest] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (address === "") continue;
    const ownMs = duration === undefined ? forMs : parseBanDuration(duration);
    const isGood = rest.length === 0 && (duration === undefined || ownMs !== undefined);
    if (isGood) parsed.push({ number, text: address, forMs: ownMs });
    else failures.push({ line: number, message: badLine([duration, ...rest].join(" ")) });
  }
  return parsed;
}

function badLine(behindAddress: string): string {
  return `Invalid duration ${quoted(behindAddress)}: expected such as 30s, 10m, 1h30m or ever, and nothing behind it`;
}
