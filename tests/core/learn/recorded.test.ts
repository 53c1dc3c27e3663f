// SPDX-License-Identifier: Apache-2.0
// Learning from what real clients sent, recorded before real servers by tests/systems/learn.test.ts
// (TTGATE_WRITE_RECORDED=tests/vectors/recorded renews it), and from clients of formats that ttgate does not know.
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { ciphers } from "../../../src/config/profile.ts";
import { learn } from "../../../src/core/learn/learn.ts";
import { parseRecording, type Recording } from "../../../src/core/learn/recording.ts";
import { learnFrom } from "../../vectors/learned_friends.ts";
import { bytesOf, loadVectors } from "../../vectors/vectors.ts";

setDefaultTimeout(60_000);

const directory = `${import.meta.dirname}/../../vectors/recorded`;
const library = loadVectors();

function recorded(name: string): Recording[] {
  const lines = readFileSync(`${directory}/${name}.jsonl`, "utf8").trim().split("\n");
  return lines.map((line) => {
    const parsed = parseRecording(line);
    if (parsed.kind === "invalid") throw new Error(parsed.message);
    return parsed.recording;
  });
}

/** Forty connections of so many sources. */
function made(sources: number, packet: (index: number) => string | Uint8Array): Recording[] {
  return Array.from({ length: 40 }, (_, index) => {
    const sent = packet(index);
    const bytes = typeof sent === "string" ? bytesOf(sent, undefined) : sent;
    const source = `source ${index % sources}`;
    return { atMs: 1.8e12 + index * 1000, bytes, totalBytes: bytes.length, server: "accepted" as const, source };
  });
}

/** Length, version, and pairs of a start-up message. */
function startup(pairs: Readonly<Record<string, string>>, version: readonly number[] = [0, 3, 0, 0]): Uint8Array {
  const body = Object.entries(pairs).map(([name, value]) => `${name}\0${value}\0`);
  const bytes = bytesOf(`${body.join("")}\0`, undefined);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length + 8);
  return Uint8Array.from([...length, ...version, ...bytes]);
}

function strangers(...own: string[]): Uint8Array[] {
  return library.filter(({ protocol }) => !own.includes(protocol)).map(({ bytes }) => bytes);
}

const others: Readonly<Record<string, { readonly friends: readonly Uint8Array[]; readonly names: string[] }>> = {
  postgres: {
    names: ["postgres", "tls"],
    friends: [
      startup({ user: "somebody", database: "elsewhere" }),
      startup({ database: "first", user: "x", replication: "true" }),
      bytesOf(undefined, "0000000804d21630"),
      bytesOf(undefined, "0000001004d2162e0000123400005678"),
    ],
  },
  redis: {
    names: ["redis", "memcached"],
    friends: ["*2\r\n$4\r\nINCR\r\n$9\r\nelsewhere\r\n", "PING\r\n", "hset user:7 name eve\r\n"].map((text) =>
      bytesOf(text, undefined),
    ),
  },
  mosquitto: {
    names: ["mqtt"],
    friends: [
      bytesOf(undefined, "101000044d5154540502003c000003626f62"),
      bytesOf(undefined, "101200064d51497364700302003c000467617465"),
    ],
  },
};

describe.each(Object.entries(others))("30 connections of %s", (name, { friends, names }) => {
  const { sniffer, profile, report } = learnFrom(recorded(name));

  test("make a profile of the protocol, safe to enforce, with nothing of the clients' own", () => {
    expect(profile.unproven).toBeUndefined();
    expect(report.leftOut).toEqual({ sources: 10, banned: 0 });
    expect(report.findings[0]).toContain("built-in profile");
    expect(JSON.stringify(profile)).not.toMatch(/616c696365|61 6c 69 63 65|alice|counter|sensor/);
  });

  test("others of its clients are accepted, and the rest of the library is not", () => {
    for (const bytes of friends) expect(sniffer.sniff(bytes, true)).toEqual({ kind: "accept" });
    expect(strangers(...names).filter((bytes) => sniffer.sniff(bytes, true).kind === "accept")).toEqual([]);
  });
});

test("30 connections of a binary protocol: other lengths and other ciphertext are accepted, no stranger is", () => {
  const { sniffer, report } = learnFrom(recorded("binary"));
  expect([report.leftOut, report.missing]).toEqual([{ sources: 10, banned: 0 }, []]);
  for (const size of [48, 160, 1008]) {
    const cipher = createCipheriv("aes-256-cbc", randomBytes(32), randomBytes(16)).update(randomBytes(size));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(cipher.length);
    expect(sniffer.sniff(Uint8Array.from([...length, ...cipher]), false)).toEqual({ kind: "accept" });
  }
  const accepted = library.filter(({ bytes }) => sniffer.sniff(bytes, true).kind === "accept");
  expect(accepted.map(({ protocol }) => protocol).filter((protocol) => protocol !== "wireguard")).toEqual([]);
});

test("36 connections of psql with three sslmodes", () => {
  const request = bytesOf(undefined, "0000000804d2162f");
  const mixed = made(1, (index) => (index % 3 === 0 ? startup({ user: "alice", database: "main" }) : request));
  const { sniffer, profile } = learnFrom(mixed.slice(0, 36));
  expect(profile.unproven).toBeUndefined();
  expect(sniffer.sniff(startup({ user: "bob", application_name: "other" }), false)).toEqual({ kind: "accept" });
});

describe("what one client sends is no constant", () => {
  test.each<[string, (user: string, other: string) => string | Uint8Array]>([
    ["pairs", (user, other) => startup({ user, database: other, application_name: "tool" }, [0, 9, 0, 0])],
    ["a line", (user, other) => `LOGIN ${user} ${other}\r\n`],
    ["JSON", (user, other) => `${JSON.stringify({ user, other })}\n`],
    ["a string behind its length", (user, other) => `\x07Q1${String.fromCharCode(0, user.length)}${user}${other}`],
    [
      "a chain",
      (user, other) =>
        `\xa1\x01${String.fromCharCode(user.length)}${user}\x02${String.fromCharCode(other.length)}${other}`,
    ],
  ])("%s: another one is accepted", (_words, packet) => {
    const { sniffer, profile, report } = learnFrom(
      made(1, (index) => packet("alice", "main".padEnd(4 + (index % 4), "x"))),
    );
    expect(sniffer.sniff(asBytes(packet("somebodyelse", "elsewhere")), true)).toEqual({ kind: "accept" });
    expect(profile.unproven).toBe("1 source of the 5 that are needed; 1 session of the 10 that are needed");
    expect(report.leftOut.sources).toBe(0);
  });

  function asBytes(sent: string | Uint8Array): Uint8Array {
    return typeof sent === "string" ? bytesOf(sent, undefined) : sent;
  }

  test("names that begin alike are names", () => {
    const { sniffer } = learnFrom(made(8, (index) => `\x07Q1\x05\x00\x0bclient-${100 + index}x${index}`));
    expect(sniffer.sniff(bytesOf("\x07Q1\x05\x00\x07gatewayx", undefined), true)).toEqual({ kind: "accept" });
  });
});

/** What many clients had in common, and how others begin. */
const begun: [string, (index: number) => string | Uint8Array, readonly (string | Uint8Array)[]][] = [
  ["a name before a number", (index) => `till-${index % 12},${index * 7919},OPEN\n`, ["north,17,OPEN\n"]],
  ["a record of columns", (index) => `LGNtill-${index % 12}   ${1000 + index}`, ["LGNnorth    1017"]],
  [
    "digits",
    (index) => `${2_026_100_000 + (index % 12)}till-${index % 12}    \0`,
    ["2026170009a-till-behind-the-north-gate-17\0"],
  ],
  ["a single letter", (index) => `u=till-${index % 12}&v=${index}\n`, ["token=17&u=north\n"]],
  [
    "a single byte",
    (index) => Uint8Array.of(0x12, 7, ...bytesOf(`till-${10 + (index % 12)}`, undefined), 0x18, index, index % 7),
    [Uint8Array.of(0x0a, 2, 0x65, 0x75, 0x12, 5, ...bytesOf("north", undefined), 0x18, 3)],
  ],
];

test.each(begun)("%s that all begin with is no reason to ban those who begin otherwise", (_, packet, others) => {
  const { sniffer, profile, report } = learnFrom(made(12, packet));
  for (const other of others) {
    const { kind } = sniffer.sniff(typeof other === "string" ? bytesOf(other, undefined) : other, true);
    expect(["accept", "more"]).toContain(kind);
  }
  if (profile.default === "undecided") expect(report.findings.join("\n")).toContain("Others may begin otherwise");
  expect(sniffer.sniff(bytesOf("SSH-2.0-Go\r\n", undefined), true)).toMatchObject({ protocol: "ssh" });
});

test.each(["*_", "(_", "+_", "?_"])(
  "lines of text may begin with marks that have a meaning in patterns: %s",
  (marks) => {
    const { sniffer } = learnFrom(made(10, (index) => `${marks}${index} and more of it ${index * 7}\r\n`));
    const accepted = sniffer.sniff(bytesOf(`${marks}77 and other things\r\n`, undefined), true);
    expect(accepted.kind).toBe("accept");
  },
);

test("where lines of text have nothing else in common, what is no text is foreign", () => {
  const { sniffer } = learnFrom(made(12, (index) => `${index % 3}.4.1 till-${index % 12}\n`));
  expect(sniffer.sniff(bytesOf("3.0.0 north\n", undefined), true)).toEqual({ kind: "accept" });
  expect(sniffer.sniff(Uint8Array.fromHex("9301000000000007"), true)).toEqual({ kind: "foreign", protocol: "unknown" });
});

test("a word that a digit ends makes no profile that is safe to enforce", () => {
  const { profile } = learnFrom(made(12, (index) => `till-${index % 12} ${index} OPEN\n`));
  expect(profile.unproven).toBe('the first word "till-" may be what these clients\' names have in common');
  expect(learnFrom(made(12, (index) => `OPEN ${index % 12}\n`)).profile.unproven).toBeUndefined();
});

test("many sources and sessions are enough, and a kind of client that one source alone has is missed", () => {
  const packet = (index: number) => `MIRROR ${index % 7} item\r\n`;
  expect(learnFrom(made(12, packet)).profile.unproven).toBeUndefined();
  const { profile } = learnFrom(made(12, (index) => (index % 12 === 0 ? `UPLOAD ${index}\r\n` : packet(index))));
  expect(profile.unproven).toStartWith("1 source would have been banned by what the others have in common");
});

test("recordings without sources make no profile that is safe to enforce", () => {
  const old = made(8, (index) => `MIRROR ${index}\r\n`).map(({ source: _, ...recording }) => recording);
  expect(learnFrom(old).profile.unproven).toContain("name no sources");
});

test("that the server speaks first is written into the profile", () => {
  const greeted = made(8, (index) => `MIRROR ${index}\r\n`).map((recording) => ({
    ...recording,
    greeted: true as const,
  }));
  const result = learn(greeted, "site", ciphers);
  expect(result).toMatchObject({ kind: "learned", profile: { speaksFirst: "server" } });
});
