// SPDX-License-Identifier: Apache-2.0
// Sends a list of sources from a file to the daemon, for `ttgate ban` and `ttgate lift`: in batches, so that its length
// does not matter, in the daemon's own form whatever form the file has, and with each mistake named by its line.
import { createReadStream } from "node:fs";
import { spellDuration } from "../core/duration.ts";
import type { ListEntry } from "../core/lists/entry.ts";
import { ListReader } from "../core/lists/list_reader.ts";
import { codeOf, Failure, messageOf } from "../failure.ts";
import type { LineFailure, ListResult } from "../sources/answer.ts";
import type { Flag } from "./command_line.ts";
import { type DaemonClient, refusal } from "./daemon_client.ts";
import type { Env } from "./env.ts";

export const listFlag: Flag = {
  value: "FILE",
  help: "read a list, ADDR|CIDR|FIRST-LAST [DURATION] on each line, or one of Spamhaus, FireHOL, cscli, ipset or nft (docs/lists.md); - is standard input",
};

/** Characters sent at a time: some 80,000 lines. */
const batchCharacters = 1024 * 1024;
/** The mistakes of more lines than these are not spelled out. */
const shownFailures = 20;
/** After so many what is read is no list. */
const mostFailed = 100_000;
/** A million elements of "nft -j list set", which are one line. */
const longestLine = 128 * 1024 * 1024;
/** The most that --max-bans takes. */
const mostLines = 16_777_216;

export interface BanList {
  readonly daemon: DaemonClient;
  /** A path, or - for standard input. */
  readonly file: string;
  /** Where the daemon takes it. */
  readonly path: string;
  /** What has been done with a line that was taken: `Banned`. */
  readonly done: string;
  readonly json: boolean;
}

/** @returns the exit code: 1 when a line of it was refused. */
export async function sendList({ daemon, file, path, done, json }: BanList, env: Env): Promise<number> {
  const total = { done: 0, failures: [] as LineFailure[], failedLines: new Set<number>() };
  try {
    await sendBatches({ daemon, file, path, done }, total, env);
  } catch (error) {
    if (total.done > 0) env.stderr.line(`${done} ${total.done} before that`);
    throw error;
  } finally {
    env.stderr.progress?.("");
  }
  const failedLines = [...total.failedLines].sort((a, b) => a - b);
  const failed = failedLines.length;
  const shown = total.failures;
  if (json) {
    env.stdout.line(JSON.stringify({ done: total.done, failed, failures: shown, failedLines }));
    return failed > 0 ? 1 : 0;
  }
  env.stdout.line(`${done} ${total.done}${failed > 0 ? `, ${failed} lines refused` : ""}`);
  for (const { line, message } of shown) env.stderr.line(`${file}:${line}: ${message}`);
  const spelledOut = new Set(shown.map(({ line }) => line));
  const others = failedLines.filter((line) => !spelledOut.has(line));
  if (others.length > 0) env.stderr.line(`${file}: refused as well: lines ${spans(others)}`);
  return failed > 0 ? 1 : 0;
}

/** What became of a list so far. */
interface Total {
  done: number;
  /** The first of them. */
  readonly failures: LineFailure[];
  readonly failedLines: Set<number>;
}

/** @throws Failure when it cannot be read, or is none. */
async function sendBatches({ daemon, file, path, done }: Omit<BanList, "json">, total: Total, env: Env): Promise<void> {
  for await (const batch of batches(file, env)) {
    const { failures, failedLines, ...result } = await sendBatch(daemon, path, batch.lines);
    const lineOf = (line: number) => batch.numbers[line - 1] ?? 0;
    total.done += result.done;
    const told = [...batch.mistakes, ...failures.map(({ line, message }) => ({ line: lineOf(line), message }))];
    total.failures.push(...told.sort((a, b) => a.line - b.line).slice(0, shownFailures - total.failures.length));
    for (const { line } of batch.mistakes) total.failedLines.add(line);
    for (const line of failedLines) total.failedLines.add(lineOf(line));
    env.stderr.progress?.(`${done} ${total.done}`);
    if (total.failedLines.size > mostFailed) {
      const first = total.failures[0];
      throw noList(file, `${total.failedLines.size} lines are refused, line ${first?.line} for: ${first?.message}`);
    }
  }
}

function noList(file: string, reason: string): Failure {
  return new Failure(`Cannot read "${file}" as a list of sources: ${reason}; docs/lists.md has the forms`, {
    exitCode: 2,
  });
}

/** `3, 5-9`. */
function spans(numbers: readonly number[]): string {
  const found: [first: number, last: number][] = [];
  for (const number of numbers) {
    const before = found.at(-1);
    if (before !== undefined && before[1] === number - 1) before[1] = number;
    else found.push([number, number]);
  }
  return found.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(", ");
}

async function sendBatch(daemon: DaemonClient, path: string, lines: readonly string[]): Promise<ListResult> {
  const reply = await daemon.ask("POST", path, lines.join("\n"));
  if (reply.status !== 200) throw refusal(reply);
  return reply.body as ListResult;
}

interface Batch {
  /** In the daemon's form. */
  readonly lines: string[];
  /** Of the file, from 1: where each of these lines comes from. */
  readonly numbers: number[];
  /** What the daemon is not asked for. */
  readonly mistakes: LineFailure[];
  /** Of lines and mistakes. */
  characters: number;
}

function emptyBatch(): Batch {
  return { lines: [], numbers: [], mistakes: [], characters: 0 };
}

async function* batches(file: string, env: Env): AsyncGenerator<Batch> {
  const reader = new ListReader();
  let batch = emptyBatch();
  let number = 0;
  for await (const line of linesOf(file, env)) {
    number++;
    for (const reading of reader.read(line)) {
      if (reading.kind === "mistake") {
        batch.mistakes.push({ line: number, message: reading.message });
        batch.characters += reading.message.length;
      }
      for (const entry of reading.kind === "mistake" ? [] : reading.entries) {
        const written = spelled(entry);
        batch.lines.push(written);
        batch.numbers.push(number);
        batch.characters += written.length + 1;
        // A line may name a million.
        if (batch.characters < batchCharacters) continue;
        yield batch;
        batch = emptyBatch();
      }
    }
    if (batch.characters < batchCharacters) continue;
    yield batch;
    batch = emptyBatch();
  }
  if (batch.lines.length + batch.mistakes.length > 0) yield batch;
}

function spelled({ source, forMs }: ListEntry): string {
  if (forMs === undefined) return source;
  return `${source} ${Number.isFinite(forMs) ? spellDuration(Math.round(forMs)) : "ever"}`;
}

async function* linesOf(file: string, { stdin }: Env): AsyncGenerator<string> {
  const input = file === "-" ? stdin() : createReadStream(file, { highWaterMark: batchCharacters });
  input.setEncoding("utf8");
  let rest = "";
  let count = 0;
  try {
    for await (const chunk of input as AsyncIterable<string>) {
      if (chunk.includes("\0")) throw noList(file, "it has a byte of zero, give it as UTF-8 text");
      const [first = "", ...others] = chunk.split("\n");
      rest += first;
      if (rest.length > longestLine) throw noList(file, `a line is longer than ${longestLine / 1024 / 1024} MiB`);
      count += others.length;
      if (count > mostLines) throw noList(file, `it has more than ${mostLines} lines, the most that can be banned`);
      if (others.length === 0) continue;
      yield rest;
      rest = others.pop() ?? "";
      yield* others;
    }
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    throw new Failure(`Cannot read "${file}": ${messageOf(error)}`, { exitCode: 3, cause: error });
  }
  if (rest !== "") yield rest;
}
