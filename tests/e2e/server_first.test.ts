// SPDX-License-Identifier: Apache-2.0
// Servers that speak first: real clients that wait for the greeting get it and are served, those that do not
// wait are not held up, and strangers are banned before or after it.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Child, run } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";

setDefaultTimeout(30_000);

const encoder = new TextEncoder();
const request = encoder.encode("GET / HTTP/1.1\r\nHost: gate\r\n\r\n");
const port = 5000;

const sendMail = `
import smtplib, sys
with smtplib.SMTP(sys.argv[1], ${port}, source_address=(sys.argv[2], 0), timeout=10) as server:
    server.sendmail("a@example.org", ["b@example.org"], "Subject: greeting\\r\\n\\r\\nhello")
`;

interface Scene extends AsyncDisposable {
  readonly network: Network;
  readonly server: Child;
  readonly gate: RunningGate;
}

/** The server is where the mode wants it: behind the gate, or at the guarded port. */
async function stage(kind: "smtp" | "ssh", mode: "proxy" | "prefilter" | "inline", ...args: string[]): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const place = mode === "inline" ? ["0.0.0.0", String(port)] : ["127.0.0.1", "5001"];
  const script = join(import.meta.dirname, "../harness/greeter.py");
  const server = stack.use(new Child(["python3", script, kind, ...place], { namespace: network.gate }));
  await server.said(/ready/);
  const how = { proxy: [], prefilter: ["--prefilter"], inline: ["-m", "inline"] }[mode];
  const options = ["-p", kind, "-B", map.name, "-i", network.device, ...how, ...args];
  const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
  const owned = stack.move();
  return { network, server, gate, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

describeWith("namespaces", "executable", { program: "python3" })("a mail server", () => {
  test.each(["proxy", "prefilter", "inline"] as const)("%s: smtplib is served, a stranger banned", async (mode) => {
    await using scene = await stage("smtp", mode);
    const { network, server, gate } = scene;
    const host = network.gateIpv4;
    const friend = network.clientIpv4(1);
    const mail = await run(["python3", "-c", sendMail, host, friend], { namespace: network.client });
    expect({ code: mail.code, stderr: mail.stderr }).toEqual({ code: 0, stderr: "" });
    expect(server.stdout).toMatch(/heard ehlo .*\nheard mail FROM:<a@example.org>/i);
    expect(server.stdout).toContain("heard Subject: greeting");

    const patient = { host, port, from: friend, waitMs: 1500 };
    expect((await probeFrom(network.client, patient)).received).toBe("220 mail.example.org ESMTP\r\n");

    const from = network.clientIpv4(2);
    await probeFrom(network.client, { host, port, from, send: [request], waitMs: 1000 });
    expect(await gate.banned(from)).toMatchObject({ protocol: "http" });
    expect((await probeFrom(network.client, { host, port, from, waitMs: 300 })).outcome).toBe("no answer");
    expect(await gate.ban(friend)).toBeUndefined();
    expect(server.stdout).not.toContain("GET /");
  });
});

describeWith(
  "namespaces",
  "executable",
  { program: "python3" },
  { program: "ssh-keyscan" },
)("an SSH server", () => {
  test("ssh-keyscan, which waits for the banner, gets it", async () => {
    await using scene = await stage("ssh", "proxy");
    const { network, server, gate } = scene;
    const scan = ["ssh-keyscan", "-T", "5", "-p", String(port), "-t", "ed25519", network.gateIpv4];
    const { stdout, stderr } = await run(scan, { namespace: network.client });
    expect(stdout + stderr).toContain("SSH-2.0-standin");
    await server.said(/heard SSH-2\.0-OpenSSH/);
    expect((await gate.bans()).length).toBe(0);
  });

  test("a client that speaks at once does not wait for the pause", async () => {
    await using scene = await stage("ssh", "proxy", "--greeting-pause", "9s");
    const { network, server } = scene;
    const started = performance.now();
    const send = [encoder.encode("SSH-2.0-OpenSSH_9.2\r\n")];
    const visit = { host: network.gateIpv4, port, from: network.clientIpv4(1), send, waitMs: 8000 };
    expect(await probeFrom(network.client, visit)).toEqual({ outcome: "ended", received: "SSH-2.0-standin\r\n" });
    expect(performance.now() - started).toBeLessThan(5000);
    await server.said(/heard SSH-2\.0-OpenSSH_9\.2/);
  });
});
