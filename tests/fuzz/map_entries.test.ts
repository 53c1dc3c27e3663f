// SPDX-License-Identifier: Apache-2.0
// Another tool that writes anything into the maps of a running gate, and into the settings beside them: the gate goes
// on, what it banned itself stays banned in table and kernel, and a start after a crash takes up what is there.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { parsePrefix, prefixFromBytes } from "../../src/core/address.ts";
import { openMap } from "../../src/kernel/bpf_map.ts";
import { openPin, type Pin } from "../../src/kernel/bpffs.ts";
import { type Libraries, openLibraries } from "../../src/kernel/libraries.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { BlockMap, bpftool, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { createRandom, pick, type Random } from "../harness/random.ts";
import { sleep } from "../harness/wait.ts";
import { parsePrometheus } from "../status/prometheus.ts";
import { firstSeed, fuzzSeconds, fuzzTimeoutMs } from "./fuzzer.ts";

setDefaultTimeout(fuzzTimeoutMs);

/** Banned by the gate itself before anybody else writes. */
const ownBans: readonly string[] = ["10.77.1.1", "198.51.100.0/24", "fd77:0:1::/64", "2001:db8::/48"];
const entriesPerRound = 400;
/** The gate goes through the map twice a second. */
const walkMs = 1200;

/** struct ban_key, or a struct cidr_key where there are 20 bytes. */
function keyOf(random: Random, bytes: number): Uint8Array {
  const own = pick(random, ownBans);
  const near = parsePrefix(pick(random, [own, "10.77.0.1", "fd77::1", "0.0.0.0", "::", "127.0.0.1", "10.77.1.2"]));
  const address = random(3) === 0 ? anyBytes(random, 16) : Uint8Array.from(near?.bytes ?? []);
  for (let count = random(3); count > 0; count--) address[random(16)] = random(256);
  if (bytes === 16) return address;
  if (bytes === 4) return address.slice(12);
  const bits = pick(random, [0, 1, 64, 96, 104, 120, 128, random(129)]);
  return Uint8Array.from([bits, 0, 0, 0, ...address]);
}

const anyBytes = (random: Random, count: number) => Uint8Array.from({ length: count }, () => random(256));

/** A time as another tool may think that one is written: nanoseconds, seconds since 1970, nothing, everything. */
function timeOf(random: Random, nowNs: bigint): bigint {
  const last = 2n ** 64n - 1n;
  return pick(random, [
    0n,
    1n,
    2n,
    nowNs,
    nowNs + 1_000_000_000n,
    1_800_000_000n,
    2n ** 53n,
    2n ** 63n,
    last - 1n,
    last,
  ]);
}

function entryValue(random: Random, bytes: number, nowNs: bigint): Uint8Array<ArrayBuffer> {
  const value = random(3) === 0 ? new Uint8Array(bytes) : anyBytes(random, bytes);
  if (random(3) > 0) writeTime(value, timeOf(random, nowNs));
  return value;
}

function writeTime(value: Uint8Array<ArrayBuffer>, ns: bigint): void {
  const view = new DataView(value.buffer);
  if (value.length === 4) view.setUint32(0, Number((ns / 1_000_000_000n) & 0xffff_ffffn), true);
  else view.setBigUint64(0, ns, true);
}

const bootNs = () => BigInt(Math.round(Number.parseFloat(readFileSync("/proc/uptime", "utf8")) * 1e9));

/** @param key of 4 bytes, 16, or 20 with the bits before. */
function isOwn(key: Uint8Array): boolean {
  if (key.length === 4) return ownBans.includes(key.join("."));
  const { text } = prefixFromBytes(key.subarray(-16), key.length === 20 ? key[0] : 128);
  // In the exact map a network stands as its first address.
  return ownBans.includes(text) || ownBans.includes(`${text}/64`);
}

class RawMap {
  readonly #libraries: Libraries;
  readonly #path: string;

  constructor(libraries: Libraries, path: string) {
    this.#libraries = libraries;
    this.#path = path;
  }

  /** Writes entries that `entry` makes; what the kernel refuses is refused. */
  write(count: number, entry: (keyBytes: number, valueBytes: number) => readonly [Uint8Array, Uint8Array]): void {
    using pin = this.#pin();
    const map = openMap(this.#libraries, pin.fd);
    const [key, value] = [nativeBytes(map.info.keyBytes), nativeBytes(map.info.valueBytes)];
    for (let index = 0; index < count; index++) {
      const [keyBytes, valueBytes] = entry(key.length, value.length);
      key.set(keyBytes);
      value.set(valueBytes);
      map.update(key, value, 0n);
    }
  }

  #pin(): Pin {
    const pin = openPin(this.#libraries, this.#path);
    if (pin === undefined || typeof pin === "number") throw new Error(`Cannot open "${this.#path}": ${pin}`);
    return pin;
  }
}

interface Scene {
  readonly libraries: Libraries;
  readonly network: Network;
  readonly map: BlockMap;
}

function start({ network, map }: Scene): Promise<RunningGate> {
  return RunningGate.start(["-B", map.name, "-i", network.device, "-u", "127.0.0.1:1"], { namespace: network.gate });
}

async function requireOwn(gate: RunningGate, seed: number, by?: string): Promise<void> {
  for (const source of ownBans) {
    const ban = await gate.ban(source);
    const isTheirs = by === undefined || ban?.claims.some(({ origin }) => origin === by);
    expect({ seed, source: ban?.source, isTheirs }).toEqual({ seed, source, isTheirs: true });
  }
  expect(gate.child.stderr).not.toMatch(/^\s+at |TypeError|RangeError/m);
}

/** In words and numbers, whatever stands in the map. */
async function requireShown(gate: RunningGate): Promise<void> {
  const samples = parsePrometheus(await (await gate.fetch("/metrics")).text()).flatMap((family) => family.samples);
  expect(samples.filter(({ value }) => Number.isNaN(value))).toEqual([]);
  const shown = [["status"], ["bans"], ["bans", "--json"], ["top", "--once"]];
  for (const { code, stdout, stderr } of await Promise.all(shown.map((args) => gate.command(...args)))) {
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).not.toMatch(/NaN|undefined|Infinity|Invalid Date/);
  }
}

async function writeAnything({ libraries, map }: Scene, suffixes: readonly string[], random: Random): Promise<void> {
  for (const suffix of suffixes) {
    new RawMap(libraries, `${map.path}${suffix}`).write(entriesPerRound, (keyBytes, valueBytes) => {
      const key = keyOf(random, keyBytes);
      const value = entryValue(random, valueBytes, bootNs());
      // An end that is over lifts the ban, and a documented map has no room to say whose an entry is: docs/map.md.
      if (isOwn(key)) writeTime(value, bootNs() + 60_000_000_000n);
      return [key, value];
    });
  }
  if (random(2) === 0) {
    const settings = new RawMap(libraries, `${map.path}_settings`);
    settings.write(1, (keyBytes, valueBytes) => [new Uint8Array(keyBytes), anyBytes(random, valueBytes)]);
  }
  await sleep(walkMs);
}

/** ttgate's own; the documented map of seconds, and of nanoseconds. */
const layouts = [
  { suffixes: ["", "_cidr"], create: [] },
  { suffixes: ["", "_v6", "_cidr"], create: ["hash", "key", "4", "value", "4"] },
  { suffixes: ["", "_v6", "_cidr"], create: ["lru_hash", "key", "4", "value", "8"] },
] as const;

type Layout = (typeof layouts)[number];

async function tryLayout({ suffixes, create }: Layout): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const libraries = await openLibraries(native);
  const scene = { libraries, network: stack.use(new Network()), map: stack.use(new BlockMap()) };
  const [type = "", ...geometry] = create;
  if (type !== "") {
    const made = [scene.map.path, "type", type, ...geometry, "entries", "65536", "name", "other_map"];
    bpftool(["map", "create", ...made]);
  }
  let gate = stack.use(await start(scene));
  for (const source of ownBans) expect((await gate.command("ban", source, "--for", "1h")).code).toBe(0);
  const untilMs = performance.now() + fuzzSeconds * 1000;
  let seed = firstSeed;
  do {
    await writeAnything(scene, suffixes, createRandom(seed));
    await requireOwn(gate, seed++, "operator");
    await requireShown(gate);
  } while (performance.now() < untilMs);
  // After a crash they are in the maps alone, which are gone through while the gate serves already.
  gate.child.signal("SIGKILL");
  await gate.child.exited;
  gate = stack.use(await start(scene));
  for (const source of ownBans) await gate.banned(source);
  await requireOwn(gate, seed);
}

describeWith("namespaces", "executable")("anything in the maps", () => {
  test("costs no ban of the gate", async () => {
    await Promise.all(layouts.map(tryLayout));
  });
});
