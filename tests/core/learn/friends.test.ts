// SPDX-License-Identifier: Apache-2.0
// Learned profiles on friends and strangers that they were not learned from. The long run over ten
// million friends is tests/bench/learned_friends.ts.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { loadSniffer } from "../../../src/config/profile.ts";
import { seal, type WireVariant } from "../../harness/tapetrack_wire.ts";
import { type FriendShape, friendShape } from "../../vectors/friend_shapes.ts";
import { learnFrom, learnShape, recordingOf, tryFriends } from "../../vectors/learned_friends.ts";
import { bytesOf, loadVectors } from "../../vectors/vectors.ts";

setDefaultTimeout(60_000);

const probes = (
  JSON.parse(readFileSync(`${import.meta.dirname}/../../vectors/probes/nmap.json`, "utf8")) as string[]
).map((hex) => bytesOf(undefined, hex));
const shapes = Array.from({ length: 40 }, (_, number) => friendShape(number));
const vectors = loadVectors();
const refused = vectors.map(({ bytes }) => recordingOf(bytes, "refused"));
const tapetrack = loadSniffer("tapetrack");

describe.each(shapes)("friends: $words", (shape: FriendShape) => {
  test("that were not seen while learning: none is turned away, however cut", () => {
    const count = 1000;
    const { sniffer } = learnShape(shape, 30);
    const all = { count, accepted: count, foreign: 0, undecided: 0, flipped: 0 };
    expect(tryFriends(sniffer, shape.friends(2), count)).toEqual(all);
    expect(tryFriends(tapetrack, shape.friends(2), count)).toEqual(all);
  });

  test("no stranger of the library is relayed, and who is foreign is named", () => {
    const { sniffer, report, profile } = learnShape(shape, 30, refused);
    const { tolerate = [] } = profile;
    expect(["", "wireguard"]).toContain(tolerate.join());
    for (const { protocol, name, bytes } of vectors.filter((vector) => !tolerate.includes(vector.protocol))) {
      const sniffed = sniffer.sniff(bytes, true);
      // Of a few bytes that may be a number at the beginning of a friend's header nobody can say more.
      if (sniffed.kind === "more") expect([name, bytes.length < 24]).toEqual([name, true]);
      else expect([name, sniffed]).toEqual([name, { kind: "foreign", protocol }]);
    }
    expect([report.wrongly, report.refused, report.relayed]).toEqual([0, vectors.length, tolerate.length]);
  });
});

test("a header of four constant bytes leaves no stranger of the library undecided", () => {
  const shape = shapes.find(({ words }) => /^[0-9a-f]{2}( [0-9a-f]{2}){3}/.test(words));
  if (shape === undefined) throw new Error("No shape has such a header");
  const { sniffer } = learnShape(shape, 30);
  // One byte is no evidence.
  const wrong = vectors
    .filter(({ bytes }) => bytes.length > 1)
    .flatMap(({ protocol, name, bytes }) => {
      const sniffed = sniffer.sniff(bytes, true);
      return sniffed.kind === "foreign" && sniffed.protocol === protocol ? [] : [{ protocol, name, sniffed }];
    });
  expect(wrong).toEqual([]);
});

describe.each<WireVariant>(["bare", "length"])("the stand-in's %s packets", (variant) => {
  const samples = Array.from({ length: 60 }, (_, index) => recordingOf(packet(40 + index * 7, variant), "accepted"));
  const { sniffer } = learnFrom(samples);

  test("no probe of nmap is relayed", () => {
    expect(probes.filter((bytes) => sniffer.sniff(bytes, true).kind === "accept")).toEqual([]);
  });

  test("friends are, those with fewer bytes than were ever seen once they are silent", () => {
    for (let size = 0; size < 2000; size++) {
      const bytes = packet(size, variant);
      expect([size, sniffer.sniff(bytes, bytes.length < 80)]).toEqual([size, { kind: "accept" }]);
    }
  });
});

function packet(size: number, variant: WireVariant): Uint8Array {
  return Uint8Array.from(seal(randomBytes(size), variant));
}
