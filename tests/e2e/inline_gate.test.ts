// SPDX-License-Identifier: Apache-2.0
// Inline mode as an administrator meets it: the server keeps its port, strangers are out before their first
// byte, and everything is told as in proxy mode. Segments by segments is tests/e2e/inline_stream.test.ts.

import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { strangers } from "../harness/strangers.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const encoder = new TextEncoder();
const request = encoder.encode(`GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: ${"x".repeat(64)}\r\n\r\n`);

interface Stage extends AsyncDisposable {
  readonly network: Network;
  readonly map: BlockMap;
  readonly server: Awaited<ReturnType<typeof startServer>>;
  readonly gate: RunningGate;
  readonly stack: AsyncDisposableStack;
}

/** The server listens on the guarded port itself; it takes clients of both families. */
async function stage(...args: readonly string[]): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const server = stack.use(await startServer(network.gate, "--host", "::", "--port", "5000"));
  const gate = stack.use(await start(network, map, ...args));
  const moved = stack.move();
  return { network, map, server, gate, stack: moved, [Symbol.asyncDispose]: () => moved[Symbol.asyncDispose]() };
}

function start(network: Network, map: BlockMap, ...args: readonly string[]): Promise<RunningGate> {
  const flags = ["-m", "inline", "-B", map.name, "-i", network.device, "-t", "5m", ...args];
  return RunningGate.start(flags, { namespace: network.gate });
}

function visit(network: Network, from: string, bytes: Uint8Array = request) {
  const isIpv6 = from.includes(":");
  const host = isIpv6 ? network.gateIpv6 : network.gateIpv4;
  // A new pair of interfaces may take a second until one side's IPv6 neighbours answer.
  return probeFrom(network.client, { host, port: 5000, from, send: [bytes], waitMs: isIpv6 ? 3000 : 600 });
}

/** Connections to the server in any state, as the kernel lists them: local address, remote address, state. */
async function connectionsOf(network: Network): Promise<string[]> {
  const { stdout } = await run(["cat", "/proc/net/tcp", "/proc/net/tcp6"], { namespace: network.gate });
  return stdout.split("\n").filter((line) => / [0-9A-F]+:1388 [0-9A-F]+:(?!0000)/.test(line));
}

describeWith("namespaces", "executable")("inline mode", () => {
  test("real clients of other protocols are banned and named, real friends are served, on IPv4 and IPv6", async () => {
    await using scene = await stage();
    const { network, gate, server } = scene;
    await using friend = await startClient(
      network.client,
      ...["--host", network.gateIpv4, "--port", "5000", "--from", network.clientIpv4(1)],
    );
    await using distant = await startClient(
      network.client,
      ...["--host", network.gateIpv6, "--port", "5000", "--from", network.clientIpv6(1)],
    );
    const expected = new Map<string, string>();
    const visits = strangers.slice(0, 6).flatMap(({ protocol, argv, input }, index) => {
      const ipv4 = network.clientIpv4(index + 2);
      const ipv6 = network.clientIpv6(index + 2);
      expected.set(ipv4, protocol).set(ipv6.replace("::2", "::/64"), protocol);
      const options = { namespace: network.client, ...(input === undefined ? {} : { input }) };
      return [run(argv(network.gateIpv4, ipv4), options), run(argv(network.gateIpv6, ipv6), options)];
    });
    await Promise.all(visits);
    for (const [source, protocol] of expected) expect((await gate.banned(source)).protocol).toBe(protocol);
    const status = await gate.until("the counts", ({ connections }) => connections.foreign === expected.size);
    expect(status).toMatchObject({ mode: "inline", connections: { foreign: expected.size, spared: 0 } });
    expect(status.bans).toMatchObject({ active: expected.size });
    expect(status.upstreams).toMatchObject([{ address: "127.0.0.1:5000", reachable: true }]);
    expect(status.kernel.judged).toMatchObject({ banned: expected.size, unproven: 0, noSocket: 0, held: 0, older: 0 });
    await friend.until("a hundred packets", ({ packets }) => packets >= 100);
    expect([(await friend.stop()).failures, (await distant.stop()).failures]).toEqual([0, 0]);
    expect((await server.stop()).strangers).toBe(0);
  });

  test("a ban is in table, log, why and metrics, with protocol and first bytes", async () => {
    await using scene = await stage();
    const { network, gate } = scene;
    const visits = Promise.all([2, 3, 4, 5, 6].map((number) => visit(network, network.clientIpv4(number))));
    const seen = await waitFor("five bans", async () => (await gate.bans()).length === 5 && (await gate.bans()));
    expect((await visits).map(({ outcome }) => outcome)).toEqual(Array.from({ length: 5 }, () => "open"));
    expect(seen.map(({ protocol, by }) => [protocol, by])).toEqual(Array.from({ length: 5 }, () => ["http", "kernel"]));
    const source = network.clientIpv4(2);
    expect((await gate.ban(source))?.evidence).toMatchObject({
      client: source,
      port: 5000,
      firstBytesText: expect.stringContaining("GET / HTTP/1.1\\r\\nHost: example.org"),
    });
    const why = await gate.command("why", source);
    expect(why.stdout).toContain("http");
    await gate.child.said(`Banned ${source} for 5m: it spoke http to port 5000`);
    await gate.until("the count", ({ kernel }) => kernel.judged?.banned === 5);
    const metrics = await (await gate.fetch("/metrics")).text();
    expect(metrics).toContain('ttgate_kernel_judged_packets_total{gate="default",outcome="banned"} 5\n');
    expect(metrics).toContain('ttgate_bans_total{protocol="http"} 5\n');
    expect((await gate.command("status")).stdout).toContain("5 banned");
  });

  test("of a stranger nothing reaches the server, and nothing of it stays in any state", async () => {
    await using scene = await stage();
    const { network, gate, server } = scene;
    const source = network.clientIpv4(2);
    expect((await visit(network, source)).outcome).toBe("open");
    await gate.banned(source);
    expect(await connectionsOf(network)).toEqual([]);
    expect((await visit(network, source)).outcome).toBe("no answer");
    expect(await server.stop()).toMatchObject({ strangers: 0, packets: 0 });
  });

  test("a dry run judges and counts in the kernel, and bans nobody", async () => {
    await using scene = await stage("--dry-run");
    const { network, gate, server } = scene;
    for (let count = 0; count < 3; count++) await visit(network, network.clientIpv4(2));
    const status = await gate.until("three judgements", ({ kernel }) => kernel.judged?.wouldBan === 3);
    expect(status).toMatchObject({ dryRun: true, bans: { active: 1, total: 1, byProtocol: { http: 1 } } });
    expect(status.kernel.entries).toBe(0);
    expect(status.connections.foreign).toBe(3);
    await gate.child.said(`Would ban ${network.clientIpv4(2)} for 5m: it spoke http`);
    expect((await server.stop()).strangers).toBe(3);
  });

  test("never bans whom --allow names: the connection is reset, and told", async () => {
    await using scene = await stage("--allow", "10.77.1.2", "--allow", "fd77:0:3::2");
    const { network, gate } = scene;
    await visit(network, network.clientIpv4(2));
    await visit(network, network.clientIpv6(3));
    const neighbour = network.clientIpv6(4);
    await visit(network, neighbour);
    await gate.banned(neighbour);
    const status = await gate.until("two spared", ({ kernel }) => kernel.judged?.spared === 2);
    expect(status).toMatchObject({ connections: { spared: 2 }, bans: { active: 1 } });
    await gate.child.said("Did not ban 10.77.1.2: it spoke http");
    expect((await visit(network, network.clientIpv4(2))).outcome).not.toBe("no answer");
  });

  test("the profile is replaced while running; one that is wrong is refused and the old one goes on", async () => {
    await using scene = await stage();
    await scene.gate.child.stop();
    using directory = new TempDir();
    const ssh = 'expect = { kind = "protocol", name = "ssh" }\n';
    const file = directory.write("site.toml", ssh);
    const { network, map, stack } = scene;
    const gate = stack.use(await start(network, map, "-p", file));
    const greeting = encoder.encode("SSH-2.0-OpenSSH_9.2\r\n");
    await using _friend = await startClient(
      network.client,
      ...["--host", network.gateIpv4, "--port", "5000", "--from", network.clientIpv4(2)],
    );
    await gate.banned(network.clientIpv4(2));
    await visit(network, network.clientIpv4(3), greeting);
    expect(await gate.ban(network.clientIpv4(3))).toBeUndefined();

    directory.write("site.toml", 'expect = { kind = "nonsense" }\n');
    gate.child.signal("SIGHUP");
    await gate.child.said(/Cannot reload: [^\n]*site\.toml[^\n]*; the configuration from before goes on/);
    await visit(network, network.clientIpv4(4), greeting);
    expect(await gate.ban(network.clientIpv4(4))).toBeUndefined();

    directory.write("site.toml", 'expect = { kind = "protocol", name = "mqtt" }\n');
    gate.child.signal("SIGHUP");
    await gate.child.said(/Profile [^\n]*site\.toml was read again/);
    await visit(network, network.clientIpv4(5), greeting);
    expect((await gate.banned(network.clientIpv4(5))).protocol).toBe("ssh");
  });

  test("with --reject reset a stranger hears a reset when it sends again, where the interface can answer", async () => {
    using network = new Network();
    using map = new BlockMap();
    const server = ["--host", "127.0.0.1", "--port", "5000"];
    await using standIn = await startServer(network.gate, ...server);
    const onLoopback = [
      "-m",
      "inline",
      "-B",
      map.name,
      "-i",
      "lo",
      "-l",
      "127.0.0.1:5000",
      "--reject",
      "reset",
      "--never-ban",
      "none",
    ];
    await using gate = await RunningGate.start(onLoopback, { namespace: network.gate });
    const from = "127.0.0.9";
    const visitor = { host: "127.0.0.1", port: 5000, from, send: [request], waitMs: 5000 };
    expect((await probeFrom(network.gate, visitor)).outcome).toBe("reset");
    expect(await gate.banned(from)).toMatchObject({ protocol: "http" });
    await gate.until("an answer", ({ kernel }) => (kernel.judged?.bounced ?? 0) > 0);
    expect((await gate.status()).kernel.attach).toBe("generic");
    // Not so a new connection: nobody is told that there is anything.
    expect((await probeFrom(network.gate, { ...visitor, waitMs: 600 })).outcome).toBe("no answer");
    expect((await standIn.stop()).strangers).toBe(0);
  });

  test("--reject reset says where it cannot answer", async () => {
    await using scene = await stage("--reject", "reset");
    await scene.gate.child.said(/strangers may get silence instead of a reset: [^\n]*veth/);
  });

  test("killed, the kernel goes on judging; the next start takes up what it did meanwhile", async () => {
    await using scene = await stage();
    const { network, map, gate, server, stack } = scene;
    gate.child.signal("SIGKILL");
    await gate.child.done();
    const source = network.clientIpv4(2);
    await visit(network, source);
    expect((await visit(network, source)).outcome).toBe("no answer");
    const [program] = xdpPrograms(network.gate, network.device);
    expect(program).toBeDefined();
    const next = stack.use(await start(network, map));
    expect(await next.banned(source)).toMatchObject({ protocol: "http", by: "kernel" });
    expect(xdpPrograms(network.gate, network.device)).not.toEqual([program]);
    await visit(network, network.clientIpv4(3));
    await next.banned(network.clientIpv4(3));
    await next.child.stop();
    expect([map.pins(), xdpPrograms(network.gate, network.device)]).toEqual([[], []]);
    expect((await server.stop()).strangers).toBe(0);
  });

  test("with --prefilter a stranger wakes neither gate nor server, and the gate relays friends", async () => {
    using network = new Network();
    using map = new BlockMap();
    await using server = await startServer(network.gate, "--port", "5001");
    const flags = ["--prefilter", "-B", map.name, "-i", network.device];
    await using gate = await RunningGate.start(flags, { namespace: network.gate });
    const source = network.clientIpv4(2);
    await visit(network, source);
    expect((await gate.banned(source)).protocol).toBe("http");
    await using friend = await startClient(
      network.client,
      ...["--host", network.gateIpv4, "--port", "5000", "--from", network.clientIpv4(1)],
    );
    await friend.until("thirty packets", ({ packets }) => packets >= 30);
    const status = await gate.until("the count", ({ kernel }) => kernel.judged?.banned === 1);
    expect(status).toMatchObject({ mode: "proxy", connections: { foreign: 1 } });
    expect((await friend.stop()).failures).toBe(0);
    expect((await server.stop()).strangers).toBe(0);
  });
});

describeWith("namespaces", "executable")("inline mode that cannot work", () => {
  test("a server that is not there makes it not ready, and so it is told; it guards all the same", async () => {
    using network = new Network();
    using map = new BlockMap();
    await using gate = await start(network, map);
    await gate.child.said(/Nothing answers on 127\.0\.0\.1:5000 in this network namespace: [^\n]*--mode proxy/);
    const reply = await gate.fetch("/readyz");
    expect([reply.status, await reply.text()]).toEqual([503, expect.stringContaining("The server does not answer")]);
    await using _server = await startServer(network.gate, "--host", "::", "--port", "5000");
    expect(await waitFor("readiness", async () => (await gate.fetch("/readyz")).status === 200)).toBe(true);
  });

  test.each([
    ["a profile that needs user space", ["-p", "postgres"], 2, 'Profile "postgres" cannot be judged in the kernel: '],
    ["no map", [], 2, "--block-map"],
  ] as const)("%s is refused, with the remedy", async (name, args, code, says) => {
    using network = new Network();
    using map = new BlockMap();
    const block = name === "no map" ? [] : ["-B", map.name];
    const argv = ttgate(["-m", "inline", "-s", "off", ...block, "-i", network.device, ...args]);
    const result = await run(argv, { namespace: network.gate });
    expect([result.code, result.stdout]).toEqual([code, ""]);
    expect(result.stderr.trimEnd().split("\n").at(-1)).toContain(says);
    expect(map.pins()).toEqual([]);
  });

  test("no packet of the server's connections comes by: told, and not ready", async () => {
    await using scene = await stage();
    const { network, gate } = scene;
    // Segments to the guarded port of an address that is not this host's: as to a container behind it.
    const script = readFileSync(new URL("../harness/stray_segments.py", import.meta.url), "utf8");
    await run(["python3", "-c", script, network.clientDevice, network.clientIpv4(2), network.gateIpv4, "20"], {
      namespace: network.client,
    });
    await gate.until("segments without a connection", ({ kernel }) => (kernel.judged?.noSocket ?? 0) >= 10);
    const reply = await gate.fetch("/readyz");
    expect([reply.status, await reply.text()]).toEqual([503, expect.stringContaining("The kernel judges nobody")]);
  });
});
