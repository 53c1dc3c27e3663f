// SPDX-License-Identifier: Apache-2.0
// Nobody who speaks a profile's protocol is foreign to it, however TCP cut what was sent.
import { describe, expect, test } from "bun:test";
import { loadSniffer } from "../../../src/config/profile.ts";
import { profileLibrary } from "../../../src/core/profile/library.ts";
import { loadFirstMessages } from "../../vectors/conformance.ts";

const messages = loadFirstMessages();
/** Of these nothing is known but that it looks random: tests/vectors/friends.ts. */
const withoutMessages = ["tapetrack", "opaque"];

test("every profile has a list", () => {
  const listed = new Set(messages.map(({ profile }) => profile));
  expect([...profileLibrary.keys()].filter((name) => !withoutMessages.includes(name)).sort()).toEqual(
    [...listed].sort(),
  );
});

describe.each([...new Set(messages.map(({ profile }) => profile))])("%s", (profile) => {
  const sniffer = loadSniffer(profile);
  const own = messages.filter((message) => message.profile === profile);

  test.each(own.map((message) => [message.name, message] as const))("%s", (_, { bytes, source }) => {
    expect(source).not.toBe("");
    expect(sniffer.sniff(bytes, false)).toEqual({ kind: "accept" });
    let isDecided = false;
    for (let length = 0; length <= Math.min(bytes.length, sniffer.prefixBytes); length++) {
      const { kind } = sniffer.sniff(bytes.subarray(0, length), false);
      expect([length, kind]).toEqual([length, isDecided ? "accept" : kind]);
      expect([length, kind]).not.toEqual([length, "foreign"]);
      isDecided = kind === "accept";
      // Cut off here: too little is no evidence.
      expect([length, sniffer.sniff(bytes.subarray(0, length), true).kind]).not.toEqual([length, "foreign"]);
    }
  });
});
