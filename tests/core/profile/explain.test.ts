// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import { loadProfile, loadSniffer } from "../../../src/config/profile.ts";
import { createExplainer } from "../../../src/core/profile/explain.ts";
import { loadVectors } from "../../vectors/vectors.ts";

describe.each(["tapetrack", "ssh", "http"])("%s", (profile) => {
  const explain = createExplainer(loadProfile(profile));
  const sniffer = loadSniffer(profile);

  const others = loadVectors().filter(({ bytes }) => sniffer.sniff(bytes, true).kind !== "malformed");

  test("explains each vector by a rule of its protocol, at the byte that decides", () => {
    for (const { name, bytes } of others) {
      const { verdict, protocol, rule, byte, reason, evidence } = explain(bytes);
      const whole = sniffer.sniff(bytes, true);
      expect<unknown>([name, verdict, protocol]).toEqual([
        name,
        whole.kind === "more" ? "undecided" : whole.kind,
        whole.kind === "foreign" ? whole.protocol : null,
      ]);
      expect(reason.length).toBeGreaterThan(10);
      expect(evidence === undefined || evidence.expert === protocol).toBe(true);
      if (evidence !== undefined) expect(rule).toBe("expect");
      else if (protocol !== null && protocol !== "unknown") expect(rule).toStartWith(`${protocol}.rules[`);
      const before = byte ?? bytes.length + 1;
      expect([name, sniffer.sniff(bytes.subarray(0, before - 1), false).kind]).toEqual([name, "more"]);
      if (byte !== null) expect([name, sniffer.sniff(bytes.subarray(0, byte), false)]).toEqual([name, whole]);
    }
  });
});

test("of ciphertext that ends early it says with how few bytes silence is enough", () => {
  const bytes = Uint8Array.fromHex("9f1ce46b0ad37785c2b85e91fd4013a8676ef2199bd05c24e78a31c6b97f0d52f4");
  expect(createExplainer(loadProfile("tapetrack"))(bytes)).toMatchObject({
    verdict: "accept",
    byte: null,
    reason: "ciphertext after at most 16 clear bytes, 44 bytes or more (32 where silence follows), then silence",
  });
});

test.each([
  ["tapetrack", "", "fewer than two bytes, which are evidence against nobody: refused, no strike and no ban"],
  ["tapetrack", "16", "fewer than two bytes, which are evidence against nobody: refused, no strike and no ban"],
  [
    "tapetrack",
    "0000000affff000000010000001c",
    "too few bytes to tell (14 of the 32 that ciphertext takes), and no recogniser is certain: refused, a strike and no ban",
  ],
  [
    "tapetrack",
    "434e436203406104523e43604723290861093563201a4d4f521460586146494e39530a37185a1d02170344042e624b2f",
    "not as random as ciphertext, and no expert and no recogniser is certain: refused, a strike and no ban",
  ],
  ["http", "4745", "neither expected nor known for certain as foreign: refused, no strike and no ban"],
])("%s, undecided of %p: it says what was missing and what becomes of it", (profile, hex, reason) => {
  const explained = createExplainer(loadProfile(profile))(Uint8Array.fromHex(hex));
  expect(explained).toMatchObject({ verdict: "undecided", rule: null, byte: null, reason });
});
