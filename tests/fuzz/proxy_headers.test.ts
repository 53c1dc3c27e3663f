// SPDX-License-Identifier: Apache-2.0
// Headers of the PROXY protocol, built from all that its two versions have, then damaged.
import { expect, setDefaultTimeout, test } from "bun:test";
import { type Prefix, prefixFromBytes, requirePrefix } from "../../src/core/address.ts";
import { parseProxyHeader, version2Signature } from "../../src/core/proxy_protocol/header.ts";
import { createRandom, pick, type Random } from "../harness/random.ts";
import { loadVectors } from "../vectors/vectors.ts";
import { checkProxyHeader } from "./checks.ts";
import { fuzz, fuzzTimeoutMs } from "./fuzzer.ts";
import { mutateBytes } from "./mutate.ts";

setDefaultTimeout(fuzzTimeoutMs);

const vectors = loadVectors().map(({ bytes }) => bytes);
const text = (line: string) => new TextEncoder().encode(line);
const bytes = (random: Random, count: number) => Uint8Array.from({ length: count }, () => random(256));

interface Built {
  readonly header: Uint8Array;
  /** The client inside; undefined: the proxy speaks for itself. */
  readonly source: Prefix | undefined;
}

const addressesOfV1 = {
  TCP4: ["192.0.2.1", "0.0.0.0", "255.255.255.255"],
  TCP6: ["2001:db8::1", "::", "::ffff:192.0.2.1", "fe80:0:0:0:0:0:0:1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
} as const;

function version1(random: Random): Built {
  const family = pick(random, ["TCP4", "TCP6", "UNKNOWN"] as const);
  if (family === "UNKNOWN") {
    return {
      header: text(`PROXY UNKNOWN${pick(random, ["", " ", " ffff::1 ::2 1 2", " any thing"])}\r\n`),
      source: undefined,
    };
  }
  const [source, destination] = [pick(random, addressesOfV1[family]), pick(random, addressesOfV1[family])];
  const port = () => pick(random, [0, 1, 65_535, random(65_536)]);
  return {
    header: text(`PROXY ${family} ${source} ${destination} ${port()} ${port()}\r\n`),
    source: requirePrefix(source),
  };
}

/** Family and transport, and the bytes of their addresses (sections 2.2 and 2.2.1). */
const familiesOfV2 = [
  { family: 0x00, size: 0 },
  { family: 0x11, size: 4 },
  { family: 0x21, size: 16 },
  { family: 0x31, size: 108 },
  { family: 0x32, size: 108 },
] as const;

/** Section 2.2.2; ALPN, authority, CRC32C, NOOP, unique id, TLS with parts of its own, netns, a vendor's. */
const tlvTypes = [0x01, 0x02, 0x03, 0x04, 0x05, 0x20, 0x30, 0xea, 0xee];

function version2(random: Random): Built {
  const isLocal = random(5) === 0;
  const { family, size } = pick(random, familiesOfV2);
  const ends = bytes(random, 2 * size + (size === 4 || size === 16 ? 4 : 0));
  const tlvs = Array.from({ length: random(4) }, () => {
    const value = bytes(random, random(200));
    return [pick(random, tlvTypes), value.length >> 8, value.length & 255, ...value];
  }).flat();
  // Whoever reads it takes the length at its word, whatever the TLVs say.
  if (random(6) === 0) tlvs.splice(random(tlvs.length + 1));
  const rest = ends.length + tlvs.length;
  const head = [...version2Signature, isLocal ? 0x20 : 0x21, family, rest >> 8, rest & 255];
  const hasClient = !isLocal && (size === 4 || size === 16);
  return {
    header: Uint8Array.from([...head, ...ends, ...tlvs]),
    source: hasClient ? sourceOf(ends.subarray(0, size)) : undefined,
  };
}

function sourceOf(address: Uint8Array): Prefix {
  return address.length === 4 ? requirePrefix(address.join(".")) : prefixFromBytes(address);
}

const built = (random: Random) => (random(2) === 0 ? version1(random) : version2(random));

test("a header that was built is read as what it is, and what follows is the client's", () => {
  for (let seed = 1; seed <= 3000; seed++) {
    const random = createRandom(seed);
    const { header, source } = built(random);
    const tail = bytes(random, random(20));
    const read = parseProxyHeader(Uint8Array.from([...header, ...tail]));
    if (read.kind !== "header") throw new Error(`Seed ${seed}: ${header.toHex()} is ${JSON.stringify(read)}`);
    const inside = read.client && requirePrefix(read.client.source.address).text;
    expect([seed, read.length, inside]).toEqual([seed, header.length, source?.text]);
    checkProxyHeader(header);
  }
});

test("whatever is damaged gets one answer that no cut and no later byte changes", async () => {
  const shown = new Set<string>();
  const property = {
    name: "proxy_headers",
    next: (random: Random) =>
      mutateBytes(random, built(random).header, pick(random, [built(random).header, ...vectors])),
    check: (input: Uint8Array) => void shown.add(checkProxyHeader(input)),
  };
  await fuzz(property, 5000);
  // It got to all of what there is to say.
  expect(shown.size).toBeGreaterThan(10);
});
