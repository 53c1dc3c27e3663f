// SPDX-License-Identifier: Apache-2.0
// Lists of bans or lifts, `ADDR|CIDR [DURATION]` a line, # begins a comment. Done a slice at a time, so
// that the relay goes on in between; what is wrong in a line is told and does not stop the others.
import { setImmediate } from "node:timers/promises";
import { parseBanDuration } from "../core/duration.ts";
import type { ChangeLine, LineFailure, ListResult } from "./answer.ts";
import type { Banning } from "./banning.ts";

/** With the kernel's part about 2 ms. */
const sliceLines = 1000;
const failuresTold = 20;

export function banList(
  banning: Banning,
  text: string,
  forMs: number | undefined,
  force: boolean,
): Promise<ListResult> {
  return inSlices(text, forMs, (slice, failures) => banning.operatorSlice(slice, force, failures));
}

export function liftList(banning: Banning, text: string): Promise<ListResult> {
  return inSlices(text, undefined, (slice, failures) => banning.liftSlice(slice, failures));
}

async function inSlices(
  text: string,
  forMs: number | undefined,
  carryOut: (slice: readonly ChangeLine[], failures: LineFailure[]) => number,
): Promise<ListResult> {
  const failures: LineFailure[] = [];
  const lines = text.split("\n");
  let done = 0;
  for (let start = 0; start < lines.length; start += sliceLines) {
    const slice = parseLines(lines.slice(start, start + sliceLines), start + 1, forMs, failures);
    done += carryOut(slice, failures);
    await setImmediate();
  }
  const first = failures.sort((a, b) => a.line - b.line).slice(0, failuresTold);
  return { done, failed: failures.length, failures: first };
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
  return `Invalid duration "${behindAddress}": expected such as 30s, 10m, 1h30m or ever, and nothing behind it`;
}
