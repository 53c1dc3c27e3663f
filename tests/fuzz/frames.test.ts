// SPDX-License-Identifier: Apache-2.0
// Crafted and damaged frames for the program that drops, by BPF_PROG_TEST_RUN: every way into the kernel says the
// same, each frame is counted once, and whoever is dropped is somebody who is banned.
import { afterAll, beforeAll, expect, setDefaultTimeout } from "bun:test";
import process from "node:process";
import { requirePrefix } from "../../src/core/address.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";
import { type Gate, guardedPort, openGate, otherPort, ways } from "../bpf/gate.ts";
import * as layers from "../bpf/packet.ts";
import { testWith } from "../harness/needs.ts";
import { pick, type Random } from "../harness/random.ts";
import { fuzz, fuzzTimeoutMs } from "./fuzzer.ts";
import { mutateBytes } from "./mutate.ts";

setDefaultTimeout(fuzzTimeoutMs);

const banned4 = "203.0.113.9";
const banned6 = "2001:db8:1:2::";
const innocents = ["203.0.113.8", "192.0.2.1", "0.0.0.0", "255.255.255.255"];

function tags(random: Random): layers.Layer[] {
  const types = [layers.etherVlan, layers.etherServiceVlan];
  return Array.from({ length: pick(random, [0, 0, 0, 1, 2, 3, 5]) }, () =>
    layers.vlan(random(65_536), pick(random, types)),
  );
}

function segment(random: Random): layers.Layer {
  const ports = { sourcePort: random(65_536), destinationPort: pick(random, [guardedPort, guardedPort, otherPort, 0]) };
  return random(8) === 0 ? layers.udp(ports) : layers.tcp(ports);
}

function overIpv4(random: Random): layers.Layer[] {
  const options = {
    source: random(2) === 0 ? banned4 : pick(random, innocents),
    optionBytes: random(4) === 0 ? 4 * random(11) : 0,
    ...(random(10) === 0 ? { fragmentOffset: random(8192), moreFragments: random(2) === 0 } : {}),
    ...(random(12) === 0 ? { totalBytes: random(200) } : {}),
    ...(random(12) === 0 ? { headerWords: random(16), version: random(16) } : {}),
  };
  return [layers.ipv4(options)];
}

function overIpv6(random: Random): layers.Layer[] {
  const kinds = [layers.hopByHop, layers.routing, layers.destinationOptions, layers.authentication];
  const chain = Array.from({ length: pick(random, [0, 0, 1, 2, 6, 7, 12]) }, () =>
    random(6) === 0
      ? layers.ipv6Fragment(random(3), random(2) === 0)
      : layers.extension(pick(random, kinds), random(4)),
  );
  const source = random(2) === 0 ? "2001:db8:1:2:3:4:5:6" : "2001:db8:1:3::1";
  return [layers.ipv6({ source, ...(random(12) === 0 ? { payloadBytes: random(200) } : {}) }), ...chain];
}

function next(random: Random): Uint8Array {
  const network = random(2) === 0 ? overIpv4(random) : overIpv6(random);
  const frame = layers.packet(
    layers.ethernet(),
    ...tags(random),
    ...network,
    segment(random),
    layers.payload(random(60)),
  );
  if (random(3) > 0) return frame;
  return mutateBytes(random, frame, frame);
}

/** What the kernel's test run takes in every way. */
const shortest = 14 + 40;

function nativeCopy(bytes: Uint8Array): NativeBuffer {
  const copy = new Uint8Array(new ArrayBuffer(Math.max(shortest, bytes.length)));
  copy.set(bytes);
  return copy;
}

let gates: { readonly way: string; readonly gate: Gate }[] = [];
beforeAll(async () => {
  if (process.getuid?.() !== 0) return;
  for (const way of ways) {
    const gate = await openGate({ way });
    gate.ban(banned4);
    gate.ban(banned6);
    gates.push({ way, gate });
  }
});
afterAll(() => {
  for (const { gate } of gates) gate[Symbol.dispose]();
  gates = [];
});

testWith("root")("no frame is judged by its way, and none is dropped for another", async () => {
  const heads = [requirePrefix(banned4).bytes.subarray(12), requirePrefix(banned6).bytes.subarray(0, 8)];
  const seen = new Map<string, number>();
  await fuzz(
    {
      name: "frames",
      next,
      check(bytes) {
        const frame = nativeCopy(bytes);
        const told = gates.map(({ way, gate }) => [way, gate.outcome(frame)] as const);
        const [[, outcome = ""] = []] = told;
        if (told.some(([, other]) => other !== outcome)) throw new Error(`It is ${told.join("; ")}: ${frame.toHex()}`);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
        const isNamed = heads.some((head) => frame.toHex().includes(head.toHex()));
        if (outcome.startsWith("drop") && !isNamed) throw new Error(`Dropped an innocent: ${frame.toHex()}`);
      },
    },
    1500,
  );
  expect([...seen.keys()].sort()).toEqual(["drop_ban", "pass", "pass_unparsed"]);
});
