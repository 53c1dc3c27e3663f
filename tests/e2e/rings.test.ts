// SPDX-License-Identifier: Apache-2.0
// Gates that are each other's upstream, and an upstream that a rule turns back to the gate: one client would be
// relayed round and round. It is told as what it is, and costs a few connections. Nothing else is taken for one.
import { expect, setDefaultTimeout, test } from "bun:test";
import { Loopback } from "../commands/bed.ts";
import { Child, run } from "../harness/child.ts";
import { RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { probeFrom } from "../harness/probe.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";
import { startWebServer } from "../harness/web_server.ts";

setDefaultTimeout(60_000);

const web = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");

async function readiness(gate: RunningGate): Promise<string> {
  const { reasons } = (await (await gate.fetch("/readyz")).json()) as { reasons: readonly string[] };
  return reasons.join("\n");
}

describeWith("namespaces", "executable")("a ring", () => {
  test("of two gates is told, ends with a reload", async () => {
    using loopback = new Loopback();
    using directory = new TempDir();
    await using _server = await startWebServer(loopback.name, 8080);
    const ring = (second: string) => `
[[gate]]
name = "a"
listen = "5000"
profile = "http"
upstream = "127.0.0.1:5002"
[[gate]]
name = "b"
listen = "5002"
profile = "http"
upstream = "${second}"
`;
    const config = directory.write("ttgate.toml", ring("127.0.0.1:5000"));
    await using gate = await RunningGate.start(["-c", config], { namespace: loopback.name });
    await gate.child.said(
      /Gate "[ab]": Upstream \S+ is not reachable: connections to it come back to this gate, by gate/,
    );
    const client = await probeFrom(loopback.name, { host: "127.0.0.1", port: 5000, send: [web], waitMs: 500 });
    expect(client.received.length).toBe(0);
    expect((await gate.status()).connections.refusedNoRoom).toBe(0);
    expect(await readiness(gate)).toContain("come back to this gate");
    directory.write("ttgate.toml", ring("127.0.0.1:8080"));
    expect((await gate.command("reload")).code).toBe(0);
    await waitFor("a client to be served", async () => {
      const served = await probeFrom(loopback.name, { host: "127.0.0.1", port: 5000, send: [web], waitMs: 1000 });
      return served.received.length > 0;
    });
  });
});

describeWith("namespaces", "executable")("clients of this host", () => {
  test("that have a port in common with the gate's own connections are no ring", async () => {
    using loopback = new Loopback();
    await using _server = await startWebServer(loopback.name, 8080);
    const few = ["sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40031"];
    expect((await run(few, { namespace: loopback.name })).code).toBe(0);
    const flags = ["-c", "/dev/null", "-p", "http", "-u", "127.0.0.1:8080"];
    await using gate = await RunningGate.start(flags, { namespace: loopback.name });
    const knock = () => probeFrom(loopback.name, { host: "127.0.0.1", port: 5000, send: [web], waitMs: 1000 });
    // Half of the ports, held by clients that say nothing.
    const hold = "for _ in {1..16}; do exec {fd}<>/dev/tcp/127.0.0.1/5000; done; sleep 60";
    await using _silent = new Child(["bash", "-c", hold], { namespace: loopback.name });
    await gate.until("them", ({ connections }) => connections.active >= 16);
    for (let count = 0; count < 20; count++) expect((await knock()).received.length).toBeGreaterThan(0);
    expect(await readiness(gate)).not.toContain("come back");
  });
});

describeWith("namespaces", "executable", { program: "nft" })("a rule that turns connections back", () => {
  test("while the gate runs is told, and forgotten when it is gone", async () => {
    using loopback = new Loopback();
    await using _server = await startWebServer(loopback.name, 8080);
    const flags = ["-c", "/dev/null", "-p", "http", "-u", "127.0.0.2:8080"];
    await using gate = await RunningGate.start(flags, { namespace: loopback.name });
    const knock = () => probeFrom(loopback.name, { host: "127.0.0.1", port: 5000, send: [web], waitMs: 1000 });
    expect((await knock()).received.length).toBeGreaterThan(0);
    const rules = `add table ip t
add chain ip t out { type nat hook output priority -100 ; }
add rule ip t out ip daddr 127.0.0.2 tcp dport 8080 dnat to 127.0.0.1:5000
`;
    expect((await run(["nft", "-f", "-"], { namespace: loopback.name, input: rules })).code).toBe(0);
    await gate.until("the ring", async () => {
      await knock();
      return (await readiness(gate)).includes(
        "connections to it come back to this gate: name the server's own address",
      );
    });
    expect((await gate.status()).connections.refusedNoRoom).toBe(0);
    expect((await run(["nft", "delete", "table", "ip", "t"], { namespace: loopback.name })).code).toBe(0);
    await gate.child.said(/is not reachable[\s\S]*Upstream 127\.0\.0\.2:8080 is reachable/, 20_000);
    await waitFor("a client to be served", async () => (await knock()).received.length > 0);
  });
});
