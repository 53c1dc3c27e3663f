// SPDX-License-Identifier: Apache-2.0
// The commands beside the gate: what they say, as text and as JSON, and their exit codes.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { BanDetails } from "../../src/status/snapshot.ts";
import { Child, run } from "../harness/child.ts";
import { BlockMap, type RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import type { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { openScene } from "../harness/scene.ts";
import { seal } from "../harness/tapetrack_wire.ts";
import { TempDir } from "../harness/temp_dir.ts";

setDefaultTimeout(30_000);

describeWith("namespaces", "executable")("commands", () => {
  let stack: AsyncDisposableStack;
  let network: Network;
  let map: BlockMap;
  let gate: RunningGate;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    const options = ["-t", "10m", "--allow", "198.51.100.0/24"];
    ({ network, map, gate } = await openScene(stack, ({ device }) => ["-i", device, ...options]));
  });

  afterAll(() => stack.disposeAsync());

  /** Runs a command without --status: it finds the gate of its network namespace by itself. */
  function command(...args: readonly string[]) {
    return run(ttgate(args), { namespace: network.gate });
  }

  async function json(...args: readonly string[]): Promise<unknown> {
    const result = await command(...args, "--json");
    expect(result.stderr).toBe("");
    return JSON.parse(result.stdout);
  }

  test("status", async () => {
    const text = await command("status");
    expect(text).toMatchObject({ code: 0, stderr: "" });
    for (const part of ["[::]:5000", "tapetrack", "127.0.0.1:5001", `${network.device} native`, map.path]) {
      expect(text.stdout).toContain(part);
    }
    expect(await json("status")).toMatchObject({
      version: expect.any(String),
      mode: "proxy",
      uptimeSeconds: expect.any(Number),
      listen: "[::]:5000",
      profile: "tapetrack",
      upstreams: [{ address: "127.0.0.1:5001" }],
      connections: {
        ...{ accepted: expect.any(Number), relayed: 0, refusedBanned: 0, foreign: 0, undecided: expect.any(Number) },
        active: expect.any(Number),
      },
      bans: { active: expect.any(Number), total: expect.any(Number), byProtocol: expect.any(Object) },
      kernel: {
        ...{ attach: "native", reason: null, map: map.path, droppedPackets: expect.any(Number) },
        ...{ droppedBytes: expect.any(Number), entries: expect.any(Number), capacity: expect.any(Number) },
        interfaces: [{ name: network.device, attach: "native" }],
      },
    });
  });

  test.each([
    ["an IPv4 address", "10.77.1.3", "10.77.1.3"],
    ["a v4-mapped address", "::ffff:10.77.1.4", "10.77.1.4"],
    ["an IPv6 address, by its /64", "fd77:0:5::2", "fd77:0:5::/64"],
  ])("ban and lift %s", async (_name, address, source) => {
    expect(await json("ban", address, "--for", "1h")).toMatchObject({ source, by: "operator", protocol: "manual" });
    expect(await gate.ban(source)).toMatchObject({ source });
    expect(await json("bans")).toMatchObject({ bans: expect.arrayContaining([expect.objectContaining({ source })]) });
    const v6 = source.includes("/");
    const from = v6 ? address : source;
    const host = v6 ? network.gateIpv6 : network.gateIpv4;
    const knock = () => probeFrom(network.client, { host, port: 5000, from, waitMs: 400 });
    expect((await knock()).outcome).toBe("no answer");
    expect(await json("lift", address)).toEqual({ lifted: [source] });
    expect((await knock()).outcome).toBe("open");
    expect(await command("lift", address)).toMatchObject({ code: 1, stderr: expect.stringContaining(`"${address}"`) });
  });

  test("a range is banned whole, for every address in it", async () => {
    expect(await json("ban", "10.77.1.6/31", "--for", "1h")).toMatchObject({ source: "10.77.1.6/31" });
    const knock = (client: number) =>
      probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: network.clientIpv4(client), waitMs: 400 });
    expect((await knock(6)).outcome).toBe("no answer");
    expect((await knock(7)).outcome).toBe("no answer");
    expect((await knock(8)).outcome).toBe("open");
    expect((await knock(5)).outcome).toBe("open");
    await command("ban", "10.77.1.8", "--for", "1h");
    const { kernel, bans } = await gate.until("both entries", ({ kernel }) => kernel.entries === 2);
    expect(bans.active).toBe(2);
    expect(kernel.maps).toMatchObject([
      { name: map.path, entries: 1 },
      { name: `${map.path}_cidr`, entries: 1 },
    ]);
    const { stdout } = await command("status");
    for (const { name, entries, capacity } of kernel.maps) {
      expect(stdout).toContain(`map ${name}: ${entries} of ${capacity} entries`);
    }
    const metrics = await (await gate.fetch("/metrics")).text();
    expect(metrics).toContain(`ttgate_kernel_map_entries{map="${map.path}_cidr"} 1\n`);
    await command("lift", "10.77.1.8");
    expect(await json("lift", "10.77.1.6/31")).toEqual({ lifted: ["10.77.1.6/31"] });
    expect((await knock(7)).outcome).toBe("open");
  });

  test.each([
    ["the gate's own address", "10.77.0.1"],
    ["an allowed range", "198.51.100.7"],
    ["a range that holds the gate's address", "10.77.0.0/16"],
    ["the own IPv6 network", "fd77::99"],
  ])("ban refuses %s", async (_name, address) => {
    const result = await command("ban", address);
    expect(result.code).toBe(1);
    expect(result.stderr).toContain(`"${address}"`);
    expect(result.stderr.trimEnd()).not.toContain("\n");
    expect(await gate.ban(address)).toBeUndefined();
  });

  test("a range that is wider than /16 wants --force", async () => {
    const refused = await command("ban", "203.0.0.0/12");
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("--force") });
    expect(await command("ban", "203.0.0.0/12", "--force")).toMatchObject({ code: 0 });
    expect(await command("lift", "203.0.0.0/12")).toMatchObject({ code: 0 });
  });

  test("ban and lift a list, with what is wrong in it by its line", async () => {
    using directory = new TempDir();
    const file = directory.write(
      "list",
      "# bad ones\n203.0.113.1\n203.0.113.2 2h\nnobody\n2001:db8:1::/64\n10.77.0.1\n",
    );
    const banned = await command("ban", "--from", file, "--for", "1h");
    expect(banned).toMatchObject({ code: 1, stdout: "Banned 3, 2 lines refused\n" });
    expect(banned.stderr).toContain(`${file}:4:`);
    expect(banned.stderr).toContain(`${file}:6:`);
    expect((await gate.ban("203.0.113.1"))?.remainingSeconds).toBeWithin(3500, 3601);
    expect((await gate.ban("203.0.113.2"))?.remainingSeconds).toBeWithin(7100, 7201);
    expect(await gate.ban("2001:db8:1::7")).toBeDefined();
    using good = new TempDir();
    const lifted = await command("lift", "--from", good.write("list", "203.0.113.1\n203.0.113.2\n2001:db8:1::/64\n"));
    expect(lifted).toMatchObject({ code: 0, stdout: "Lifted 3\n" });
  });

  test("why joins the evidence, the kernel's counters and the live program's answer", async () => {
    const from = network.clientIpv4(8);
    const argv = ["curl", "-sS", "--interface", from, `http://${network.gateIpv4}:5000/secret`];
    await run(argv, { namespace: network.client });
    await gate.banned(from);
    await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 200 });
    const text = await command("why", from);
    expect(text).toMatchObject({ code: 0, stderr: "" });
    for (const part of ["spoke http", "GET /secret", "474554202f736563726574", "says drop", "port 5000"]) {
      expect(text.stdout).toContain(part);
    }
    expect(await json("why", from)).toMatchObject({
      ban: { packets: expect.any(Number), protocol: "http" },
      kernel: { answer: "drop" },
    });
    expect(await json("why", network.clientIpv4(2))).toMatchObject({ ban: null, kernel: { answer: "pass" } });
    expect((await command("why", "198.51.100.1")).stdout).toContain("--allow");
    await command("lift", from);
    expect(await json("why", from)).toMatchObject({ ban: null, kernel: { answer: "pass" } });
  });

  test("why changes nothing of what it tells", async () => {
    const [single, other] = ["10.77.1.3", "10.77.1.6"];
    await command("ban", single, "--for", "1h");
    await command("ban", `${other}/31`, "--for", "1h");
    const counted = async (address: string) => {
      const { packets, bytes, lastSeen } = (await gate.ban(address)) as BanDetails;
      // Two clocks are joined in it: it may be a millisecond off.
      return { packets, bytes, lastSeen: lastSeen === null ? null : Math.round(Date.parse(lastSeen) / 100) };
    };
    for (const address of [single, other]) {
      expect(await counted(address)).toEqual({ packets: 0, bytes: 0, lastSeen: null });
      await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: address, waitMs: 200 });
      const before = await counted(address);
      expect(before.packets).toBeGreaterThan(0);
      const { packets, bytes } = before;
      for (let time = 0; time < 3; time++) {
        await Bun.sleep(200);
        expect(await json("why", address)).toMatchObject({ kernel: { answer: "drop" }, ban: { packets, bytes } });
      }
      const after = await counted(address);
      expect(after).toMatchObject({ packets, bytes });
      expect(Math.abs((after.lastSeen ?? 0) - (before.lastSeen ?? 0))).toBeWithin(0, 2);
    }
    await command("lift", single);
    await command("lift", `${other}/31`);
  });

  test("bans, as a table", async () => {
    await command("ban", "203.0.113.9", "--for", "1h");
    const { stdout, code } = await command("bans");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^SOURCE/);
    expect(stdout).toMatch(/^203\.0\.113\.9\s+manual\s+operator\s+(1h|59m\d+s)\b/m);
    await command("lift", "203.0.113.9");
  });

  test("over TCP, changes need the token", async () => {
    const address = "127.0.0.1:9510";
    const argv = ttgate(["-l", "127.0.0.1:5010", "-s", address]);
    await using other = new Child(argv, { namespace: network.gate, env: { TTGATE_TOKEN: "open-sesame" } });
    await other.said(/Listening on/);
    const ban = (token: string) =>
      run(ttgate(["ban", "203.0.113.7", "-s", address]), { namespace: network.gate, env: { TTGATE_TOKEN: token } });
    expect(await ban("guessed")).toMatchObject({ code: 3, stderr: expect.stringContaining("Not allowed") });
    const status = await command("status", "-s", address, "--json");
    expect(JSON.parse(status.stdout)).toMatchObject({ bans: { total: 0 } });
    expect(await ban("open-sesame")).toMatchObject({ code: 0 });
    expect(await command("bans")).toMatchObject({ code: 2, stderr: expect.stringContaining(address) });
  });

  test("check", async () => {
    using directory = new TempDir();
    const files = {
      friend: directory.write("friend", seal(new Uint8Array(200), "bare")),
      http: directory.write("http", "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"),
      short: directory.write("short", Uint8Array.of(0xe7, 1, 2)),
    };
    const result = await run(ttgate(["check", files.friend, files.http, files.short]));
    expect(result).toMatchObject({ code: 1, stderr: "" });
    expect(
      result.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { file: files.friend, verdict: "accept", protocol: null },
      { file: files.http, verdict: "foreign", protocol: "http" },
      { file: files.short, verdict: "undecided", protocol: null },
    ]);
    expect((await run(ttgate(["check", files.friend]))).code).toBe(0);
    expect((await run(ttgate(["check", directory.file("nosuch")]))).code).toBe(3);
  });

  test("version", async () => {
    const { version } = (await json("version")) as { version: string };
    expect(version).toMatch(/^\d+\.\d+\.\d+/);
    expect((await command("version")).stdout).toContain(version);
    expect((await command("--version")).stdout).toContain(version);
  });

  test("doctor finds this host ready, and names what is not", async () => {
    using other = new BlockMap();
    const good = await json(
      "doctor",
      "-B",
      other.name,
      "-i",
      network.device,
      "-l",
      "[::]:5020",
      "-s",
      "127.0.0.1:9520",
    );
    expect(good).toMatchObject({ ready: true });
    const bad = await command("doctor", "-B", other.name, "-i", network.device, "-u", "127.0.0.1:1");
    expect(bad.code).toBe(1);
    expect(bad.stdout).toContain("5000");
    expect(bad.stdout).toContain("127.0.0.1:1");
    expect(other.pins()).toEqual([]);
  });

  test("doctor does not hold the running gate against the host", async () => {
    const ready = await command("doctor", "-B", map.name, "-i", network.device);
    expect(ready).toMatchObject({ code: 0, stdout: expect.stringContaining(`the gate with pid ${gate.child.pid}`) });
    const taken = await command(
      "doctor",
      "-B",
      map.name,
      "-i",
      network.device,
      "-l",
      "127.0.0.1:5001",
      "-u",
      "localhost:5001",
    );
    expect(taken).toMatchObject({
      code: 1,
      stdout: expect.stringContaining("BAD   port           127.0.0.1:5001 is in use"),
    });
  });

  test("doctor does not take a missing /sys for a missing kernel option", async () => {
    const doctor = ttgate(["doctor", "-m", "inline", "-B", "m", "-i", "lo", "-c", "/dev/null"]);
    const { stdout } = await run([
      "unshare",
      "-m",
      "sh",
      "-c",
      'mount -t tmpfs none /sys && exec "$@"',
      "sh",
      ...doctor,
    ]);
    expect(stdout.match(/cannot be looked for: \/sys is not mounted\n *-> mount -t sysfs sysfs \/sys/g)).toHaveLength(
      2,
    );
    expect(stdout).not.toContain("CONFIG_DEBUG_INFO_BTF");
  });

  test("help names every command", async () => {
    const { stdout, code } = await command("--help");
    expect(code).toBe(0);
    for (const name of ["status", "bans", "ban", "lift", "check", "doctor", "detach", "config", "version"]) {
      expect(stdout).toContain(`ttgate ${name}`);
      const own = await command(name, "--help");
      expect(own).toMatchObject({ code: 0, stderr: "" });
      expect(own.stdout).toContain(`ttgate ${name}`);
    }
  });
});
