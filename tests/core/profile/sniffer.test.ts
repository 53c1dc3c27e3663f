// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { loadSniffer } from "../../../src/config/profile.ts";
import { profileLibrary } from "../../../src/core/profile/library.ts";
import { recognisers } from "../../../src/core/signature/recogniser.ts";
import type { Sniff } from "../../../src/core/sniff.ts";
import { createFriends, createRandom } from "../../vectors/friends.ts";
import { createNumberHeaders } from "../../vectors/number_headers.ts";
import { bytesOf, loadVectors } from "../../vectors/vectors.ts";

const vectors = loadVectors();
const tapetrack = loadSniffer("tapetrack");

/** Feeds every prefix; what was said once must be said to the end. */
function verdictOfAllCuts(bytes: Uint8Array): { final: Sniff; decidedAt: number } {
  const whole = tapetrack.sniff(bytes, true);
  let decidedAt = bytes.length + 1;
  for (let length = bytes.length; length >= 0; length--) {
    const verdict = tapetrack.sniff(bytes.slice(0, length), false);
    if (verdict.kind === "more") continue;
    expect<unknown>({ length, ...verdict }).toEqual({ length, ...whole });
    expect(decidedAt - length).toBe(1);
    decidedAt = length;
  }
  return { final: whole, decidedAt };
}

/** What the profile tolerates, because friends would have to wait; other profiles know it (profile_library.test.ts). */
const tolerated = new Set(profileLibrary.get("tapetrack")?.tolerate);

/** Of fewer than 30 bits, and told by the client's silence alone: a friend that was cut off could have sent them. */
const short = [
  "dlms: SNRM",
  "erlang: names",
  "lpd: queue state of any queue, and silence",
  "minecraft: list ping of 1.4, and silence",
  "openflow: hello of version 1.0",
  "socks: curl socks4",
  "socks: curl socks5",
  "socks: curl socks5 with a user",
  "socks: nmap, Socks4",
  "telnet: one refusal, and silence",
  "text: 16 letters without a line end, and silence",
  "text: gopher selector, and silence",
  "text: hi, and silence",
  "text: nmap, NessusTPv12",
  "text: two lines, and silence",
];

describe("strangers", () => {
  // One byte is no evidence: near.test.ts.
  const known = vectors.filter(({ protocol, bytes }) => !tolerated.has(protocol) && bytes.length > 1);
  const isShort = ({ protocol, name }: (typeof vectors)[number]) => short.includes(`${protocol}: ${name}`);
  const judged = known.filter((vector) => !isShort(vector));

  test.each(short)("%s is a strike", (name) => {
    const found = known.find((vector) => `${vector.protocol}: ${vector.name}` === name);
    expect(tapetrack.sniff(found?.bytes ?? new Uint8Array(0), true)).toEqual({ kind: "more", isLast: true });
  });

  test.each(judged.map((vector) => [`${vector.protocol}: ${vector.name}`, vector] as const))("%s", (_, vector) => {
    expect(tapetrack.sniff(vector.bytes, vector.ended)).toEqual({ kind: "foreign", protocol: vector.protocol });
    const { final } = verdictOfAllCuts(vector.bytes);
    expect(final).toEqual({ kind: "foreign", protocol: vector.protocol });
  });

  test("every recogniser has vectors", () => {
    const covered = new Set(vectors.map((vector) => vector.protocol));
    expect(recognisers.map(({ name }) => name).filter((name) => !covered.has(name))).toEqual([]);
  });
});

describe("friends", () => {
  const header = (text: string) =>
    new Uint8Array([
      ...bytesOf(text, undefined),
      ...bytesOf(undefined, "8f03c1e277a05b19d4ee0c6f92ab3d58e5174a90fd26b8630e9bd7c15f88a3742c61f0"),
    ]);

  test.each(["", "TT01", "tapetrack", "TapeTrack v1.0.0", "hello"])("ciphertext after %p", (magic) => {
    expect(verdictOfAllCuts(header(magic)).final).toEqual({ kind: "accept" });
  });

  test("16 ASCII bytes and then ciphertext that begins like text", () => {
    const random = bytesOf(undefined, "9300417f80d9a2550e81bd22f4c96a3be70c5d");
    const bytes = new Uint8Array([...bytesOf("TapeTrack v1.0.0 Kiosk 7,", undefined), ...random]);
    expect(bytes.length).toBe(44);
    expect(tapetrack.sniff(bytes, false)).toEqual({ kind: "accept" });
  });

  test("500,000 random first packets: all accepted, nearly all of them at once", () => {
    const friends = createFriends(20_260_101);
    let waiting = 0;
    for (let count = 0; count < 500_000; count++) {
      const bytes = friends.next();
      if (tapetrack.sniff(bytes, false).kind === "accept") continue;
      waiting++;
      const verdict = tapetrack.sniff(bytes, true);
      if (verdict.kind === "accept") continue;
      const head = Array.from(bytes.subarray(0, 48), (byte) => byte.toString(16).padStart(2, "0")).join("");
      throw new Error(`${verdict.kind}: ${head}`);
    }
    // A short packet behind a header that RADIUS or Minecraft begins with waits for the deadline, and so does
    // one of 44 to 63 bytes that an expert knew something of by chance.
    expect(waiting).toBeLessThan(40);
  });

  test("300,000 with a header of numbers, which is what recognisers come nearest to: none is foreign", () => {
    const friends = createNumberHeaders(20_261_128);
    for (let count = 0; count < 300_000; count++) {
      const bytes = friends.next();
      const verdict = tapetrack.sniff(bytes, false);
      if (verdict.kind !== "foreign") continue;
      throw new Error(`${verdict.protocol}: ${Buffer.from(bytes.subarray(0, 48)).toString("hex")}`);
    }
  });
});

describe("what proves nothing", () => {
  test.each([
    ["nothing at all", ""],
    ["31 bytes", "8f03c1e277a05b19d4ee0c6f92ab3d58e5174a90fd26b8630e9bd7c15f88a3"],
    ["a magic without its packet", "54543031"],
  ])("%s stays open", (_, hex) => {
    expect(tapetrack.sniff(bytesOf(undefined, hex), false)).toEqual({ kind: "more" });
    expect(tapetrack.sniff(bytesOf(undefined, hex), true).kind).toBe("more");
  });

  test.each(["", "TT01", "tapetrack"])(
    "300,000 random packets after %p, cut off anywhere: none is foreign",
    (magic) => {
      const random = createRandom(20_261_129);
      const packet = new Uint8Array(60);
      for (let count = 0; count < 300_000; count++) {
        for (let index = 0; index < packet.length; index++) packet[index] = random() & 255;
        packet.set(bytesOf(magic, undefined));
        const bytes = packet.subarray(0, 1 + (count % 59));
        const verdict = tapetrack.sniff(bytes, true);
        if (verdict.kind === "foreign") throw new Error(`${verdict.protocol}: ${Buffer.from(bytes).toString("hex")}`);
      }
    },
  );
});

test("who is neither with 96 bytes is told from who may still say more", () => {
  // Letters among random bytes: more of them than a friend has, fewer than make certain.
  const random = createRandom(4);
  let found = 0;
  for (let count = 0; count < 4000; count++) {
    const bytes = Uint8Array.from({ length: 120 }, () =>
      random() % 100 < 38 ? 0x61 + (random() % 26) : random() & 255,
    );
    if (tapetrack.sniff(bytes, true).kind !== "more") continue;
    found++;
    expect(tapetrack.sniff(bytes, false)).toEqual({ kind: "more", isLast: true });
    expect(tapetrack.sniff(bytes.subarray(0, 96), false)).toEqual({ kind: "more", isLast: true });
    expect(tapetrack.sniff(bytes.subarray(0, 95), false)).toEqual({ kind: "more" });
  }
  expect(found).toBeGreaterThan(20);
});

describe("cuts", () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.constantFrom(...vectors).chain(({ bytes }) => fc.nat(bytes.length).map((end) => bytes.slice(0, end))),
    fc.stringMatching(/^[ -~\r\n]{0,40}$/).map((text) => bytesOf(text, undefined)),
  );
  const stream = fc
    .array(piece, { maxLength: 3 })
    .map((pieces) => Uint8Array.from(pieces.flatMap((bytes) => [...bytes])));

  test("every cut of any stream gets the verdict of the whole", () => {
    fc.assert(
      fc.property(stream, (bytes) => void verdictOfAllCuts(bytes)),
      { numRuns: 1500 },
    );
  });

  test("no verdict needs more than prefixBytes", () => {
    fc.assert(
      fc.property(stream, fc.uint8Array({ minLength: 400, maxLength: 500 }), (head, tail) => {
        const bytes = Uint8Array.from([...head, ...tail]);
        expect(tapetrack.sniff(bytes.slice(0, tapetrack.prefixBytes), true)).toEqual(tapetrack.sniff(bytes, true));
        expect(tapetrack.sniff(bytes.slice(0, tapetrack.prefixBytes), false)).toEqual(tapetrack.sniff(bytes, true));
      }),
    );
  });
});
