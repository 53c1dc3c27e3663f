// SPDX-License-Identifier: Apache-2.0
// The flat table must say what the matcher says, of every vector, of every prefix of it.
import { describe, expect, test } from "bun:test";
import { compileProfile } from "../../src/core/compiled_profile.ts";
import { parseProfile } from "../../src/core/profile.ts";
import { profileLibrary } from "../../src/core/profile_library.ts";
import { createSniffer } from "../../src/core/profile_sniffer.ts";
import { type SignatureTable, tableOf, tablePrefixBytes } from "../../src/core/signature_table.ts";
import { ciphers, loadProfile } from "../../src/profile.ts";
import { createFriends } from "../vectors/friends.ts";
import { loadVectors } from "../vectors/vectors.ts";
import { runTable } from "./signature_table_reader.ts";

function table(name: string): SignatureTable {
  const result = tableOf(loadProfile(name));
  if (result.kind === "refused") throw new Error(JSON.stringify(result.problems));
  return result.table;
}

const inlineProfiles = ["tapetrack", "opaque", "ssh", "tls", "rdp", "mqtt", "redis", "minecraft", "modbus"];

describe.each(inlineProfiles)("%s", (name) => {
  const profile = loadProfile(name);
  const { bytes: encoded, protocols, leftOut } = table(name);
  // What the kernel does without, the matcher does without here.
  const left = new Set(leftOut.map(({ path }) => path.split(".rules")[0]));
  const known = profile.known.map((recogniser) =>
    left.has(recogniser.name) ? { ...recogniser, refutes: false } : recogniser,
  );
  const sniffer = createSniffer(compileProfile({ ...profile, known }));

  /** What the table says of a prefix, in the words of the matcher; a verdict that needs a name may come later there. */
  function disagreement(prefix: Uint8Array): string | undefined {
    const { refuters, expected } = runTable(encoded, prefix);
    const verdict = sniffer.sniff(prefix, false);
    if (profile.fallback === "foreign") {
      const isRight =
        expected === -1 ? verdict.kind !== "accept" : verdict.kind === (expected === 1 ? "accept" : "more");
      return isRight ? undefined : `expected ${expected}, ${verdict.kind}`;
    }
    const names = refuters.map((owner) => protocols[owner] ?? "").filter((protocol) => !left.has(protocol));
    const isRight = verdict.kind === "foreign" ? names.includes(verdict.protocol) : names.length === 0;
    return isRight ? undefined : `${names.join(", ")} instead of ${JSON.stringify(verdict)}`;
  }

  test("agrees with the matcher on every prefix of every vector", () => {
    for (const { name: vector, bytes } of loadVectors()) {
      for (let length = 1; length <= Math.min(bytes.length, tablePrefixBytes); length++) {
        expect([vector, length, disagreement(bytes.subarray(0, length))]).toEqual([vector, length, undefined]);
      }
    }
  });

  test("is small enough for a BPF map", () => {
    expect(encoded.length).toBeLessThan(256 * 1024);
  });
});

test("no friend of tapetrack is refuted", () => {
  const { bytes: encoded } = table("tapetrack");
  const friends = createFriends(3);
  for (let count = 0; count < 20_000; count++)
    expect(runTable(encoded, friends.next().slice(0, tablePrefixBytes)).refuters).toEqual([]);
});

test("few rules of the library are too long for the kernel", () => {
  const rules = new Set(table("tapetrack").leftOut.map(({ path }) => path.replace(/\.rules\[\d+\]$/, "")));
  expect([...rules]).toEqual(["http.rules[3]", "socks.rules[3]", "memcached.rules[2]", "lpd.rules[1]"]);
});

describe("what needs user space is refused, with the path", () => {
  test.each<[string, object, string]>([
    ["a server name", { expect: { kind: "tls", sni: ["example.org"] } }, "expect: Only user space"],
    ["what must look random", { expect: { kind: "random", bytes: 16 } }, "expect: Only user space"],
    ["a long rule", { expect: { kind: "text", at: 300, text: "x" } }, "expect: This may need 301 bytes"],
    [
      "a recogniser of one's own",
      {
        expect: { kind: "length", min: 1 },
        default: "accept",
        recognisers: [{ name: "mine", rules: [{ kind: "tls", sni: ["a.b"] }] }],
      },
      "recognisers[0].rules[0]: Only user space",
    ],
  ])("%s", (_, source, problem) => {
    const parsed = parseProfile(source, "test", ciphers);
    if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
    const result = tableOf(parsed.profile);
    const problems = result.kind === "refused" ? result.problems.map(({ path, message }) => `${path}: ${message}`) : [];
    expect(problems.join("\n")).toContain(problem);
  });

  test("postgres and http, for their names of any length", () => {
    const refused = [...profileLibrary.keys()].filter((name) => tableOf(loadProfile(name)).kind === "refused");
    expect(refused.sort()).toEqual(["http", "postgres"]);
  });
});
