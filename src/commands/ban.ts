// SPDX-License-Identifier: Apache-2.0
// `ttgate ban` and `ttgate lift`: change the time-out table of the gate that runs, one source or a list.
import { createReadStream } from "node:fs";
import process from "node:process";
import { type Control, refusal } from "../control.ts";
import { formatDuration } from "../core/duration.ts";
import { codeOf, Failure, messageOf } from "../failure.ts";
import type { ListResult } from "../sources/answer.ts";
import type { BanView } from "../status/snapshot.ts";
import { type Asking, asking, flagsOf } from "./reading.ts";

const from = { value: "FILE", help: "a list, ADDR|CIDR [DURATION] a line, # begins a comment; - is stdin" };

const banShape = {
  name: "ban",
  operands: "ADDR|CIDR",
  count: 1,
  about: "Bans a source. ADDR is the source it belongs to: an IPv6 address means its network of the ban prefix.",
  flags: {
    for: { short: "f", value: "DURATION", help: "such as 1h, or ever (default: the gate's --timeout)" },
    from,
    force: { help: "ban also what is wider than /16 (IPv6 /32)" },
  },
};

const liftShape = {
  name: "lift",
  operands: "ADDR|CIDR",
  count: 1,
  about: "Ends the ban of a source; with CIDR also every ban inside it.",
  flags: { from },
};

export const banFlags = flagsOf(banShape);
export const liftFlags = flagsOf(liftShape);

/** Sent at a time: some 80,000 lines. */
const batchCharacters = 1024 * 1024;

export async function ban(args: readonly string[]): Promise<number> {
  const call = asking(args, banShape);
  if (call === undefined) return 0;
  const duration = call.flags["for"];
  const force = call.flags["force"] === true;
  if (typeof call.flags["from"] === "string") {
    const query = new URLSearchParams({
      force: String(force),
      ...(typeof duration === "string" ? { for: duration } : {}),
    });
    return list(call, call.flags["from"], `/bans/list?${query}`, "Banned");
  }
  const reply = await call.control.ask("POST", "/bans", { address: call.positionals[0], for: duration, force });
  if (reply.status !== 201) throw refused(refusal(reply), reply.status);
  const view = reply.body as BanView;
  const left = view.remainingSeconds === null ? "ever" : formatDuration(view.remainingSeconds * 1000);
  console.log(call.json ? JSON.stringify(view) : `Banned ${view.source} for ${left}`);
  return 0;
}

export async function lift(args: readonly string[]): Promise<number> {
  const call = asking(args, liftShape);
  if (call === undefined) return 0;
  if (typeof call.flags["from"] === "string") return list(call, call.flags["from"], "/lifts/list", "Lifted");
  const reply = await call.control.ask("DELETE", `/bans/${encodeURIComponent(call.positionals[0] ?? "")}`);
  if (reply.status !== 200) throw refused(refusal(reply), reply.status);
  const { lifted } = reply.body as { lifted: readonly string[] };
  console.log(call.json ? JSON.stringify({ lifted }) : `Lifted ${lifted.join(", ")}`);
  return 0;
}

/** Sends a list in batches. @returns 1 when a line of it was refused. */
async function list(call: Asking, file: string, path: string, verb: string): Promise<number> {
  const total = { done: 0, failed: 0, failures: [] as { line: number; message: string }[] };
  let before = 0;
  for await (const lines of batches(file)) {
    const result = await sent(call.control, path, lines);
    total.done += result.done;
    total.failed += result.failed;
    for (const { line, message } of result.failures) total.failures.push({ line: before + line, message });
    before += lines.split("\n").length - 1;
    if (process.stderr.isTTY) process.stderr.write(`\r${verb} ${total.done}`);
  }
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  const told = total.failures.slice(0, 20);
  if (call.json) console.log(JSON.stringify({ ...total, failures: told }));
  else console.log(`${verb} ${total.done}${total.failed > 0 ? `, ${total.failed} lines refused` : ""}`);
  if (!call.json) for (const { line, message } of told) process.stderr.write(`${file}:${line}: ${message}\n`);
  return total.failed > 0 ? 1 : 0;
}

async function sent(control: Control, path: string, lines: string): Promise<ListResult> {
  const reply = await control.ask("POST", path, lines);
  if (reply.status !== 200) throw refused(refusal(reply), reply.status);
  return reply.body as ListResult;
}

/** Whole lines, about `batchCharacters` of them at a time. */
async function* batches(file: string): AsyncGenerator<string> {
  const input = file === "-" ? process.stdin : createReadStream(file, { highWaterMark: batchCharacters });
  input.setEncoding("utf8");
  let rest = "";
  try {
    for await (const chunk of input) {
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

/** 400: the value is wrong, a usage error. Anything else was understood and refused. */
function refused(message: string, status: number): Failure {
  return new Failure(message, { exitCode: status === 400 ? 2 : 3 });
}
