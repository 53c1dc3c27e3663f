// SPDX-License-Identifier: Apache-2.0
// Servers behind the gate that come, go, move and cannot be reached, as an operator sees it.
import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { concatenated } from "../../src/core/concatenated.ts";
import { Child, run } from "../harness/child.ts";
import { type Form, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { freePort } from "../harness/ports.ts";
import { probe, probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { serveTapeTrack } from "../harness/tapetrack.ts";
import { seal } from "../harness/tapetrack_wire.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const friend = seal(new TextEncoder().encode("hello"), "bare");
const stranger = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");

async function readiness(gate: RunningGate) {
  const reply = await gate.fetch("/readyz");
  return { status: reply.status, text: JSON.stringify(await reply.json()) };
}

describeWith("executable")("two servers", () => {
  test("checks tell of one that goes and comes: log, status, metrics, events", async () => {
    await using first = await serveTapeTrack({});
    await using second = await serveTapeTrack({});
    const upstreams = [first, second].map(({ port }) => `127.0.0.1:${port}`);
    const port = await freePort();
    const checks = ["--check", "500ms", "--rise", "1", "--fall", "2"];
    await using gate = await RunningGate.start([
      ...["-l", `127.0.0.1:${port}`, ...checks],
      ...upstreams.flatMap((upstream) => ["-u", upstream]),
    ]);
    const [name] = upstreams;
    const isUp = (wanted: boolean) =>
      gate.until(`reachable: ${wanted}`, (status) => status.upstreams[0]?.reachable === wanted);
    await isUp(true);
    await first[Symbol.asyncDispose]();
    const down = await isUp(false);
    expect(down).toMatchObject({ balance: "failover", checkSeconds: 0.5 });
    expect(down.upstreams[0]).toMatchObject({ error: "ECONNREFUSED", active: 0, total: 0, resolved: null });
    expect(down.upstreams[0]?.failed).toBeGreaterThanOrEqual(2);
    await gate.child.said(
      new RegExp(`Upstream ${name} is not reachable: ECONNREFUSED; clients go to another until it is`),
    );
    expect((await readiness(gate)).status).toBe(200);
    expect((await probe({ host: "127.0.0.1", port, send: [friend] })).received).not.toBe("");
    const metrics = await (await gate.fetch("/metrics")).text();
    for (const line of [
      `ttgate_upstream_reachable{gate="default",upstream="${name}"} 0`,
      `ttgate_upstream_reachable{gate="default",upstream="${upstreams[1]}"} 1`,
      `ttgate_upstream_connections_total{gate="default",upstream="${upstreams[1]}"} 1`,
      'ttgate_connect_shortages_total{gate="default"} 0',
    ]) {
      expect(metrics).toContain(`${line}\n`);
    }
    expect(metrics).toMatch(new RegExp(`ttgate_upstream_failures_total\\{gate="default",upstream="${name}"\\} [1-9]`));
    await using back = await serveTapeTrack({ port: first.port });
    await isUp(true);
    expect((await gate.command("status")).stdout).toContain(`${name} (reachable)`);
    expect((await probe({ host: "127.0.0.1", port, send: [friend] })).received).not.toBe("");
    expect(back.counters.packets).toBe(1);

    const stream = await gate.fetch("/events", { headers: { "Last-Event-ID": "0" } });
    let told = "";
    for await (const bytes of stream.body ?? []) {
      told += new TextDecoder().decode(bytes);
      if (told.split(`"upstream":"${name}"`).length > 3) break;
    }
    const states = [...told.matchAll(new RegExp(`"upstream":"${name}","reachable":(true|false)`, "g"))];
    expect(states.map(([, state]) => state)).toEqual(["true", "false", "true"]);
  });
});

describeWith("namespaces", "executable")("a host that has no port left", () => {
  test("resets who cannot be connected, says why, and takes no server for down", async () => {
    using network = new Network();
    await using _server = await startServer(network.gate, "--port", "5001");
    const range = 'echo "40000 40001" > /proc/sys/net/ipv4/ip_local_port_range';
    await run(["sh", "-c", range], { namespace: network.gate });
    await using gate = await RunningGate.start([], { namespace: network.gate });
    await gate.until("the server", ({ upstreams }) => upstreams[0]?.reachable === true);
    const knock = () => probeFrom(network.client, { host: network.gateIpv4, port: 5000, send: [friend], waitMs: 1500 });
    const results = await Promise.all([knock(), knock(), knock(), knock()]);
    expect(results.filter(({ outcome }) => outcome === "reset").length).toBeGreaterThanOrEqual(2);
    const status = await gate.status();
    expect(status.upstreams[0]).toMatchObject({ reachable: true, failed: 0 });
    expect(status.connections.shortOfResources).toBeGreaterThanOrEqual(2);
    await gate.child.said(
      /Cannot connect to upstream 127\.0\.0\.1:5001: EADDRNOTAVAIL, no local port .*ip_local_port_range/,
    );
    expect(gate.child.stderr).not.toContain("is not reachable");
    expect(await readiness(gate)).toEqual({ status: 503, text: expect.stringContaining("ip_local_port_range") });
  });
});

describeWith(
  "executable",
  "deno",
  "root",
)("a unix socket", () => {
  const refused = "EACCES, no permission: let ttgate run as a member of the socket's group";

  test.each<Form>(["executable", "deno"])(
    "as upstream of the %s, behind a proxy, is told of the client inside",
    async (form) => {
      using directory = new TempDir();
      const path = directory.file("server");
      const heads: string[] = [];
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.on("data", (bytes) => {
          heads.push(bytes.toString("latin1"));
          socket.write("welcome");
        });
      });
      await new Promise<void>((resolve) => server.listen(path, resolve));
      using _close = { [Symbol.dispose]: () => void server.close() };
      const port = await freePort();
      const proxy = "127.0.0.9";
      const options = ["-u", `unix:${path}`, "--accept-proxy", proxy, "--send-proxy", "v1"];
      await using gate = await RunningGate.start(["-l", `127.0.0.1:${port}`, ...options], { form });
      expect((await readiness(gate)).status).toBe(200);
      const header = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
      const knock = (...send: readonly Uint8Array[]) => probe({ host: "127.0.0.1", port, from: proxy, send });
      const encoded = new TextEncoder().encode(header);
      expect(await knock(concatenated(encoded, friend))).toEqual({ outcome: "open", received: "welcome" });
      expect(await knock(encoded.subarray(0, 9), encoded.subarray(9), friend)).toMatchObject({ received: "welcome" });
      const looks = heads.filter((head) => head.startsWith("PROXY UNKNOWN"));
      expect(looks.length).toBeGreaterThan(0);
      const expected = header + Buffer.from(friend).toString("latin1");
      expect(heads.filter((head) => !looks.includes(head))).toEqual([expected, expected]);
      const { upstreams, bans } = await gate.status();
      expect(upstreams).toMatchObject([{ address: `unix:${path}`, reachable: true, total: 2 }]);
      expect(bans.active).toBe(0);
      await knock(concatenated(encoded, stranger));
      expect((await gate.banned("192.0.2.7")).protocol).toBe("http");
      expect((await knock(concatenated(encoded, friend))).outcome).toBe("reset");
      expect((await gate.status()).connections).toMatchObject({ foreign: 1, refusedBanned: 1, withoutHeader: 0 });
    },
  );

  test("that may not be connected to: readiness and doctor say what to do", async () => {
    using directory = new TempDir();
    chmodSync(directory.path, 0o755);
    const path = directory.file("server");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    using _close = { [Symbol.dispose]: () => void server.close() };
    chmodSync(path, 0o600);
    const port = await freePort();
    const [status, options] = [await freePort(), ["-l", `127.0.0.1:${port}`, "-u", `unix:${path}`]];
    const nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
    const argv = [...nobody, ...ttgate(["run", "-s", `127.0.0.1:${status}`, ...options, "-c", "/dev/null"])];
    await using gate = new Child(argv, { cwd: "/" });
    await gate.said(new RegExp(`Upstream unix:${path} is not reachable: ${refused}`));
    const ready = await fetch(`http://127.0.0.1:${status}/readyz`);
    expect([ready.status, JSON.stringify(await ready.json())]).toEqual([503, expect.stringContaining(refused)]);
    const doctor = await run([...nobody, ...ttgate(["doctor", "--json", ...options, "-c", "/dev/null"])], { cwd: "/" });
    const { findings } = JSON.parse(doctor.stdout) as { findings: { name: string }[] };
    expect(findings.find(({ name }) => name === "upstream")).toMatchObject({
      state: "bad",
      found: expect.stringContaining(`unix:${path}: ${refused}`),
      remedy: expect.stringContaining(`ls -l ${path}`),
    });
    chmodSync(path, 0o666);
    await waitFor("a way to the server", async () => (await fetch(`http://127.0.0.1:${status}/readyz`)).status === 200);
  });
});

describeWith("executable", "apart")("a name", () => {
  test("is asked again and again: clients follow it, and keep the last address when it is gone", async () => {
    using directory = new TempDir();
    const port = await freePort();
    const hosts = directory.write("hosts", "127.0.0.2 app.ttgate.test\n");
    await using first = await serveTapeTrack({ host: "127.0.0.2", port });
    await using second = await serveTapeTrack({ host: "127.0.0.3", port });
    const [listen, status] = [await freePort(), await freePort()];
    const argv = ttgate([
      ...["-l", `127.0.0.1:${listen}`, "-s", `127.0.0.1:${status}`],
      ...["-u", `app.ttgate.test:${port}`, "-c", "/dev/null"],
    ]);
    // Its own /etc/hosts.
    const script = 'mount --bind "$0" /etc/hosts && exec "$@"';
    await using gate = new Child(["unshare", "--mount", "bash", "-c", script, hosts, ...argv]);
    await gate.said(/Listening on/);
    const knock = () => probe({ host: "127.0.0.1", port: listen, send: [friend], waitMs: 300 });
    expect((await knock()).received).not.toBe("");
    expect(first.counters.packets).toBe(1);
    writeFileSync(hosts, "127.0.0.3 app.ttgate.test\n");
    await gate.said(
      /Upstream app\.ttgate\.test:\d+ is at 127\.0\.0\.3 now, no more at 127\.0\.0\.2; open connections go on/,
    );
    expect((await knock()).received).not.toBe("");
    expect(second.counters.packets).toBe(1);
    writeFileSync(hosts, "127.0.0.1 localhost\n");
    await gate.said(/Cannot resolve upstream "app\.ttgate\.test": \w+; .*; it goes on with 127\.0\.0\.3/);
    expect((await knock()).received).not.toBe("");
    const snapshot = (await (await fetch(`http://127.0.0.1:${status}/status`)).json()) as Awaited<
      ReturnType<RunningGate["status"]>
    >;
    expect(snapshot.upstreams[0]).toMatchObject({ reachable: true, resolved: "127.0.0.3", total: 3 });
    expect(snapshot.upstreams[0]?.unresolved).toMatch(/\w/);
    expect([first.counters.packets, second.counters.packets]).toEqual([1, 2]);
  });
});

describeWith("namespaces", "executable", { program: "nft" })("doctor", () => {
  const doctor = async (network: Network, ...args: readonly string[]) => {
    const argv = ttgate(["doctor", "--json", "-c", "/dev/null", ...args]);
    const { stdout } = await run(argv, { namespace: network.gate });
    const { findings } = JSON.parse(stdout) as { findings: { name: string; state: string; found: string }[] };
    return findings.find(({ name }) => name === "upstream");
  };

  test("has its answer in seconds where a firewall drops what goes to the server", async () => {
    using network = new Network();
    const input = "table ip x { chain in { type filter hook input priority 0; policy drop; }; }\n";
    expect((await run(["nft", "-f", "-"], { namespace: network.gate, input })).stderr).toBe("");
    expect(await doctor(network)).toMatchObject({ state: "bad", found: "127.0.0.1:5001: no answer within 3.5 s" });
  });

  test.each([
    ["127.0.0.1", "good", "127.0.0.1:5001 answers"],
    ["0.0.0.0", "warning", expect.stringContaining("strangers who find port 5001 get round the gate")],
  ] as const)("tells whether others can connect to a server at %s", async (host, state, found) => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    stack.use(await startServer(network.gate, "--port", "5001", "--host", host));
    expect(await doctor(network)).toMatchObject({ state, found });
  });
});
