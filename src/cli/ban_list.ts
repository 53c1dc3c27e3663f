// SPDX-License-Identifier: Apache-2.0
// Sends a list of sources from a file to the daemon, for `ttgate ban` and `ttgate lift`: in batches, so that
// its length does not matter, and with each mistake named by its line.
import { createReadStream } from "node:fs";
import { codeOf, Failure, messageOf } from "../failure.ts";
import type { ListResult } from "../sources/answer.ts";
import type { Flag } from "./command_line.ts";
import { type DaemonClient, refusal } from "./daemon_client.ts";
import type { Env } from "./env.ts";

export const listFlag: Flag = {
  value: "FILE",
  help: "read a list: ADDR|CIDR [DURATION] on each line, # begins a comment; - is standard input",
};

/** Characters sent at a time: some 80,000 lines. */
const batchCharacters = 1024 * 1024;
/** More mistakes than these are only counted. */
const shownFailures = 20;

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
  const total = { done: 0, failed: 0, failures: [] as { line: number; message: string }[] };
  let before = 0;
  for await (const lines of batches(file, env)) {
    const result = await sendBatch(daemon, path, lines);
    total.done += result.done;
    total.failed += result.failed;
    for (const { line, message } of result.failures) total.failures.push({ line: before + line, message });
    before += lines.split("\n").length - 1;
    env.stderr.progress?.(`${done} ${total.done}`);
  }
  env.stderr.progress?.("");
  const shown = total.failures.slice(0, shownFailures);
  if (json) {
    env.stdout.line(JSON.stringify({ ...total, failures: shown }));
  } else {
    env.stdout.line(`${done} ${total.done}${total.failed > 0 ? `, ${total.failed} lines refused` : ""}`);
    for (const { line, message } of shown) env.stderr.line(`${file}:${line}: ${message}`);
  }
  return total.failed > 0 ? 1 : 0;
}

async function sendBatch(daemon: DaemonClient, path: string, lines: string): Promise<ListResult> {
  const reply = await daemon.ask("POST", path, lines);
  if (reply.status !== 200) throw refusal(reply);
  return reply.body as ListResult;
}

/** Whole lines, about `batchCharacters` at a time. */
async function* batches(file: string, { stdin }: Env): AsyncGenerator<string> {
  const input = file === "-" ? stdin() : createReadStream(file, { highWaterMark: batchCharacters });
  input.setEncoding("utf8");
  let rest = "";
  try {
    for await (const chunk of input as AsyncIterable<string>) {
      rest += chunk;
      const end = rest.length < batchCharacters ? 0 : rest.lastIndexOf("\n") + 1;
      if (end === 0) continue;
      yield rest.slice(0, end);
      rest = rest.slice(end);
    }
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    throw new Failure(`Cannot read "${file}": ${messageOf(error)}`, { exitCode: 3, cause: error });
  }
  if (rest !== "") yield rest;
}
