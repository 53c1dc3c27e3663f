// SPDX-License-Identifier: Apache-2.0
// `ttgate replay`: which recorded connections would another profile judge differently? However TCP had cut
// them, the verdict must be the same.
import { type Command, helpFlag, helpText } from "../cli/command.ts";
import type { Env } from "../cli/env.ts";
import { loadSniffer } from "../config/profile.ts";
import type { Recording } from "../core/learn/recording.ts";
import { type Replay, type Ruling, replay as replayOne } from "../core/learn/replay.ts";
import { defaultProfileName } from "../core/profile/library.ts";
import type { Sniffer } from "../core/sniff.ts";
import { Failure, messageOf } from "../failure.ts";
import { printable } from "../log.ts";
import { readRecordings } from "../recording/recording_file.ts";

const flags = {
  profile: { short: "p", value: "NAME|FILE", help: "the profile to try" },
  against: { value: "NAME|FILE", help: `the profile to compare it with (default ${defaultProfileName})` },
  json: { help: "print JSON: one object for each changed connection, the totals last" },
  help: helpFlag,
} as const;

const head = `Usage: ttgate replay RECORDING... --profile NEW [--against OLD]

Judges recorded connections by two profiles, after every byte, and shows those whose verdict or protocol
changes. RECORDING was made with --record of "ttgate run" or "ttgate learn"; - is standard input.`;

const exitCodes = {
  0: "NEW accepts everything that the server accepted",
  1: "NEW rejects connections that the server accepted, a line is not a recording, or there is none",
  2: "usage error, or a profile that is not valid",
  3: "a recording could not be read, or a verdict depended on how the bytes were cut",
} as const;

interface Sum {
  connections: number;
  changed: number;
  /** Of those that the server accepted, how many NEW does not. */
  wrongly: number;
  /** Of those on which the server hung up, how many NEW accepts. */
  relayed: number;
  invalid: number;
  /** Verdicts that depended on how the bytes were cut: a defect of ttgate. */
  defects: number;
}

export const replay: Command = {
  name: "replay",
  usage: "RECORDING -p NEW",
  about: "how would another profile have judged recorded connections?",
  flags,
  help: helpText(head, flags, exitCodes),
  async run({ flags, positionals: files }, env) {
    const { profile, against = defaultProfileName } = flags;
    if (files.length === 0 || typeof profile !== "string") {
      const missing = files.length === 0 ? "no RECORDING is given" : "no --profile is given";
      throw new Failure(`Replay a recording: ${missing}; see "ttgate replay --help"`, { exitCode: 2 });
    }
    const before = loadSniffer(String(against));
    const after = loadSniffer(profile);
    const json = flags["json"] === true;
    const sum: Sum = { connections: 0, changed: 0, wrongly: 0, relayed: 0, invalid: 0, defects: 0 };
    for (const file of files) {
      for await (const line of readRecordings(file, env.stdin)) {
        const where = `${file}:${line.line}`;
        if (line.kind === "invalid") {
          sum.invalid++;
          env.stderr.line(`${where}: ${line.message}`);
        } else replayRecording(line.recording, { before, after, where, json, env }, sum);
      }
    }
    env.stdout.line(json ? JSON.stringify({ sum }) : sumText(sum, String(against), profile));
    if (sum.defects > 0) return 3;
    if (sum.connections === 0) {
      env.stderr.line("ttgate: Replay a recording: there is no connection in it, so nothing is shown by this");
    }
    return sum.wrongly > 0 || sum.invalid > 0 || sum.connections === 0 ? 1 : 0;
  },
};

interface Trial {
  readonly before: Sniffer;
  readonly after: Sniffer;
  readonly where: string;
  readonly json: boolean;
  readonly env: Env;
}

function replayRecording(recording: Recording, { before, after, where, json, env }: Trial, sum: Sum): void {
  sum.connections++;
  let result: Replay;
  try {
    result = replayOne(recording, before, after);
  } catch (error) {
    sum.defects++;
    env.stderr.line(`${where}: ${messageOf(error)}`);
    return;
  }
  const isAccepted = result.after.verdict === "accept";
  if (recording.server === "accepted" && !isAccepted) sum.wrongly++;
  if (recording.server === "refused" && isAccepted) sum.relayed++;
  if (!result.changed) return;
  sum.changed++;
  const at = new Date(recording.atMs).toISOString();
  if (json) env.stdout.line(JSON.stringify({ where, at, ...result, hex: recording.bytes.subarray(0, 64).toHex() }));
  else
    env.stdout.line(
      `${where}: ${rulingText(result.before)} becomes ${rulingText(result.after)}; ${serverTexts[recording.server]}; "${printable(recording.bytes)}"`,
    );
}

const serverTexts = {
  accepted: "the server accepted it",
  refused: "the server hung up on it",
  unknown: "the server's reaction is unknown",
} as const;

function rulingText({ verdict, protocol, byte, evidence }: Ruling): string {
  const name = protocol === null ? verdict : `${verdict} (${protocol})`;
  const bits = evidence === undefined ? "" : `, by ${evidence.bits.toFixed(1)} bits`;
  return byte === null ? name : `${name} at byte ${byte}${bits}`;
}

function sumText(sum: Sum, old: string, fresh: string): string {
  const { connections, changed, wrongly, relayed, invalid } = sum;
  return [
    `${connections} connections: the verdict on ${changed} changes from ${old} to ${fresh}`,
    `Of those that the server accepted, ${fresh} rejects ${wrongly === 0 ? "none" : wrongly}`,
    `Of those on which the server hung up, ${fresh} accepts ${relayed === 0 ? "none" : relayed}`,
    ...(invalid > 0 ? [`${invalid} lines are not recordings`] : []),
  ].join("\n");
}
