// SPDX-License-Identifier: Apache-2.0
// What must hold of any input: no throw, no hang, no verdict that changes with the cut. Each check
// returns what the input exercised, so that the fuzzer knows whether it is a new one.
import { parse as parseToml } from "smol-toml";
import { ciphers, loadSniffer } from "../../src/config/profile.ts";
import { requirePrefix } from "../../src/core/address.ts";
import { learn } from "../../src/core/learn/learn.ts";
import { parseRecording, type Recording, recordingLine } from "../../src/core/learn/recording.ts";
import { replay } from "../../src/core/learn/replay.ts";
import { compileProfile } from "../../src/core/profile/compiled_profile.ts";
import { profileLibrary } from "../../src/core/profile/library.ts";
import { type ProfileSource, parseProfile } from "../../src/core/profile/profile.ts";
import { createSniffer } from "../../src/core/profile/sniffer.ts";
import { parseProxyHeader, version2Limit } from "../../src/core/proxy_protocol/header.ts";
import { tableOf } from "../../src/core/signature/table.ts";
import type { Sniffer } from "../../src/core/sniff.ts";
import { profileText } from "../../src/learning/learned_profile.ts";
import { runTable } from "../core/signature/table_reader.ts";

const tapetrack = loadSniffer("tapetrack");
const opaque = loadSniffer("opaque");
const sniffers = [...profileLibrary.keys()].map(loadSniffer);

/** Every profile, every cut. */
export function checkBytes(bytes: Uint8Array): string {
  return sniffers.map((sniffer) => checkCuts(sniffer, bytes)).join(" ");
}

/** @throws Error when a cut gets another verdict. @returns the verdict, and about where it fell. */
function checkCuts(sniffer: Sniffer, bytes: Uint8Array): string {
  const whole = JSON.stringify(sniffer.sniff(bytes, true));
  let decidedAt = -1;
  for (let length = 0; length <= bytes.length; length++) {
    const verdict = sniffer.sniff(bytes.subarray(0, length), false);
    if (verdict.kind === "more") {
      if (decidedAt >= 0) throw new Error(`${sniffer.profile} takes back at ${length} what it said at ${decidedAt}`);
      if (length > sniffer.prefixBytes && sniffer.sniff(bytes.subarray(0, length), true).kind !== "more") {
        throw new Error(`${sniffer.profile} is open at ${length}, beyond its prefix of ${sniffer.prefixBytes}`);
      }
      continue;
    }
    if (decidedAt < 0) decidedAt = length;
    if (JSON.stringify(verdict) !== whole)
      throw new Error(`${sniffer.profile} says ${JSON.stringify(verdict)} at ${length} and ${whole} of all`);
  }
  return `${whole}@${decidedAt < 0 ? "end" : Math.ceil(Math.log2(decidedAt + 1))}`;
}

/**
 * A PROXY protocol header: whatever came, one answer, which later bytes do not change, and which stands for all that
 * is held. @throws Error otherwise.
 */
export function checkProxyHeader(bytes: Uint8Array): string {
  let answer: ReturnType<typeof parseProxyHeader> = { kind: "more" };
  for (let length = 0; length <= bytes.length; length++) {
    const next = parseProxyHeader(bytes.subarray(0, length));
    if (answer.kind !== "more" && next.kind !== answer.kind)
      throw new Error(`It is ${next.kind} at ${length}, and was ${answer.kind} before`);
    if (answer.kind === "header" && JSON.stringify(next) !== JSON.stringify(answer))
      throw new Error(`The header changes at ${length}`);
    answer = next;
    if (answer.kind === "more" && length >= version2Limit) throw new Error(`It is open at ${length}`);
    if (answer.kind !== "header") continue;
    if (answer.length > length) throw new Error(`A header of ${answer.length} bytes is read of ${length}`);
    // What is read is an address: the time-out table takes no other.
    for (const { address } of Object.values(answer.client ?? {})) requirePrefix(address);
  }
  return answer.kind === "invalid" ? answer.reason.replaceAll(/\d+/g, "") : answer.kind;
}

/** Any JSON as a profile; a valid one is run over some streams, and its table beside it. */
export function checkProfile(source: unknown, streams: readonly Uint8Array[]): string {
  const parsed = parseProfile(source, "fuzz", ciphers);
  if (parsed.kind === "invalid") {
    return [...new Set(parsed.problems.map(({ message }) => message.replaceAll(/"[^"]*"|\d+/g, "")))].sort().join("|");
  }
  const sniffer = createSniffer(compileProfile(parsed.profile));
  const table = tableOf(parsed.profile);
  for (const bytes of streams) {
    checkCuts(sniffer, bytes);
    if (table.kind === "table") runTable(table.table.bytes, bytes);
  }
  const kinds = new Set(
    parsed.profile.expect.flatMap((alternative) =>
      alternative.map(({ test, negated, relative }) => `${test.kind}${negated}${relative}`),
    ),
  );
  return `valid ${table.kind} ${[...kinds].sort().join(" ")}`;
}

/** Reading, replaying and learning. @throws Error when a verdict depends on the cut, or a friend would be refused. */
export function checkRecordings(lines: readonly string[]): string {
  const recordings: Recording[] = [];
  let invalid = 0;
  for (const line of lines) {
    const result = parseRecording(line);
    if (result.kind === "recording") recordings.push(result.recording);
    else invalid++;
  }
  for (const recording of recordings) {
    replay(recording, tapetrack, opaque);
    new Date(recording.atMs).toISOString();
    const again = parseRecording(recordingLine(recording));
    if (again.kind === "invalid") throw new Error(`A recording is not read back: ${again.message}`);
  }
  const learned = learn(recordings, "fuzz", ciphers);
  if (learned.kind === "nothing") return `${invalid > 0} ${learned.message.replaceAll(/\d+/g, "")}`;
  const sniffer = loadSource(learned.profile);
  for (const recording of recordings) replay(recording, tapetrack, sniffer);
  if (learned.report.wrongly > 0) throw new Error("A learned profile refuses what the server accepted");
  return `${invalid > 0} ${learned.report.findings.map((finding) => finding.replaceAll(/\b[0-9a-f]{1,4}\b|".*"/g, "")).join("|")}`;
}

/** As a file of it would be loaded. */
function loadSource(profile: ProfileSource): Sniffer {
  const [variety, leftOut] = [
    { connections: 0, sources: 0, sessions: 0 },
    { sources: 0, banned: 0 },
  ];
  const counts = { samples: 0, wrongly: 0, refused: 0, relayed: 0 };
  const text = profileText("fuzz.toml", profile, { findings: [], missing: [], ...counts, variety, leftOut });
  const parsed = parseProfile(parseToml(text), "fuzz", ciphers);
  if (parsed.kind === "invalid")
    throw new Error(`A learned profile cannot be loaded: ${JSON.stringify(parsed.problems)}`);
  return createSniffer(compileProfile(parsed.profile));
}
