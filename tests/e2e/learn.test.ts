// SPDX-License-Identifier: Apache-2.0
// `ttgate learn` between the stand-in server and its clients, friends and strangers; the profile it writes
// at work; --record and replay; --judge upstream.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Child, type Completed, run } from "../harness/child.ts";
import { RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { type StandInServer, startClient, startServer } from "../harness/standin.ts";
import { strangers } from "../harness/strangers.ts";
import { seal } from "../harness/tapetrack_wire.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const packet = seal(new TextEncoder().encode("volume 7 ".repeat(30)), "length");

const waitsForGreeting = `
import socket, sys
with socket.create_connection((sys.argv[1], 5000), 10, (sys.argv[2], 0)) as connection:
    assert connection.recv(100).startswith(b"220 ")
    connection.sendall(b"MIRROR item\\r\\n")
    assert connection.recv(100).startswith(b"250 ")
`;

describeWith("namespaces", "executable", { program: "python3" })("learn", () => {
  let stack: AsyncDisposableStack;
  let network: Network;
  let directory: TempDir;
  let server: StandInServer;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    network = stack.use(new Network({ clients: 40 }));
    directory = stack.use(new TempDir());
    server = stack.use(await startServer(network.gate, "--port", "5001", "--variant", "length"));
  });

  afterAll(() => stack.disposeAsync());

  function command(...args: readonly string[]): Promise<Completed> {
    return run(ttgate(args), { namespace: network.gate, cwd: directory.path });
  }

  async function learning(...args: readonly string[]): Promise<Child> {
    const child = new Child(ttgate(["learn", "-c", "/dev/null", ...args]), {
      namespace: network.gate,
      cwd: directory.path,
    });
    await child.said(/Learning on .*\n.*Learning until/);
    return child;
  }

  function friend(number: number, ...args: readonly string[]) {
    const address = ["--host", network.gateIpv4, "--port", "5000", "--from", network.clientIpv4(number)];
    return startClient(
      network.client,
      ...address,
      "--variant",
      "length",
      "--rate",
      "50",
      "--reconnect",
      "1",
      "--vary",
      ...args,
    );
  }

  async function visits(first: number): Promise<void> {
    for (const [index, stranger] of strangers.entries()) {
      const input = stranger.input === undefined ? {} : { input: stranger.input };
      const argv = stranger.argv(network.gateIpv4, network.clientIpv4(first + index));
      await run(argv, { namespace: network.client, ...input });
    }
  }

  test("relays everybody, and derives a profile from what the server made of them", async () => {
    await using child = await learning("--connections", "60", "-o", "site.toml", "--record", "seen");
    await visits(10);
    await using client = await friend(1);
    const { code, stdout, stderr } = await child.done(30_000);
    expect([code, stderr]).toEqual([0, expect.stringContaining("Learning ends: the server accepted 60 connections")]);
    expect(stdout).toContain("Learned from 60 of 60 connections that the server accepted");
    expect(stdout).toContain("The 32-bit big-endian number at 0 is the packet's length less 4");
    expect(stdout).toContain("From byte 4 on the bytes look random, in all samples");
    expect(stdout).toContain("Of the 60 connections that the server accepted it would have rejected none");
    expect(stdout).toMatch(/Of the [1-9]\d* on which the server hung up without a byte it would have accepted none/);
    expect(stdout).toContain(
      "Not safe to enforce without a trial: 1 source of the 5 that are needed; 1 session of the 10 that are needed",
    );
    expect(stdout).toContain('Wrote "site.toml"');
    expect((await client.stop()).packets).toBeGreaterThanOrEqual(60);
    const met = await server.until("the strangers at the server", (report) => report.strangers >= 3);
    expect(met.connections).toBeGreaterThan(60);
  });

  test("the file says what it rests on, and nobody else's file is replaced", async () => {
    expect(readFileSync(directory.file("site.toml"), "utf8")).toStartWith(
      "# The 32-bit big-endian number at 0 is the packet's length less 4",
    );
    const again = await command("learn", "seen", "-o", "site.toml");
    expect([again.code, again.stdout, again.stderr]).toEqual([
      2,
      "",
      'ttgate: Write "site.toml": it is there already; name another file, or replace it with --force\n',
    ]);
    const forced = await command("learn", "seen", "-o", "site.toml", "--force", "--json");
    expect([forced.code, forced.stderr]).toEqual([0, ""]);
    expect(JSON.parse(forced.stdout)).toMatchObject({ learned: true, samples: 60, wrongly: 0, relayed: 0 });
    const asJson = await command("learn", "seen", "-o", "site.json");
    expect(asJson.code).toBe(0);
    expect(JSON.parse(readFileSync(directory.file("site.json"), "utf8"))).toMatchObject({ name: "site" });
  });

  test("check takes it", async () => {
    directory.write("friend", packet);
    directory.write("stranger", "GET / HTTP/1.0\r\n\r\n");
    for (const profile of ["site.toml", "site.json"]) {
      expect((await command("check", "-p", profile, "friend")).code).toBe(0);
      const { code, stdout } = await command("check", "-p", profile, "stranger");
      expect([code, JSON.parse(stdout).protocol]).toEqual([1, "http"]);
    }
  });

  test("the recording is the owner's alone, and replay says what another profile would have said", async () => {
    expect(statSync(directory.file("seen")).mode & 0o777).toBe(0o600);
    const same = await command("replay", "seen", "--profile", "site.toml");
    expect([same.code, same.stderr]).toEqual([0, ""]);
    expect(same.stdout).toContain("Of those that the server accepted, site.toml rejects none");
    const web = await command("replay", "seen", "--profile", "http", "--against", "site.toml", "--json");
    expect([web.code, web.stderr]).toEqual([1, ""]);
    const lines = web.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.at(-1).sum).toMatchObject({ wrongly: 60, invalid: 0, defects: 0 });
    expect(lines[0]).toMatchObject({ where: expect.stringMatching(/^seen:\d+$/), changed: true });
  });

  test.each(["SIGINT", "SIGTERM"] as const)("ends early on %s, and derives from what there is", async (signal) => {
    const file = `${signal}.toml`;
    await using child = await learning("-o", file);
    expect(child.stderr).toContain("Learning until 1d are over");
    await using client = await friend(2);
    await child.said(/The server accepted 30 connections: enough/);
    const { code, stdout, stderr } = await child.stop(signal);
    expect([code, stderr]).toEqual([0, expect.stringContaining(`Learning ends: ${signal}; the server accepted 3`)]);
    expect(stdout).toContain(`Wrote "${file}"`);
    await client.stop();
  });

  test("too little is no profile: exit code 1, and no file", async () => {
    await using child = await learning("-o", "few.toml", "--for", "300ms");
    const { code, stderr } = await child.done();
    expect([code, stderr]).toEqual([
      1,
      expect.stringContaining("Learn a profile: The server accepted 0 connections and 30 are needed"),
    ]);
    expect(existsSync(directory.file("few.toml"))).toBe(false);
  });

  test("a gate with that profile serves friends and turns away strangers, and a dry run counts the same", async () => {
    const before = (await server.until("a report", () => true)).strangers;
    const counted = [];
    for (const [index, extra] of [["--enforce-unproven"], ["--dry-run"]].entries()) {
      const relaysStrangers = extra.includes("--dry-run");
      await using gate = await RunningGate.start(["-p", directory.file("site.toml"), "-c", "/dev/null", ...extra], {
        namespace: network.gate,
      });
      await using client = await friend(3);
      await visits(20);
      await client.until("exchanges", ({ packets }) => packets > 20);
      await visits(20);
      const { failures } = await client.stop();
      expect([index, failures]).toEqual([index, 0]);
      const { connections, bans, kernel } = await gate.status();
      expect([connections.relayed > connections.foreign, kernel.entries]).toEqual([true, 0]);
      const metrics = await (await gate.fetch("/metrics")).text();
      expect(metrics).toContain(
        `ttgate_connections_total{gate="default",outcome="refused_banned"} ${connections.refusedBanned}\n`,
      );
      expect(metrics).toContain(`ttgate_bans_total{protocol="http"} ${bans.byProtocol["http"]}\n`);
      expect((await gate.bans()).map(({ source }) => source).sort()).toEqual(
        strangers.map((_, number) => network.clientIpv4(20 + number)),
      );
      const { foreign, refusedBanned, cut } = connections;
      counted.push({ foreign, refusedBanned, cut, active: bans.active, total: bans.total, by: bans.byProtocol });
      const met = server.last()?.strangers ?? 0;
      if (!relaysStrangers) expect(met).toBe(before);
    }
    expect(counted[0]).toEqual(counted[1]);
    expect(counted[0]).toEqual({
      ...{ foreign: 5, refusedBanned: 5, cut: 0, active: 5, total: 5 },
      by: { http: 1, tls: 2, ssh: 1, text: 1 },
    });
  });

  test("a server that speaks first: recorded so, by both commands, and written into the profile", async () => {
    const script = join(import.meta.dirname, "../harness/greeter.py");
    await using greeter = new Child(["python3", script, "smtp", "127.0.0.1", "5003"], { namespace: network.gate });
    await greeter.said(/ready/);
    // One word that no built-in profile has, once the greeting is there.
    const client = (number: number) =>
      run(["python3", "-c", waitsForGreeting, network.gateIpv4, network.clientIpv4(number)], {
        namespace: network.client,
      });
    await using child = await learning("--connections", "30", "-u", "127.0.0.1:5003", "-o", "greeter.toml");
    // The greeter has room for five at a time.
    for (let round = 0; round < 6; round++) {
      const visits = await Promise.all([1, 2, 3, 4, 5].map((number) => client(number + 5 * (round % 2))));
      for (const { code, stderr } of visits) expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    }
    const { code, stdout } = await child.done(20_000);
    expect([code, stdout]).toEqual([0, expect.stringContaining('The server speaks first: speaksFirst = "server"')]);
    const profile = directory.file("greeter.toml");
    expect(readFileSync(profile, "utf8")).toContain('speaksFirst = "server"');
    const options = ["-c", "/dev/null", "-u", "127.0.0.1:5003", "-p", profile, "--record", directory.file("greeted")];
    await using gate = await RunningGate.start(options, { namespace: network.gate });
    expect((await client(11)).code).toBe(0);
    await gate.until("the recording", ({ recording }) => recording?.connections === 1);
    expect(JSON.parse(readFileSync(directory.file("greeted"), "utf8"))).toMatchObject({
      ...{ hex: Buffer.from("MIRROR item\r\n").toString("hex"), server: "accepted", greeted: true },
      source: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
  });

  test("--judge upstream bans whom the server hangs up on, and nobody when it restarts", async () => {
    const options = ["-p", "opaque", "-u", "127.0.0.1:5002", "--judge", "upstream", "--strikes", "3"];
    let judge = await startServer(network.gate, "--port", "5002");
    try {
      await using gate = await RunningGate.start([...options, "-c", "/dev/null"], { namespace: network.gate });
      const clients = await Promise.all([5, 6, 7].map((number) => friend(number, "--variant", "bare")));
      for (const client of clients) await client.until("an exchange", ({ packets }) => packets > 0);
      const stranger = network.clientIpv4(30);
      for (let visit = 0; visit < 3; visit++) {
        expect(await gate.bans()).toEqual([]);
        const packets = clients[0]?.last()?.packets ?? 0;
        await clients[0]?.until("another welcome", (report) => report.packets > packets + 2);
        const send = [Uint8Array.from(randomBytes(64))];
        const visited = { host: network.gateIpv4, port: 5000, from: stranger, send, waitMs: 5000 };
        expect(["ended", "reset"]).toContain((await probeFrom(network.client, visited)).outcome);
      }
      expect(await gate.banned(stranger)).toMatchObject({ protocol: "refused", by: "server" });

      for (let restart = 0; restart < 3; restart++) {
        await judge.stop();
        const down = { host: network.gateIpv4, port: 5000, from: network.clientIpv4(31), waitMs: 3000 };
        for (let visit = 0; visit < 4; visit++)
          await probeFrom(network.client, { ...down, send: [packet.subarray(4)] });
        judge = await startServer(network.gate, "--port", "5002");
        for (const client of clients) {
          const { packets } = client.last() ?? { packets: 0 };
          await client.until("an exchange after the restart", (report) => report.packets > packets + 5);
        }
      }
      expect((await gate.bans()).map(({ source }) => source)).toEqual([stranger]);
      await Promise.all(clients.map((client) => client.stop()));
    } finally {
      await judge[Symbol.asyncDispose]();
    }
  });

  test("a recording that cannot be written is told once, and the gate goes on", async () => {
    const file = directory.file("missing/recording");
    await using gate = await RunningGate.start(
      ["-c", "/dev/null", "-p", directory.file("site.toml"), "--enforce-unproven", "--record", file],
      {
        namespace: network.gate,
      },
    );
    await using client = await friend(4);
    await client.until("exchanges", ({ packets }) => packets > 5);
    expect(gate.child.stderr.match(/Recording to .* ends: /g)).toHaveLength(1);
    await waitFor("a dropped recording", async () => ((await gate.status()).recording?.dropped ?? 0) > 0);
    expect((await client.stop()).failures).toBe(0);
  });
});
