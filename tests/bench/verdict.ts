// SPDX-License-Identifier: Apache-2.0
// The verdict on ciphertext: how many of ten million friends are banned or have to wait, and what becomes of
// strangers; beside it the heuristic that was published for the same question.

import { readFileSync } from "node:fs";
import process from "node:process";
import { ciphers, loadSniffer } from "../../src/config/profile.ts";
import { createBets } from "../../src/core/ciphertext/bets.ts";
import { compileProfile } from "../../src/core/profile/compiled_profile.ts";
import { parseProfile } from "../../src/core/profile/profile.ts";
import { createSniffer } from "../../src/core/profile/sniffer.ts";
import { ciphertextDefaults } from "../../src/core/signature/ciphertext.ts";
import type { Sniffer } from "../../src/core/sniff.ts";
import { createRandom } from "../vectors/friends.ts";
import { structured } from "../vectors/structured.ts";
import { bytesOf, loadVectors } from "../vectors/vectors.ts";
import { looksEncrypted } from "./published_heuristic.ts";
import { type Bench, type BenchOptions, formatReport, type Report, type Row } from "./report.ts";

const friendCount = 10_000_000;
/** The heuristic is asked of fewer: it misses more. */
const heuristicCount = 200_000;
const packetBytes = 44;

/** Clear bytes, and how many of a million friends may have to send more: docs/verdict.md. */
const headers = [
  { clear: 0, perMillion: 100 },
  { clear: 8, perMillion: 100 },
  { clear: 12, perMillion: 500 },
  { clear: 16, perMillion: 1500 },
];

/** A magic, a version, a length and zeros; what it is matters little. */
const header = bytesOf(undefined, "5454524b000100000000002c00000001");

interface FriendTally {
  readonly banned: number;
  readonly waitPerMillion: number;
  readonly heuristicPerMillion: number;
}

/** @returns what became of so many friends with a header of so many bytes. */
function tryFriends(clear: number, count: number): FriendTally {
  const { judge } = createBets(ciphertextDefaults);
  const random = createRandom(clear + 1);
  const bytes = new Uint8Array(packetBytes);
  const words = new Uint32Array(bytes.buffer);
  let banned = 0;
  let waiting = 0;
  let missed = 0;
  for (let friend = 0; friend < count; friend++) {
    for (let word = 0; word < words.length; word++) words[word] = random();
    for (let at = 0; at < clear; at++) bytes[at] = header[at] ?? 0;
    const judged = judge(bytes, packetBytes);
    if (judged < 0) banned++;
    else if (judged === 0) waiting++;
    if (friend < heuristicCount && !looksEncrypted(bytes)) missed++;
  }
  const heuristicPerMillion = (missed / Math.min(count, heuristicCount)) * 1e6;
  return { banned, waitPerMillion: (waiting / count) * 1e6, heuristicPerMillion };
}

function bareSniffer(): Sniffer {
  const parsed = parseProfile({ expect: { kind: "ciphertext" } }, "bare", ciphers);
  if (parsed.kind === "invalid") throw new Error("The profile of the bench is not valid");
  return createSniffer(compileProfile({ ...parsed.profile, known: [] }));
}

const percent = (packets: readonly Uint8Array[], is: (bytes: Uint8Array) => boolean) =>
  (packets.filter(is).length / packets.length) * 100;

function strangerRows(name: string, packets: readonly Uint8Array[], limits: StrangerLimits): Row[] {
  const bare = bareSniffer();
  const whole = loadSniffer("tapetrack");
  const share = (sniffer: Sniffer, kind: string) =>
    percent(packets, (bytes) => sniffer.sniff(bytes, true).kind === kind);
  const base = { unit: `% of ${packets.length}` };
  const target = (subject: string) => ({ targets: [{ subject, reference: "limit", ratio: 1 }] });
  return [
    {
      ...base,
      ...target("ttgate"),
      metric: `${name}: foreign, without recognisers`,
      better: "higher",
      samples: { ttgate: [share(bare, "foreign")], limit: [limits.foreign] },
    },
    {
      ...base,
      ...target("ttgate"),
      metric: `${name}: accepted, without recognisers`,
      better: "lower",
      samples: {
        ttgate: [share(bare, "accept")],
        heuristic: [percent(packets, looksEncrypted)],
        limit: [limits.accepted],
      },
    },
    {
      ...base,
      ...target("ttgate"),
      metric: `${name}: foreign, with recognisers`,
      better: "higher",
      samples: { ttgate: [share(whole, "foreign")], limit: [limits.foreignKnown] },
    },
    {
      ...base,
      ...target("ttgate"),
      metric: `${name}: accepted, with recognisers`,
      better: "lower",
      samples: { ttgate: [share(whole, "accept")], limit: [limits.acceptedKnown] },
    },
  ];
}

interface StrangerLimits {
  readonly foreign: number;
  readonly accepted: number;
  readonly foreignKnown: number;
  readonly acceptedKnown: number;
}

function nmapProbes(): Uint8Array[] {
  const hexes: string[] = JSON.parse(readFileSync(`${import.meta.dirname}/../vectors/probes/nmap.json`, "utf8"));
  return hexes.map((hex) => bytesOf(undefined, hex));
}

export const verdictBench: Bench = {
  name: "verdict",
  run({ say }: BenchOptions): Promise<Report> {
    const isLong = (bytes: Uint8Array) => bytes.length >= 32;
    const rows: Row[] = [];
    let banned = 0;
    for (const { clear, perMillion } of headers) {
      const tally = tryFriends(clear, friendCount / headers.length);
      banned += tally.banned;
      say(`verdict: ${friendCount / headers.length} friends with ${clear} clear bytes`);
      rows.push({
        metric: `friends with ${clear} clear bytes not accepted at byte ${packetBytes}`,
        unit: "of a million",
        better: "lower",
        samples: {
          ttgate: [tally.waitPerMillion],
          heuristic: [tally.heuristicPerMillion],
          limit: [perMillion],
        },
        targets: [{ subject: "ttgate", reference: "limit", ratio: 1 }],
      });
    }
    rows.unshift({
      metric: "friends banned",
      unit: `of ${friendCount.toLocaleString("en-GB")}`,
      better: "lower",
      samples: { ttgate: [banned], limit: [1] },
      targets: [{ subject: "ttgate", reference: "limit", ratio: 0 }],
    });
    const limits = { foreign: 80, accepted: 8, foreignKnown: 90, acceptedKnown: 2 };
    const vectors = loadVectors().map(({ bytes }) => bytes);
    rows.push(
      ...strangerRows(
        "packets from specifications",
        structured.map(({ bytes }) => bytes),
        limits,
      ),
      ...strangerRows("vectors of the library", vectors.filter(isLong), { ...limits, foreign: 75, accepted: 10 }),
      ...strangerRows("nmap's probes", nmapProbes().filter(isLong), { ...limits, foreignKnown: 100 }),
    );
    return Promise.resolve({
      name: "verdict",
      method: [
        `friends: ${packetBytes} bytes, the clear ones first and then random ones; those not accepted at byte ${packetBytes} are accepted with more bytes or at silence`,
        "strangers: those of 32 bytes and more; packets from specifications are tests/vectors/structured.ts, of no recogniser's making; the vectors without recognisers hold TLS hellos, which are random where it counts",
        "heuristic: what was published on how fully encrypted traffic is told (USENIX Security 2023): bits set in a byte, printable bytes, the first six bytes; accepted is what it takes for encrypted",
      ],
      reference: "limit",
      rows,
    });
  },
};

if (import.meta.main) {
  const report = await verdictBench.run({ rounds: 1, say: (line) => process.stderr.write(`${line}\n`) });
  console.log(formatReport(report));
}
