// SPDX-License-Identifier: Apache-2.0
// Inputs for the fuzzer: mutations of bytes and of JSON, and a grammar of rules. Seeded.
import { pick, type Random } from "../harness/random.ts";

export function mutateBytes(random: Random, bytes: Uint8Array, other: Uint8Array): Uint8Array {
  const result = [...bytes];
  for (let count = 1 + random(4); count > 0; count--) {
    const at = random(result.length + 1);
    switch (random(7)) {
      case 0:
        result[Math.min(at, Math.max(0, result.length - 1))] = random(256);
        break;
      case 1:
        result.splice(at, 0, ...Array.from({ length: 1 + random(20) }, () => random(256)));
        break;
      case 2:
        result.splice(at, 1 + random(8));
        break;
      case 3:
        result.length = at;
        break;
      case 4:
        result.splice(at, random(result.length + 1), ...other.subarray(random(other.length + 1)));
        break;
      case 5:
        result.splice(at, 0, ...new Array<number>(1 + random(40)).fill(pick(random, [0, 0x0a, 0x20, 0x41, 0xff])));
        break;
      default:
        result[at] = (result[at] ?? 0) ^ (1 << random(8));
    }
  }
  return Uint8Array.from(result.slice(0, 700));
}

const numbers = [
  -1,
  0,
  1,
  2,
  3,
  4,
  8,
  15,
  16,
  17,
  255,
  256,
  4095,
  4096,
  4097,
  65_535,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  1.5,
];
const texts = [
  "",
  "end",
  "big",
  "little",
  "equals",
  "within",
  "GET ",
  "\n",
  "00",
  "ff ff",
  "0d 0a",
  "16 03 0",
  "zz",
  "lower",
  "text",
  "runes",
  "ssh",
  "nobody",
  "ecb",
  "ü",
];

/** A rule that may well be valid. */
export function grownRule(random: Random, depth: number): unknown {
  const small = () => random(12);
  const hex = () => Array.from({ length: 1 + random(5) }, () => random(256).toString(16).padStart(2, "0")).join(" ");
  const place = () => (random(4) === 0 ? { after: true, at: random(3) } : random(2) === 0 ? { at: small() } : {});
  const kinds: (() => unknown)[] = [
    () => ({ kind: "bytes", ...place(), hex: hex() }),
    () => ({ kind: "bytes", ...place(), hex: "12 34", mask: pick(random, ["ff 00", "0f f0", "ff ff", "00 00"]) }),
    () => ({
      kind: "text",
      ...place(),
      text: pick(random, ["GET ", "a", ["ab", "ac"], "\n"]),
      ...(random(3) === 0 ? { ignoreCase: true } : {}),
    }),
    () => ({
      kind: "run",
      ...place(),
      class: pick(random, ["lower", "text", "digit", "any", "zero", "high"]),
      min: 1 + small(),
    }),
    () => ({
      kind: "run",
      ...place(),
      class: pick(random, ["lower", "text", "any"]),
      min: random(3),
      max: 3 + small(),
      until: pick(random, ["0a", "20 00", "end"]),
    }),
    () => ({
      kind: "number",
      ...place(),
      size: 1 + random(4),
      endian: pick(random, ["big", "little"]),
      min: random(3),
      max: pick(random, [3, 255, 4000]),
    }),
    () => ({
      kind: "number",
      ...place(),
      size: 1 + random(2),
      endian: "big",
      max: 300,
      length: pick(random, ["equals", "within"]),
      plus: random(9),
    }),
    () => ({
      kind: "length",
      ...(random(2) === 0 ? { min: 1 + small() } : {}),
      max: 12 + random(60),
      ...(random(2) === 0 ? { multipleOf: 2 + random(15), after: random(3) } : {}),
    }),
    () => ({ kind: "random", at: random(20), bytes: 16 + random(32), slack: random(17) }),
    () => ({ kind: "tls", sni: ["example.org"] }),
    () => ({ kind: "protocol", name: pick(random, ["http", "tls", "text", "nobody"]) }),
  ];
  if (depth > 0 && random(2) === 0) {
    const rules = () => Array.from({ length: 1 + random(3) }, () => grownRule(random, depth - 1));
    return pick(random, [
      () => ({ kind: "all", rules: rules() }),
      () => ({ kind: "any", rules: rules() }),
      () => ({ kind: "not", rule: grownRule(random, depth - 1) }),
    ])();
  }
  return pick(random, kinds)();
}

/** Changes one value somewhere in JSON, drops a key, or puts one where none belongs. */
export function mutateJson(random: Random, value: unknown): unknown {
  if (Array.isArray(value) && value.length > 0 && random(3) > 0) {
    const at = random(value.length);
    return value.map((item, index) => (index === at ? mutateJson(random, item) : item));
  }
  if (typeof value === "object" && value !== null && random(6) > 0) {
    const entries = Object.entries(value);
    const at = random(entries.length + 1);
    if (at === entries.length)
      return {
        ...value,
        [pick(random, ["at", "min", "max", "kind", "colour", "rules", "after", "until"])]: leaf(random),
      };
    if (random(6) === 0) return Object.fromEntries(entries.filter((_, index) => index !== at));
    return Object.fromEntries(
      entries.map(([key, item], index) => [key, index === at ? mutateJson(random, item) : item]),
    );
  }
  return leaf(random);
}

function leaf(random: Random): unknown {
  return pick<() => unknown>(random, [
    () => pick(random, numbers),
    () => pick(random, texts),
    () => null,
    () => true,
    () => [],
    () => ({}),
    () => grownRule(random, 1),
  ])();
}
