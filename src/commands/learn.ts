// SPDX-License-Identifier: Apache-2.0
// `ttgate learn`: derives a profile from what clients send and what the server makes of it, observing
// between them, or from recordings.
import process from "node:process";
import { type Command, helpFlag, helpText, jsonFlag } from "../cli/command.ts";
import type { CommandLine } from "../cli/command_line.ts";
import { configFlags } from "../cli/config_flags.ts";
import type { Env } from "../cli/env.ts";
import { formatServer } from "../config/endpoints.ts";
import { soleGate } from "../config/gates.ts";
import { loadConfig } from "../config/load.ts";
import { options } from "../config/options.ts";
import { ciphers } from "../config/profile.ts";
import { formatEndpoint } from "../core/address.ts";
import { formatDuration, parseDuration } from "../core/duration.ts";
import { type LearnReport, learn as learnFrom, leastSamples } from "../core/learn/learn.ts";
import type { ProfileSource } from "../core/profile/profile.ts";
import { Failure } from "../failure.ts";
import { requireWritable, writeWhole } from "../host/atomic_file.ts";
import { profileNameOf, profileText, requireProfileName, trialOf } from "../learning/learned_profile.ts";
import { keptConnections, Sample } from "../learning/sample.ts";
import { type Log, openLog } from "../log.ts";
import { Recorder } from "../recording/recorder.ts";
import { readRecordings } from "../recording/recording_file.ts";
import { currentRuntime } from "../runtime/select.ts";

const defaultDuration = "24h";

const flags = {
  output: { short: "o", value: "FILE", help: "where the profile goes: FILE.toml or FILE.json" },
  force: { help: "replace FILE if it exists" },
  upstream: options.upstream,
  listen: options.listen,
  for: { value: "DURATION", help: `how long to observe (default ${defaultDuration}, without --connections)` },
  connections: { value: "N", help: "observe until the server has accepted N connections" },
  record: { value: "FILE", help: "also append what was observed to FILE; it holds clients' data" },
  "record-max": options["record-max"],
  config: { ...configFlags.config, help: "listen, upstream and limits are taken from it; flags win" },
  json: jsonFlag,
  help: helpFlag,
} as const;

const head = `Usage: ttgate learn [options] -o FILE
       ttgate learn [options] -o FILE RECORDING...

Stands between clients and server as "ttgate run" does, but relays everybody and bans nobody. Of each
connection it keeps the first bytes and how the server reacted: it answered and stayed, or it hung up
without sending a byte. From these it derives a profile that accepts every connection that the server
accepted (at least ${leastSamples}), and explains what it found. Ctrl-C or SIGTERM ends it early; the profile is then
derived from what there is. At most ${keptConnections} connections of each kind are kept in memory, sampled evenly.

Each source is left out in turn, to find out how many of them the others' profile would have banned. A
profile that rests on too few sources or sessions says what is missing; "ttgate run" enforces it after a
--trial only, or with --enforce-unproven.

With RECORDINGs (--record of "ttgate run" or of this command; - is standard input) it learns from these.`;

const exitCodes = {
  0: "the profile is written",
  1: "nothing could be learned, or a line of a recording is not valid",
  2: "usage error, or FILE exists",
} as const;

const exitNothing = 1;

export const learn: Command = {
  name: "learn",
  usage: "-o FILE",
  about: "derive a profile from real traffic or recordings",
  flags,
  help: helpText(head, flags, exitCodes),
  run: learnProfile,
};

/** @returns the exit code. */
async function learnProfile({ flags, positionals: files }: CommandLine, env: Env): Promise<number> {
  const output = flags["output"];
  if (typeof output !== "string" || output === "") {
    throw new Failure('Learn a profile: no file is given; say -o FILE.toml, see "ttgate learn --help"', {
      exitCode: 2,
    });
  }
  const replace = flags["force"] === true;
  requireProfileName(output);
  requireWritable(output, replace);
  const sample = new Sample();
  const invalid = files.length > 0 ? await readAll(files, flags, sample, env) : await lookOn(flags, sample);
  const result = learnFrom(sample.recordings(), profileNameOf(output), ciphers);
  const json = flags["json"] === true;
  if (result.kind === "nothing") {
    if (json) env.stdout.line(JSON.stringify({ learned: false, reason: result.message, ...sample.counts, invalid }));
    env.stderr.line(`ttgate: Learn a profile: ${result.message}`);
    return exitNothing;
  }
  const { profile, report } = result;
  const text = profileText(output, profile, report);
  try {
    writeWhole(output, text, replace);
  } catch (error) {
    // What took a day must not be lost to a full disk.
    env.stdout.line(text.trimEnd());
    throw error;
  }
  env.stdout.line(json ? asJson(output, profile, report, sample) : inWords(output, report, sample));
  return invalid > 0 ? exitNothing : 0;
}

function asJson(file: string, profile: ProfileSource, report: LearnReport, sample: Sample): string {
  return JSON.stringify({ learned: true, file, ...sample.counts, ...report, profile });
}

function inWords(file: string, report: LearnReport, sample: Sample): string {
  const { accepted, unknown, silent } = sample.counts;
  const thinned = sample.isThinned ? ", sampled evenly from all" : "";
  return [
    `Learned from ${report.samples} of ${accepted} connections that the server accepted${thinned}:`,
    ...[...report.findings, ...trialOf(report)].map((line) => `  ${line}`),
    `Not used: ${unknown} without a clear reaction of the server, ${silent} that sent nothing`,
    `Wrote "${file}"; "ttgate run -p ${file} --trial 24h" observes with it for a day, and enforces it if no good client would have been banned`,
  ].join("\n");
}

type Flags = CommandLine["flags"];

/** @returns how many lines were not a recording. */
async function readAll(files: readonly string[], flags: Flags, sample: Sample, env: Env): Promise<number> {
  const live = ["upstream", "listen", "for", "connections", "record", "record-max", "config"].find(
    (name) => flags[name] !== undefined,
  );
  if (live !== undefined) {
    const remedy = "drop it, or the recordings";
    throw new Failure(`Invalid --${live}: it has no meaning for recordings; ${remedy}`, { exitCode: 2 });
  }
  let invalid = 0;
  for (const file of files) {
    for await (const line of readRecordings(file, env.stdin)) {
      if (line.kind === "recording") {
        sample.add(line.recording);
        continue;
      }
      invalid++;
      env.stderr.line(`${file}:${line.line}: ${line.message}`);
    }
  }
  return invalid;
}

/** Until the time is over, enough was seen, or a signal comes. @returns 0. */
async function lookOn(flags: Flags, sample: Sample): Promise<0> {
  const { output: _o, force: _f, for: duration, connections, json: _j, help: _h, config: file, ...given } = flags;
  // Between the two it has to relay, however the gate is run otherwise.
  const config = soleGate(loadConfig({ ...given, mode: "proxy" }, typeof file === "string" ? file : undefined));
  const wanted = connections === undefined ? Number.POSITIVE_INFINITY : wholeNumber(String(connections));
  const forMs = durationOf(duration, connections !== undefined);
  const log = openLog("text");
  const recorder =
    given["record"] === undefined
      ? undefined
      : new Recorder({ file: String(given["record"]), limitBytes: config["record-max"] * 1024 * 1024, log });
  const enough = Promise.withResolvers<string>();
  let isOver = false;
  const runtime = await currentRuntime();
  const { openLearning } = await import("../learning/learning.ts");
  const learning = await openLearning({
    ...{ config, runtime, log },
    seen: (exchange) => {
      if (isOver) return;
      sample.add(exchange.recording);
      recorder?.record(exchange.recording);
      const { accepted } = sample.counts;
      if (exchange.recording.server === "accepted" && accepted === leastSamples)
        log("info", `The server accepted ${accepted} connections: enough for a profile; more make it surer`);
      if (accepted >= wanted) enough.resolve(`the server accepted ${accepted} connections`);
    },
  });
  const { host, port } = config.listen;
  const upstream = config.upstream.map(formatServer).join(", ");
  const end = [
    ...(Number.isFinite(wanted) ? [`the server has accepted ${wanted} connections`] : []),
    ...(forMs === undefined ? [] : [`${formatDuration(forMs)} are over`]),
  ].join(" or ");
  log("info", `Learning on ${formatEndpoint({ address: host, port })}, upstream ${upstream}: everybody is relayed`);
  log("info", `Learning until ${end}; Ctrl-C ends it early`);
  const progress = tellProgress(sample, log);
  const why = await Promise.race([enough.promise, signal(), timeIsOver(forMs)]);
  isOver = true;
  clearInterval(progress);
  log("info", `Learning ends: ${why}; ${countsText(sample)}`);
  learning.close();
  await recorder?.close();
  return 0;
}

/** Unless told how long or how many, as long as it takes to see a day's kinds of clients. */
function durationOf(given: unknown, hasCount: boolean): number | undefined {
  if (given === undefined && hasCount) return undefined;
  const text = String(given ?? defaultDuration);
  const forMs = parseDuration(text);
  if (forMs !== undefined) return forMs;
  throw new Failure(`Invalid --for "${text}": expected a duration such as 30m or 24h`, { exitCode: 2 });
}

function wholeNumber(text: string): number {
  if (/^\d{1,9}$/.test(text) && Number(text) >= leastSamples) return Number(text);
  const reason = `expected a whole number, at least ${leastSamples}`;
  throw new Failure(`Invalid --connections "${text}": ${reason}`, { exitCode: 2 });
}

/** The longest time that a timer takes; beyond it the next one goes on. */
const longestTimerMs = 2 ** 31 - 1;

async function timeIsOver(forMs: number | undefined): Promise<string> {
  let leftMs = forMs ?? Number.POSITIVE_INFINITY;
  while (leftMs > 0) {
    const sliceMs = Math.min(leftMs, longestTimerMs);
    await new Promise((resolve) => setTimeout(resolve, sliceMs));
    leftMs -= sliceMs;
  }
  return "the time is over";
}

function signal(): Promise<string> {
  return new Promise((resolve) => {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => resolve(name));
  });
}

const progressMs = 60_000;

function tellProgress(sample: Sample, log: Log): ReturnType<typeof setInterval> {
  let told = "";
  return setInterval(() => {
    const text = countsText(sample);
    if (text !== told) log("info", `Learning: ${text}`);
    told = text;
  }, progressMs);
}

function countsText(sample: Sample): string {
  const { accepted, refused, unknown, silent } = sample.counts;
  return `the server accepted ${accepted} connections, hung up on ${refused}, did neither with ${unknown}; ${silent} sent nothing`;
}
