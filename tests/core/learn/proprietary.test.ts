// SPDX-License-Identifier: Apache-2.0
// What was the same for every client of a day need not be the same next year: of clients that come later with
// another version, batch, place or date none may be turned away, and strangers still are.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { recordedBytes } from "../../../src/core/learn/recording.ts";
import { learnFrom } from "../../vectors/learned_friends.ts";
import { laterMs, learnedMs, proprietary, visits } from "../../vectors/proprietary.ts";
import { structured } from "../../vectors/structured.ts";
import { loadVectors } from "../../vectors/vectors.ts";

setDefaultTimeout(60_000);

const known = loadVectors().filter(({ bytes }) => bytes.length > 1);

/** These have no byte that a stranger could not have: what ttgate knows is turned away, and nothing else. */
const withoutName = [
  "a length, a type, a customer's number, strings",
  "a version and a length, and no magic",
  "milliseconds first",
  "the server's name",
  "a name and a session",
  "a name, a zero and a key",
  "a map of text",
  "a name in UTF-16",
];

describe.each(proprietary)("%s", (protocol) => {
  const recordings = visits(protocol, learnedMs, 40, 8).map(({ source, atMs, bytes }) => ({
    ...{ source, atMs, bytes: bytes.subarray(0, recordedBytes), totalBytes: bytes.length },
    server: "accepted" as const,
  }));
  const { sniffer, report } = learnFrom(recordings);

  test("who comes later is accepted, however the first packet was cut", () => {
    const turnedAway = laterMs
      .flatMap((startMs) => visits(protocol, startMs, 50, 20))
      .filter(({ bytes }) => {
        for (let length = 1; length < Math.min(bytes.length, 200); length++)
          if (sniffer.sniff(bytes.subarray(0, length), false).kind === "foreign") return true;
        return sniffer.sniff(bytes, true).kind !== "accept";
      });
    expect(turnedAway.map(({ bytes }) => bytes.toHex().slice(0, 80))).toEqual([]);
  });

  test("strangers are not", () => {
    const accepted = known.filter(({ bytes }) => sniffer.sniff(bytes, true).kind === "accept");
    // One whose header is that of a friend, such as another protocol that begins with the same two bytes.
    expect(accepted.length).toBeLessThanOrEqual(8);
    const others = structured.filter(({ bytes }) => sniffer.sniff(bytes, true).kind === "accept");
    expect([protocol, others.length <= 4 || withoutName.includes(protocol) || /text|decimal/.test(protocol)]).toEqual([
      protocol,
      true,
    ]);
  });

  test("what is not asked for is said, and why", () => {
    const same = report.findings.filter((line) => line.startsWith("The bytes "));
    const asked = report.findings.filter((line) => /^(Of these the|The) rules ask for /.test(line));
    expect(asked.length).toBe(same.length > 0 ? 1 : 0);
  });
});
