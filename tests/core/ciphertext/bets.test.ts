// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { type BetOptions, banLimit, createBets } from "../../../src/core/ciphertext/bets.ts";
import { scoreUnits } from "../../../src/core/ciphertext/scores.ts";
import { ciphertextDefaults } from "../../../src/core/signature/ciphertext.ts";
import { createRandom } from "../../vectors/friends.ts";
import { structured } from "../../vectors/structured.ts";
import { loadVectors } from "../../vectors/vectors.ts";
import { isUniform, type PlainOptions, plainVerdict } from "./plain_bets.ts";

const plainOf = ({ header, shortest, banBits, acceptBits }: BetOptions): PlainOptions => ({
  header,
  shortest,
  limit: banLimit(banBits),
  margin: Math.ceil(acceptBits * scoreUnits),
});

describe.each<[string, BetOptions]>([
  ["a friend of TapeTrack's", ciphertextDefaults],
  ["no header", { header: 0, shortest: 32, banBits: 30, acceptBits: 1 }],
  ["a long packet", { header: 9, shortest: 96, banBits: 45, acceptBits: 0 }],
  ["a lax ban", { header: 16, shortest: 70, banBits: 20, acceptBits: 9.5 }],
])("%s", (_, options) => {
  const bets = createBets(options);
  const plain = plainOf(options);

  function compare(bytes: Uint8Array): "lost" | "uniform" | "open" {
    const expected = plainVerdict(bytes, plain);
    const judged = bets.judge(bytes, bytes.length);
    expect(judged).toBe(expected.kind === "lost" ? -expected.byte : expected.kind === "uniform" ? expected.byte : 0);
    const found = bets.evidence(bytes, bytes.length);
    expect([found?.byte ?? 0, found?.expert]).toEqual(
      expected.kind === "lost" ? [expected.byte, expected.expert?.name] : [0, undefined],
    );
    if (found !== undefined) expect(found.bits).toBeGreaterThanOrEqual(plain.limit / scoreUnits);
    if (bytes.length >= 32 && bytes.length <= 96)
      expect(bets.isUniform(bytes, bytes.length)).toBe(isUniform(bytes, bytes.length, plain));
    return expected.kind;
  }

  test("the lanes say of every packet what plain sums say", () => {
    const seen = { lost: 0, uniform: 0, open: 0 };
    for (const { bytes } of [...loadVectors(), ...structured]) seen[compare(bytes.subarray(0, 120))]++;
    const random = createRandom(options.header + 1);
    for (let count = 0; count < 300; count++) {
      const share = random() % 100;
      const bytes = Uint8Array.from({ length: 20 + (random() % 90) }, () =>
        random() % 100 < share ? 0x61 + (random() % 26) : random() & 255,
      );
      seen[compare(bytes)]++;
    }
    expect(Math.min(seen.lost, seen.uniform, seen.open)).toBeGreaterThan(10);
  });

  test("the header is no evidence, and neither is what comes behind the shortest packet", () => {
    const random = createRandom(7);
    for (let count = 0; count < 2000; count++) {
      const bytes = Uint8Array.from({ length: 140 }, () => random() & 255);
      bytes.fill(count % 2 === 0 ? 0 : 0x41, 0, options.header);
      bytes.fill(0x41, options.shortest);
      expect(bets.lostAt(bytes, bytes.length)).toBe(0);
    }
  });

  test("what is said of a prefix is said of whatever follows it", () => {
    for (const { bytes } of structured.slice(0, 60)) {
      const whole = bets.judge(bytes, bytes.length);
      for (let length = 1; length <= bytes.length; length++) {
        const judged = bets.judge(bytes, length);
        if (judged !== 0) expect([length, judged]).toEqual([Math.max(length, Math.abs(whole)), whole]);
      }
    }
  });
});

/** Clear bytes that begin a packet; the rest is uniform. */
const headers: Readonly<Record<string, (at: number) => number>> = {
  zeros: () => 0,
  ones: () => 0xff,
  text: (at) => "TapeTrack v1.0.0".charCodeAt(at),
  numbers: (at) => (at % 4 === 3 ? at : 0),
};

const friendsOfEach = 25_000;

/** @returns packets of 44 bytes; one buffer, overwritten by the next. */
function createFriends(clear: number, header: (at: number) => number): () => Uint8Array {
  const random = createRandom(clear + 100);
  const bytes = new Uint8Array(44);
  const words = new Uint32Array(bytes.buffer);
  return () => {
    for (let word = 0; word < words.length; word++) words[word] = random();
    for (let at = 0; at < clear; at++) bytes[at] = header(at);
    return bytes;
  };
}

describe("friends of 44 bytes", () => {
  const bets = createBets(ciphertextDefaults);

  /** How many must send more before they are accepted. @throws Error when one loses a bet. */
  function waitingOf(next: () => Uint8Array): number {
    let waiting = 0;
    for (let friend = 0; friend < friendsOfEach; friend++) {
      const bytes = next();
      const judged = bets.judge(bytes, bytes.length);
      if (judged < 0) throw new Error(`A friend is banned: ${bytes.toHex()}`);
      if (judged === 0) waiting++;
    }
    return waiting;
  }

  // docs/verdict.md: the limit is what may wait for more bytes; the count is such that chance stays within it.
  test.each([
    [0, 1e-4],
    [8, 1e-4],
    [12, 5e-4],
    [16, 1.5e-3],
  ])("of 100,000 with %i clear bytes none loses a bet, and few wait", (clear, limit) => {
    for (const [name, header] of Object.entries(headers)) {
      const waiting = waitingOf(createFriends(clear, header));
      expect([name, waiting]).toEqual([name, Math.min(waiting, limit * friendsOfEach)]);
    }
  });
});
