// SPDX-License-Identifier: Apache-2.0
// Hand-made connections against inline mode on the real kernel. The property: what the server's socket reads
// was judged, so that it has never read what the same engine calls foreign; and no friend is banned. TTGATE_FUZZ_SECONDS runs longer,
// TTGATE_FUZZ_SEED runs another one; a failure tells the seed.
import { expect, setDefaultTimeout, test } from "bun:test";
import process from "node:process";
import { loadSignatureTable } from "../../src/config/profile.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { type Engine, kindOf, openEngine, verdictForeign } from "../bpf/inline.ts";
import { fragmentsOf } from "../harness/fragments.ts";
import { InlineBed } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { ip } from "../harness/netns.ts";
import { createRandom, pick, type Random } from "../harness/random.ts";
import { RawConnection } from "../harness/raw_tcp.ts";
import { sleep } from "../harness/wait.ts";
import { type Script, type ScriptSegment, scriptOf, type Words } from "./segment_script.ts";

const seconds = Number(process.env["TTGATE_FUZZ_SECONDS"] ?? "0");
const firstSeed = Number(process.env["TTGATE_FUZZ_SEED"] ?? "1");
/** With each bed: a source is banned once, and RawClients has 250 of each family. */
const connectionsPerBed = 240;
const atOnce = 12;
/** Between two bursts, and for the server's last word. */
const burstMs = 3;
const settleMs = 700;

setDefaultTimeout(60_000 + seconds * 2000);

const text = (line: string) => new TextEncoder().encode(line);
/** A client says enough with its first bytes. */
const profile = "ssh";
const words: Words = {
  friendly: [text("SSH-2.0-OpenSSH_9.6 and so on\r\n"), text("SSH-1.99-x\r\n"), text("SSH-2.0-PuTTY_Release_0.80\r\n")],
  hostile: [
    text("GET / HTTP/1.1\r\nHost: gate\r\n\r\n"),
    text("SSH-3.0-OpenSSH_9.6 and so on\r\n"),
    text("SSH-2.1-OpenSSH_9.6\r\n"),
    text("SSX-2.0-OpenSSH_9.6 and so on\r\n"),
    Uint8Array.of(0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3, ...new Array(60).fill(0x5a)),
  ],
};

/** PREFIX_BYTES of bpf/signature_table.h. */
const prefixBytes = 256;

interface Outcome {
  readonly read: ReadonlyMap<string, Uint8Array>;
  readonly banned: ReadonlySet<string>;
  readonly engine: Engine;
}

interface Played {
  readonly script: Script;
  readonly connection: RawConnection;
}

function framesOf(connection: RawConnection, script: ScriptSegment): Uint8Array[] {
  const { cuts, reversed, timestamp, ...segment } = script;
  const stamped = timestamp === undefined ? {} : { options: connection.timestamps(timestamp) };
  const frame = connection.frame({ ...segment, ...stamped });
  if (cuts === undefined) return [frame];
  const fragments = fragmentsOf(frame, cuts);
  return reversed === true ? fragments.reverse() : fragments;
}

async function play(bed: InlineBed, script: Script, source: string): Promise<Played> {
  const { clients } = bed;
  const connection = new RawConnection(clients, clients.ends(source), script.connect);
  connection.sendSyn();
  // RFC 7413 4.1.3: once more without data, if the data is what nobody answers.
  if (script.connect.synBytes !== undefined) connection.sendSyn(new Uint8Array());
  await connection.answered();
  if (script.connect.lastAck !== false) connection.send({});
  for (const burst of script.bursts) {
    clients.sendFrames(...burst.flatMap((segment) => framesOf(connection, segment)));
    await sleep(burstMs);
  }
  return { script, connection };
}

/** What the server read, by connection. */
function readings(bed: InlineBed): Map<string, Uint8Array> {
  const read = new Map<string, string>();
  for (const line of bed.sink.lines()) {
    const [word, address, port, hex = ""] = line.split(" ");
    if (word === "data") read.set(`${address} ${port}`, `${read.get(`${address} ${port}`) ?? ""}${hex}`);
  }
  return new Map([...read].map(([name, hex]) => [name, Uint8Array.fromHex(hex)]));
}

async function round(random: Random, engine: Engine): Promise<{ readonly wrong: string[]; readonly read: number }> {
  const hasCookies = random(3) === 0;
  await using bed = await InlineBed.open({
    sink: [pick(random, ["mptcp", "fastopen", "defer"] as const)],
    gate: ["-p", profile],
    // What a SYN carries is taken without a cookie, where the server asked for TCP Fast Open.
    sysctl: ["net.ipv4.tcp_fastopen=0x203", ...(hasCookies ? ["net.ipv4.tcp_syncookies=2"] : [])],
  });
  if (random(2) === 0) inBatches(bed);
  const scripts = Array.from({ length: connectionsPerBed }, () => scriptOf(random, words, hasCookies));
  const waiting = scripts.map((script) => ({
    script,
    source: script.family === 4 ? bed.nextIpv4() : bed.nextIpv6(),
  }));
  const played: Played[] = [];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      played.push(await play(bed, next.script, next.source));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  await sleep(settleMs);
  const read = readings(bed);
  const banned = new Set((await bed.gate.bans()).map(({ source }) => source));
  const outcome = { read, banned, engine };
  const wrong = played.flatMap(({ script, connection }) => faultsOf(script, connection, outcome));
  return { wrong, read: read.size };
}

/** As from a card: the program sees several packets before the kernel takes the first. */
function inBatches({ network: { gate, device } }: InlineBed): void {
  ip("netns", "exec", gate, "sh", "-c", `echo 1 > /sys/class/net/${device}/threaded`);
}

function faultsOf(script: Script, { name, ends }: RawConnection, { read, banned, engine }: Outcome): string[] {
  const bytes = read.get(name) ?? new Uint8Array();
  const told = `${new TextDecoder("latin1").decode(bytes)} by ${JSON.stringify(script, withHex)}`;
  const network = ends.source.includes(":") ? ends.source.replace(/::2$/, "::/64") : ends.source;
  const faults: string[] = [];
  if (isForeign(engine, bytes)) faults.push(`the server read what is foreign: ${told}`);
  if (script.isFriend && banned.has(network)) faults.push(`a friend was banned: ${told}`);
  if (script.isFriend && bytes.length === 0) faults.push(`a friend was not served: ${told}`);
  return faults;
}

function isForeign(engine: Engine, bytes: Uint8Array): boolean {
  const length = Math.min(bytes.length, prefixBytes);
  return length > 0 && kindOf(engine.verdict(bytes, length)) === verdictForeign;
}

function withHex(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? value.toHex() : value;
}

describeWith("namespaces", "executable")("hand-made connections", () => {
  test("get nothing to the server that was not judged, and no friend is banned", async () => {
    using engine = openEngine(await openLibraries(native), "helpers");
    engine.use(loadSignatureTable(profile).bytes);
    const untilMs = performance.now() + seconds * 1000;
    let seed = firstSeed;
    let connections = 0;
    do {
      const { wrong, read } = await round(createRandom(seed), engine);
      expect({ seed, wrong }).toEqual({ seed, wrong: [] });
      // The fuzzer itself works: many a server read something.
      expect(read).toBeGreaterThan(connectionsPerBed / 8);
      connections += connectionsPerBed;
      seed++;
    } while (performance.now() < untilMs);
    console.log(`${connections} connections, seeds ${firstSeed} to ${seed - 1}`);
  });
});
