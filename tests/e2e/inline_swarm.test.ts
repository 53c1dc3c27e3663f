// SPDX-License-Identifier: Apache-2.0
// Thousands of real connections whose first packet the kernel cuts anywhere, judged by inline mode: friends
// lose nothing and wait for nothing; of strangers the kernel says what user space would.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { loadSignatureTable, loadSniffer } from "../../src/config/profile.ts";
import type { BanView } from "../../src/status/snapshot.ts";
import { runTable } from "../core/signature/table_reader.ts";
import { Child } from "../harness/child.ts";
import { InlineBed, sysctl } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { ip } from "../harness/netns.ts";
import { waitFor } from "../harness/wait.ts";
import { createFriends } from "../vectors/friends.ts";
import { loadVectors } from "../vectors/vectors.ts";

setDefaultTimeout(60_000);

const connections = 2000;

/** Seeded, so that a failure can be repeated (Park and Miller 1988). */
function createRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state * 48_271) % 0x7fff_ffff;
    return state % limit;
  };
}

/** Anywhere, in up to eight pieces; some in bytes. */
function cut(bytes: Uint8Array, below: (limit: number) => number): string[] {
  const isSlow = below(10) === 0;
  const ends = new Set([bytes.length]);
  for (let count = below(8); count > 0; count--) ends.add(1 + below(bytes.length));
  if (isSlow) for (let at = 1; at < Math.min(bytes.length, 40); at++) ends.add(at);
  const sorted = [...ends].sort((a, b) => a - b);
  return sorted.map((end, index) => bytes.slice(sorted[index - 1] ?? 0, end).toHex());
}

/** One end of the pair knows the other without asking. */
function introduce(here: string, device: string, peers: readonly string[], there: string, peerDevice: string): void {
  const [link] = JSON.parse(ip("-n", there, "-j", "link", "show", peerDevice)) as [{ address: string }];
  for (const peer of peers) ip("-n", here, "neigh", "replace", peer, "lladdr", link.address, "dev", device);
}

interface Visit {
  readonly from: string;
  readonly pieces: readonly string[];
}

describeWith("namespaces", "executable")(`${connections} connections`, () => {
  let bed: InlineBed;

  /** Addresses without number, half of them IPv4, each IPv6 one in a /64 of its own. */
  const addressOf = (index: number) =>
    index % 2 === 0 ? `10.78.${index >> 8}.${index & 0xff}` : `fd78:0:0:${index.toString(16)}::2`;

  beforeAll(async () => {
    bed = await InlineBed.open();
    await sysctl(bed.network.client, "net.ipv6.ip_nonlocal_bind=1");
    const { network } = bed;
    const { gate, client } = network;
    ip("-n", client, "route", "add", "local", "10.78.0.0/16", "dev", "lo");
    ip("-n", client, "-6", "route", "add", "local", "fd78::/32", "dev", "lo");
    ip("-n", gate, "route", "add", "10.78.0.0/16", "via", network.clientIpv4(1));
    ip("-n", gate, "-6", "route", "add", "fd78::/32", "via", network.clientIpv6(1));
    // Asked for in the name of an address that is not the interface's, neighbours answer late or never.
    introduce(gate, network.device, [network.clientIpv4(1), network.clientIpv6(1)], client, network.clientDevice);
    introduce(client, network.clientDevice, [network.gateIpv4, network.gateIpv6], gate, network.device);
  });
  afterAll(() => bed?.[Symbol.asyncDispose]());

  async function visitAll(visits: readonly Visit[], settled: () => boolean | Promise<boolean>): Promise<void> {
    const script = join(import.meta.dirname, "../harness/segments_main.ts");
    const { gateIpv4, gateIpv6, client } = bed.network;
    const start = (host: string) =>
      new Child([process.execPath, script, host, "5000"], { namespace: client, holdInput: true });
    await using four = start(gateIpv4);
    await using six = start(gateIpv6);
    four.send(`${JSON.stringify(visits.filter(({ from }) => !from.includes(":")))}\n`);
    six.send(`${JSON.stringify(visits.filter(({ from }) => from.includes(":")))}\n`);
    for (const child of [four, six]) await child.said(/"made":/, 30_000);
    await waitFor("all to be settled", settled, 20_000);
    for (const child of [four, six]) expect(child.stdout).toBe(`{"made":${visits.length / 2}}\n`);
  }

  /** What the server got, by address. */
  function arrived(): Map<string, string> {
    const found = new Map<string, string>();
    for (const line of bed.sink.lines()) {
      const [word, address = "", , hex = ""] = line.split(" ");
      if (word === "data") found.set(address, (found.get(address) ?? "") + hex);
    }
    return found;
  }

  test("of friends: every byte arrives, nothing is held", async () => {
    const friends = createFriends(7);
    const below = createRandom(7);
    const wanted = new Map<string, string>();
    const visits = Array.from({ length: connections }, (_, index): Visit => {
      const bytes = friends.next().slice(0, 16 + below(185));
      wanted.set(addressOf(index), bytes.toHex());
      return { from: addressOf(index), pieces: cut(bytes, below) };
    });
    const missing = () => {
      const found = arrived();
      return [...wanted].filter(([from, hex]) => found.get(from) !== hex).map(([from]) => from);
    };
    await visitAll(visits, () => missing().length === 0).catch(() => {});
    expect(missing()).toEqual([]);
    const { passed, undecided, ...others } = bed.counts();
    expect(Object.values(others).every((count) => count === 0)).toBe(true);
    expect(passed).toBeGreaterThan(connections / 2);
    expect(undecided).toBeGreaterThan(0);
    expect(await bed.gate.bans()).toEqual([]);
    // What TCP sends again on a busy machine, it does not because of a packet that was dropped here.
    expect((await bed.gate.status()).kernel.droppedPackets).toBe(0);
  });

  test("of strangers: all are banned, by the name that user space has for them", async () => {
    const sniffer = loadSniffer("tapetrack");
    const sniff = (bytes: Uint8Array) => sniffer.sniff(bytes, false);
    const { bytes: table, protocols: owners } = loadSignatureTable("tapetrack");
    const foreign = loadVectors()
      .map(({ bytes }) => bytes.slice(0, 200))
      .filter((bytes) => sniff(bytes).kind === "foreign");
    // A few rules look further than the kernel does, and stay out of its table.
    const hostile = foreign.filter((bytes) => {
      const verdict = sniff(bytes);
      const names = runTable(table, bytes).refuters.map((owner) => owners[owner]);
      return verdict.kind === "foreign" && names.includes(verdict.protocol);
    });
    expect(hostile.length).toBeGreaterThan(foreign.length * 0.98);
    const below = createRandom(11);
    const protocols = new Map<string, string>();
    const visits = Array.from({ length: connections }, (_, index): Visit => {
      const from = addressOf(connections + index);
      const bytes = hostile[index % hostile.length] ?? new Uint8Array();
      const verdict = sniff(bytes);
      protocols.set(from, verdict.kind === "foreign" ? verdict.protocol : "");
      return { from, pieces: cut(bytes, below) };
    });
    const before = bed.counts();
    await visitAll(visits, async () => (await bed.gate.status()).bans.active >= connections);
    const { bans } = (await (await bed.gate.fetch("/bans?limit=10000")).json()) as { bans: readonly BanView[] };
    const named = new Map(bans.map(({ source, protocol }) => [source, protocol]));
    const wrong = [...protocols].filter(([from, protocol]) => {
      return named.get(from.includes(":") ? from.replace("::2", "::/64") : from) !== protocol;
    });
    expect(wrong).toEqual([]);
    const { banned, not_banned, spared, held, event_lost } = bed.counts();
    expect({ banned, not_banned, spared, held, event_lost }).toEqual({
      ...{ banned: before.banned + connections, not_banned: 0, spared: 0, held: 0, event_lost: 0 },
    });
  });
});
