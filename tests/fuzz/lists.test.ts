// SPDX-License-Identifier: Apache-2.0
// Blocklists in every form that is read, damaged: every line that is whole counts, the others are told by number,
// and no line of another kind of file bans anybody.
import { expect, setDefaultTimeout, test } from "bun:test";
import { parsePrefix } from "../../src/core/address.ts";
import { messageOf } from "../../src/failure.ts";
import { type Intake, takeIn } from "../../src/sources/blocklist/intake.ts";
import { createRandom, pick, type Random } from "../harness/random.ts";
import { fuzz, fuzzTimeoutMs } from "./fuzzer.ts";
import { mutateBytes } from "./mutate.ts";

setDefaultTimeout(fuzzTimeoutMs);

const options = { ipv6Bits: 64, wide: false };

/** Wide enough to be told from one another, narrow enough to be taken. */
function address(random: Random): string {
  const parts = () => Array.from({ length: 4 }, () => 1 + random(254));
  if (random(3) > 0) return parts().join(".");
  return `2001:db8:${random(65_536).toString(16)}:${random(65_536).toString(16)}::`;
}

/** A line, or the lines of one set. */
type Form = (random: Random, source: string) => string;

const forms: readonly Form[] = [
  (_, source) => source,
  (random, source) => `  ${source} ${pick(random, ["10m", "1h30m", "ever", "3650d"])}\t# why; so`,
  (_, source) => `${source}${source.includes(":") ? "/64" : "/32"} ; SBL1`,
  (_, source) => `add bad ${source} timeout 600`,
  (_, source) => `{"cidr":"${source}${source.includes(":") ? "/48" : "/24"}","sblid":"SBL1","rir":"ripencc"}`,
  (_, source) => `7,crowdsec,Ip:${source},"http:scan, and ""more""",ban,DE,1 AS,3,3h59m,false,9`,
  (_, source) => `elements = { ${source} timeout 1h expires 59m59s comment "x, }", }`,
  (_, source) => `{"nftables":[{"set":{"elem":["${source}",{"elem":{"val":"${source}","expires":5}}]}}]}`,
  (_, source) => `${source} - ${source}`,
];

/** Of a list as it was written. */
function listText(random: Random): string {
  const isMixed = random(3) === 0;
  const form = pick(random, forms);
  const lines = Array.from({ length: 5 + random(30) }, () =>
    (isMixed ? pick(random, forms) : form)(random, address(random)),
  );
  return `${lines.join(pick(random, ["\n", "\n", "\r\n"]))}\n`;
}

async function read(bytes: Uint8Array, chunkBytes = bytes.length): Promise<Intake | string> {
  async function* chunks(): AsyncGenerator<string> {
    const decoder = new TextDecoder();
    for (let at = 0; at < bytes.length; at += Math.max(1, chunkBytes)) {
      yield decoder.decode(bytes.subarray(at, at + chunkBytes), { stream: true });
    }
  }
  try {
    return await takeIn(chunks(), options);
  } catch (error) {
    return messageOf(error);
  }
}

test("each form says whom it names", async () => {
  for (const [index, form] of forms.entries()) {
    const random = createRandom(index + 1);
    const sources = Array.from({ length: 20 }, () => address(random));
    const intake = await read(new TextEncoder().encode(sources.map((source) => form(random, source)).join("\n")));
    if (typeof intake === "string") throw new Error(`Form ${index}: ${intake}`);
    expect([index, intake.entries.size, intake.failures]).toEqual([index, 20, []]);
  }
});

test("a line that is damaged costs itself alone", async () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = createRandom(seed);
    const form = pick(
      random,
      forms.filter((one) => !one(random, "192.0.2.1").startsWith("elements")),
    );
    const sources = Array.from({ length: 20 }, () => address(random));
    const lines = sources.map((source) => form(random, source));
    const damaged = random(20);
    lines[damaged] = pick(random, [
      "<br>",
      "192.0.2.300",
      "{",
      "{}",
      "add",
      "\u0000",
      "1,2,Ip:x,y",
      "1.2.3.4 soon",
      "::/0",
      "-",
      '"'.repeat(9),
    ]);
    const intake = await read(new TextEncoder().encode(lines.join("\n")));
    if (typeof intake === "string") throw new Error(`Seed ${seed}: ${intake}`);
    const whole = new Set(sources.filter((_, index) => index !== damaged));
    const names = [...intake.entries].map(([source]) => source.replace(/\/.*/, ""));
    expect([seed, names.length, intake.refused > 0 || lines[damaged] === "add"]).toEqual([seed, whole.size, true]);
  }
});

/** Of what was read: prefixes that may be banned, times that are some, lines that exist. */
function requireSound(intake: Intake, lines: number): void {
  for (const [source, forMs] of intake.entries) {
    const prefix = parsePrefix(source);
    if (prefix?.text !== source) throw new Error(`"${source}" is none`);
    if (prefix.bits < (prefix.ipv4 ? 112 : 32)) throw new Error(`"${source}" is too wide`);
    if (forMs !== undefined && !(forMs > 0)) throw new Error(`"${source}" for ${forMs} ms`);
  }
  for (const { line, message } of intake.failures) {
    if (line < 1 || line > lines || message === "" || message.length > 300_000)
      throw new Error(`Line ${line}: ${message}`);
  }
}

test("anything is read the same by every cut, or is no list", async () => {
  const seen = { lists: 0, others: 0 };
  await fuzz(
    {
      name: "lists",
      next(random) {
        const encoder = new TextEncoder();
        return mutateBytes(random, encoder.encode(listText(random)), encoder.encode(listText(random)));
      },
      async check(bytes) {
        const [whole, cut] = [await read(bytes), await read(bytes, 7)];
        const told = (one: Intake | string) =>
          typeof one === "string" ? one : JSON.stringify([[...one.entries], one.refused, one.failures]);
        if (told(whole) !== told(cut)) throw new Error(`Cut it is ${told(cut)}, whole ${told(whole)}`);
        seen[typeof whole === "string" ? "others" : "lists"]++;
        if (typeof whole !== "string") requireSound(whole, new TextDecoder().decode(bytes).split("\n").length);
      },
    },
    600,
  );
  expect(Math.min(seen.lists, seen.others)).toBeGreaterThan(20);
});
