// SPDX-License-Identifier: Apache-2.0
// The contract of -B, seen with bpftool from outside: key and value bytes, entries of other tools, and
// what is left when the gate stops.

import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { run } from "../harness/child.ts";
import { BlockMap, bpftool, RunningGate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(30_000);

const timeoutSeconds = 300;

interface Entry {
  readonly key: readonly number[];
  readonly value: readonly number[];
}

function dump(path: string): Entry[] {
  const numbers = (bytes: readonly string[]) => bytes.map((byte) => Number.parseInt(byte, 16));
  const raw = bpftool(["map", "dump", "pinned", path]) as { key: string[]; value: string[] }[];
  return raw.map(({ key, value }) => ({ key: numbers(key), value: numbers(value) }));
}

function unsigned(bytes: readonly number[]): number {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

function uptimeSeconds(): number {
  return Number.parseFloat(readFileSync("/proc/uptime", "utf8"));
}

function octets(address: string): number[] {
  return address.split(".").map(Number);
}

/** A gate with a server behind it, and a source that spoke HTTP. */
async function scene(stack: AsyncDisposableStack, map: BlockMap, ...args: readonly string[]) {
  const network = stack.use(new Network());
  stack.use(await startServer(network.gate, "--port", "5001"));
  const options = ["-B", map.name, "-i", network.device, "-t", `${timeoutSeconds}s`, ...args];
  const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
  const speakHttp = async (from: string, host = network.gateIpv4) => {
    const url = host.includes(":") ? `http://[${host}]:5000/` : `http://${host}:5000/`;
    await run(["curl", "-sS", "--max-time", "5", "--interface", from, url], { namespace: network.client });
    return gate.banned(from);
  };
  const knock = (from: string) => probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 400 });
  return { network, gate, speakHttp, knock };
}

function createDocumentedMap(map: BlockMap, ...geometry: readonly string[]): void {
  bpftool(["map", "create", map.path, "type", "hash", "key", "4", ...geometry, "name", "tapetrack_block_map"]);
}

describeWith("namespaces", "executable")("the documented map, made with bpftool", () => {
  test("has the address in network byte order and the expiry in seconds since boot", async () => {
    await using stack = new AsyncDisposableStack();
    const map = stack.use(new BlockMap());
    createDocumentedMap(map, "value", "4", "entries", "1024");
    const { network, gate, speakHttp, knock } = await scene(stack, map);
    const from = network.clientIpv4(3);
    const before = uptimeSeconds();
    await speakHttp(from);
    const [entry, ...others] = dump(map.path);
    expect(others).toEqual([]);
    expect(entry?.key).toEqual(octets(from));
    const expiry = unsigned(entry?.value ?? []);
    expect(expiry).toBeGreaterThanOrEqual(Math.floor(before + timeoutSeconds));
    expect(expiry).toBeLessThanOrEqual(Math.ceil(uptimeSeconds() + timeoutSeconds));
    expect((await knock(from)).outcome).toBe("no answer");
    expect((await knock(network.clientIpv4(4))).outcome).toBe("open");
    const { kernel } = await gate.until("the drop", (status) => status.kernel.droppedPackets > 0);
    expect(kernel).toMatchObject({ attach: "native", map: map.path, entries: 1, capacity: 1024 });
  });

  test("with 8-byte values has nanoseconds", async () => {
    await using stack = new AsyncDisposableStack();
    const map = stack.use(new BlockMap());
    createDocumentedMap(map, "value", "8", "entries", "64");
    const { network, speakHttp, knock } = await scene(stack, map);
    const from = network.clientIpv4(3);
    const before = uptimeSeconds();
    await speakHttp(from);
    const expiry = unsigned(dump(map.path)[0]?.value ?? []) / 1e9;
    expect(expiry).toBeGreaterThan(before + timeoutSeconds - 0.1);
    expect(expiry).toBeLessThan(uptimeSeconds() + timeoutSeconds + 0.1);
    expect((await knock(from)).outcome).toBe("no answer");
  });

  test("keeps an IPv6 source beside it", async () => {
    await using stack = new AsyncDisposableStack();
    const map = stack.use(new BlockMap());
    createDocumentedMap(map, "value", "4", "entries", "1024");
    const { network, speakHttp } = await scene(stack, map);
    const from = network.clientIpv6(3);
    expect(await speakHttp(from, network.gateIpv6)).toMatchObject({ source: "fd77:0:3::/64" });
    const again = await probeFrom(network.client, { host: network.gateIpv6, port: 5000, from, waitMs: 400 });
    expect(again.outcome).toBe("no answer");
    expect(dump(map.path)).toEqual([]);
  });

  test("keeps what people wrote by hand, and only that, after the gate has stopped", async () => {
    await using stack = new AsyncDisposableStack();
    const map = stack.use(new BlockMap());
    createDocumentedMap(map, "value", "4", "entries", "1024");
    const byHand = "10.77.1.6";
    const key = octets(byHand).map(String);
    bpftool(["map", "update", "pinned", map.path, "key", ...key, "value", "1", "0", "0", "0"]);
    const { network, gate, speakHttp, knock } = await scene(stack, map);
    await speakHttp(network.clientIpv4(3));
    expect((await knock(byHand)).outcome).toBe("no answer");
    expect(dump(map.path)).toHaveLength(2);
    const left = expect.stringContaining("Another tool's entries in the map stay, 1 of them: ");
    const all = (...args: readonly string[]) => gate.command("lift", "--all", ...args);
    expect(await all()).toMatchObject({ code: 1, stdout: `Lifted ${network.clientIpv4(3)}\n`, stderr: left });
    expect(await all("--idempotent")).toMatchObject({ code: 1, stdout: "", stderr: left });
    expect(await all("--by", "fail2ban")).toMatchObject({ code: 1, stderr: "ttgate: Nobody is banned by fail2ban\n" });
    await speakHttp(network.clientIpv4(4));
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    expect(dump(map.path)).toEqual([{ key: octets(byHand), value: [1, 0, 0, 0] }]);
    expect(map.pins()).toEqual([map.path]);
    expect(xdpPrograms(network.gate, network.device)).toEqual([]);
  });
});

describeWith("namespaces", "executable")("ttgate's own map", () => {
  test("has v4-mapped addresses and /64 networks as keys", async () => {
    await using stack = new AsyncDisposableStack();
    const map = stack.use(new BlockMap());
    const { network, speakHttp } = await scene(stack, map);
    await speakHttp(network.clientIpv4(3));
    await speakHttp(network.clientIpv6(5), network.gateIpv6);
    const entries = dump(map.path).toSorted((a, b) => (b.key[0] ?? 0) - (a.key[0] ?? 0));
    expect(entries.map(({ key }) => key)).toEqual([
      [0xfd, 0x77, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...octets(network.clientIpv4(3))],
    ]);
    for (const { value } of entries) {
      expect(value).toHaveLength(40);
      expect(unsigned(value.slice(0, 8)) / 1e9).toBeWithin(
        uptimeSeconds() + timeoutSeconds - 30,
        uptimeSeconds() + timeoutSeconds + 1,
      );
    }
  });

  test("takes bans of other tools: an entry of zero bytes blocks until it is taken out", async () => {
    await using stack = new AsyncDisposableStack();
    const map = stack.use(new BlockMap());
    const { network, knock } = await scene(stack, map);
    const from = network.clientIpv4(4);
    const key = ["0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "255", "255", ...octets(from).map(String)];
    expect((await knock(from)).outcome).toBe("open");
    bpftool(["map", "update", "pinned", map.path, "key", ...key, "value", ...Array<string>(40).fill("0")]);
    expect((await knock(from)).outcome).toBe("no answer");
    bpftool(["map", "delete", "pinned", map.path, "key", ...key]);
    await waitFor("the way in", async () => (await knock(from)).outcome === "open");
  });
});
