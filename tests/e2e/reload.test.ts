// SPDX-License-Identifier: Apache-2.0
// The configuration of a daemon that runs is replaced while clients connect: gates come, go and move, and a
// configuration that is wrong changes nothing.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { profileLibrary } from "../../src/core/profile/library.ts";
import type { ReloadAnswer } from "../../src/status/routes.ts";
import { Loopback } from "../commands/bed.ts";
import { Child, run } from "../harness/child.ts";
import { BlockMap, executable, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { startWebServer } from "../harness/web_server.ts";

setDefaultTimeout(90_000);

const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n");
const hostile = new TextEncoder().encode("SSH-2.0-OpenSSH_9.2\r\n");

/** The process's own, then a gate. */
const head = `
block-map = "MAP"
interface = "DEVICE"
profile = "http"
upstream = "127.0.0.1:8080"
`;
const first = '[[gate]]\nname = "first"\nlisten = "8000"\n';
const second = '[[gate]]\nname = "second"\nlisten = "8001"\n';
const inline = '[[gate]]\nname = "inline"\nlisten = "8080"\nmode = "inline"\n';

async function scene(stack: AsyncDisposableStack, toml: string) {
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const directory = stack.use(new TempDir());
  stack.use(await startWebServer(network.gate, 8080));
  const write = (text: string) =>
    directory.write("ttgate.toml", text.replaceAll("MAP", map.name).replaceAll("DEVICE", network.device));
  const config = write(toml);
  const gate = stack.use(await RunningGate.start(["-c", config], { namespace: network.gate }));
  const reload = async (text: string): Promise<ReloadAnswer> => {
    write(text);
    const { code, stdout, stderr } = await gate.command("reload", "--json");
    expect([code, stderr]).toEqual([0, ""]);
    return JSON.parse(stdout) as ReloadAnswer;
  };
  const knock = (number: number, port: number, bytes = request) => {
    const from = network.clientIpv4(number);
    return probeFrom(network.client, { host: network.gateIpv4, port, from, send: [bytes], waitMs: 700 });
  };
  const isServed = async (port: number) => (await knock(2, port)).received.includes("hello");
  return { network, gate, write, reload, knock, isServed };
}

interface Visit {
  readonly wallMs: number;
  readonly tookMs: number;
  readonly outcome: string;
}

function visitsOf({ stdout }: Child): readonly Visit[] {
  return stdout
    .split("\n")
    .slice(1, -1)
    .map((line) => JSON.parse(line) as Visit);
}

interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

async function timed<T>(act: () => Promise<T>): Promise<{ readonly span: Span; readonly value: T }> {
  const fromMs = Date.now();
  const value = await act();
  return { span: { fromMs, untilMs: Date.now() }, value };
}

describeWith("namespaces", "executable")("a reload asked for before the start is through", () => {
  test("is carried out at its end", async () => {
    using loopback = new Loopback();
    using directory = new TempDir();
    const status = directory.file("status");
    // Nobody answers there, not even with a reset: the start waits for a moment.
    await run(["ip", "route", "add", "192.0.2.0/24", "dev", "lo"], { namespace: loopback.name });
    const flags = ["-c", "/dev/null", "-s", `unix:${status}`, "-u", "192.0.2.1:5001"];
    await using gate = new Child([executable, ...flags], { namespace: loopback.name });
    let answer: Response | undefined;
    const deadline = performance.now() + 10_000;
    while (answer === undefined && performance.now() < deadline) {
      answer = await fetch("http://ttgate/reload", { method: "POST", unix: status }).catch(() => undefined);
      await sleep(0);
    }
    expect([answer?.status, await answer?.json()]).toEqual([200, { applied: [], waiting: [] }]);
    await gate.said(/Listening on/);
  });
});

describeWith("namespaces", "executable")("a reload without a configuration", () => {
  test("that was there at the start changes nothing: by default, or out of a pipe", async () => {
    using loopback = new Loopback();
    const script = [
      "mkdir -p /etc/ttgate && printf 'profile = \"ssh\"\\n' >/etc/ttgate/ttgate.toml",
      '"$1" -s 127.0.0.1:9500 & until "$1" status >/dev/null 2>&1; do sleep 0.1; done',
      'rm /etc/ttgate/ttgate.toml; "$1" reload; echo "$?"; kill $!; wait',
      '"$1" -s 127.0.0.1:9500 -c <(echo \'profile = "ssh"\') & until "$1" status >/dev/null 2>&1; do sleep 0.1; done',
      '"$1" reload; echo "$?"; kill $!; wait',
    ].join("\n");
    const { stdout, stderr } = await run(["bash", "-c", script, "bash", executable], { namespace: loopback.name });
    expect(stdout).toBe("1\n1\n");
    expect(stderr).toContain('ttgate: Cannot read config "/etc/ttgate/ttgate.toml": ENOENT');
    expect(stderr).toMatch(/ttgate: Cannot read config "\/dev\/fd\/\d+": it is a pipe with nothing in it; name a file/);
    expect(stderr).not.toContain("Reloaded");
  });
});

describeWith("namespaces", "executable")("a reload", () => {
  test("under 500 connections a second refuses, resets and delays none, and loses no ban", async () => {
    await using stack = new AsyncDisposableStack();
    // The kernel judges the first gate too, so that its table is made anew with each profile.
    const gateOf = (round: number) => `${first}prefilter = true\nprofile = "${profileOf(round)}"\n`;
    const profiles = stack.use(new TempDir());
    const profileOf = (round: number) =>
      profiles.write(`http${round}.json`, JSON.stringify({ ...profileLibrary.get("http"), description: `${round}` }));
    const { network, gate, reload } = await scene(stack, head + gateOf(0) + second);
    for (let number = 10; number < 40; number++) await gate.command("ban", `192.0.2.${number}`, "--for", "1h");
    const script = join(import.meta.dirname, "../harness/load_main.ts");
    const argv = [process.execPath, script, network.gateIpv4, "8000", "500", request.toHex()];
    await using load = new Child(argv, { namespace: network.client });
    await load.said(/^ready\n/);
    await sleep(2000);
    const reloads: Span[] = [];
    const idle: Span[] = [];
    for (let round = 0; round < 9; round++) {
      // The other gate moves, comes and goes; this one has another profile and other limits.
      const other = ["", second, second.replace("8001", "8002")][round % 3] ?? "";
      const changed = `${gateOf(round + 1)}timeout = "${round + 1}m"\nmax-per-source = ${10_000 + round}\n`;
      const config = head + changed + other;
      const { span, value } = await timed(() => reload(config));
      expect(value.applied.length).toBeGreaterThan(1);
      reloads.push(span);
      await sleep(150);
      idle.push((await timed(() => reload(config))).span);
      await sleep(150);
    }
    await load.stop();
    const visits = visitsOf(load);
    const spanMs = (visits.at(-1)?.wallMs ?? 0) - (visits[0]?.wallMs ?? 0);
    expect(visits.length / (spanMs / 1000)).toBeGreaterThan(450);
    expect(visits.filter(({ outcome }) => outcome !== "served")).toEqual([]);
    const worstIn = ({ fromMs, untilMs }: Span) =>
      Math.max(
        0,
        ...visits.filter(({ wallMs }) => wallMs >= fromMs - 20 && wallMs <= untilMs).map(({ tookMs }) => tookMs),
      );
    // A busy host delays now and then; what a reload itself takes, it takes each time.
    const slowest = reloads.map(worstIn).sort((a, b) => a - b);
    const usual = idle.map(worstIn).sort((a, b) => a - b);
    const text = (all: readonly number[]) => all.map((ms) => ms.toFixed(1)).join(" ");
    console.log(`The slowest at each reload: ${text(slowest)} ms; where nothing has changed: ${text(usual)} ms`);
    const third = reloads.length / 3 - 1;
    expect(slowest[third]).toBeGreaterThan(0);
    expect(slowest[third]).toBeLessThan(20 + (usual[third] ?? 0));
    await gate.until("all bans", ({ bans, kernel }) => bans.active === 30 && kernel.entries === 30);
  });

  test("opens, moves and closes gates; connections of one that is closed go on", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, reload, knock, isServed } = await scene(stack, head + first);
    expect([await isServed(8000), await isServed(8001)]).toEqual([true, false]);
    const added = await reload(head + first + second);
    expect(added).toEqual({
      applied: [{ option: "gate", gate: "second", before: null, after: "[::]:8001" }],
      waiting: [],
    });
    expect([await isServed(8000), await isServed(8001)]).toEqual([true, true]);
    // What the new one sees holds at the old one, in the kernel too.
    await knock(3, 8001, hostile);
    expect(await gate.banned(network.clientIpv4(3))).toMatchObject({ gate: "second", protocol: "ssh" });
    expect((await knock(3, 8000)).outcome).toBe("no answer");
    expect((await knock(3, 8001)).outcome).toBe("no answer");
    await gate.until("both ports", ({ kernel }) => String(kernel.ports) === "8000,8001");

    const idle = network.clientIpv4(4);
    await using slow = new Child([process.execPath, "-e", slowClient, network.gateIpv4, "8001", idle], {
      namespace: network.client,
    });
    await slow.said(/^begun\n/);
    const moved = await reload(head + first + second.replace("8001", "8002"));
    expect(moved.applied).toEqual([{ option: "listen", gate: "second", before: "[::]:8001", after: "[::]:8002" }]);
    expect([await isServed(8001), await isServed(8002)]).toEqual([false, true]);
    expect((await knock(3, 8002)).outcome).toBe("no answer");

    const removed = await reload(head + first);
    expect(removed.applied).toEqual([{ option: "gate", gate: "second", before: "[::]:8002", after: null }]);
    expect([await isServed(8000), await isServed(8002)]).toEqual([true, false]);
    await gate.until("one port", ({ kernel }) => String(kernel.ports) === "8000");
    expect((await knock(3, 8002)).outcome).toBe("refused");
    slow.signal("SIGUSR1");
    await slow.said(/hello/);
  });

  test("adds and takes away a gate that the kernel judges, where the kernel judges already", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, reload, knock, isServed } = await scene(stack, head + inline);
    stack.use(await startWebServer(network.gate, 8090));
    const another = inline.replace('"inline"', '"another"').replace("8080", "8090");
    await reload(head + inline + another);
    expect([await isServed(8080), await isServed(8090)]).toEqual([true, true]);
    await knock(3, 8090, hostile);
    expect(await gate.banned(network.clientIpv4(3))).toMatchObject({ gate: "another", by: "kernel", protocol: "ssh" });
    expect((await knock(3, 8080)).outcome).toBe("no answer");
    await reload(head + another);
    expect([await isServed(8080), await isServed(8090)]).toEqual([true, true]);
    // Nobody judges this port any more.
    expect((await knock(4, 8080, hostile)).received).toContain("400");
    await knock(5, 8090, hostile);
    expect(await gate.banned(network.clientIpv4(5))).toMatchObject({ gate: "another" });
    expect(await gate.ban(network.clientIpv4(4))).toBeUndefined();
  });

  test("says what waits for a restart, and does all else", async () => {
    await using stack = new AsyncDisposableStack();
    const { gate, write, isServed } = await scene(stack, head + first);
    write(`max-bans = 7\n${head}${first}timeout = "3m"\n${inline}`);
    const { code, stdout } = await gate.command("reload");
    expect([code, stdout.trimEnd().split("\n")]).toEqual([
      0,
      [
        'gate "first": timeout: "10m" is now "3m"',
        "max-bans: 1048576 stays until a restart, the configuration says 7",
        'gate "inline": opened after a restart: the kernel program that runs cannot judge',
      ],
    ]);
    await gate.child.said('Gate "first": Reloaded timeout: "10m" is now "3m"');
    await gate.child.said("Not reloaded: max-bans");
    expect(await isServed(8000)).toBe(true);
  });

  test.each([
    ["a value", first.replace('"8000"', '"eight"'), /line 8: Invalid listen "eight": expected \[HOST:\]PORT/],
    ["a key", `${first}lisen = "1"\n`, /line 9: Unknown key "lisen"/],
    ["syntax", `${first}x = \n`, /line 9, column /],
    ["a port twice", first + second.replace("8001", "8000"), /Gates "first" and "second" both listen on \[::\]:8000/],
    ["a profile", `${first}profile = "nonsense"\n`, /there is no such built-in profile/],
    [
      "a port that changes hands",
      `${first.replace("8000", "8001")}${second.replace("8001", "8000")}`,
      /Not without a restart: gate "second" would listen where gate "first" does: restart/,
    ],
    [
      "a port that is taken",
      `${first}${second.replace("8001", "8080")}upstream = "127.0.0.1:1"\n`,
      /Cannot listen on "\[::\]:8080": the port is in use/,
    ],
  ])(
    "of a configuration that is wrong (%s) changes nothing, and says where and what to do",
    async (_what, gates, message) => {
      await using stack = new AsyncDisposableStack();
      const { gate, write, isServed } = await scene(stack, head + first);
      const before = await gate.status();
      write(head + gates);
      const { code, stdout, stderr } = await gate.command("reload");
      expect([code, stdout]).toEqual([1, ""]);
      expect(stderr).toMatch(message);
      expect(stderr.trimEnd()).not.toContain("\n");
      gate.child.signal("SIGHUP");
      await gate.child.said(/Cannot reload: .*the configuration from before goes on/);
      const after = await gate.status();
      expect(after.gates.map(({ listen, timeoutSeconds }) => [listen, timeoutSeconds])).toEqual(
        before.gates.map(({ listen, timeoutSeconds }) => [listen, timeoutSeconds]),
      );
      expect(await isServed(8000)).toBe(true);
    },
  );
});

/** Sends the first half of a request, and the rest on SIGUSR1. */
const slowClient = `
const { createConnection } = require("node:net");
const [host, port, localAddress] = process.argv.slice(1);
const socket = createConnection({ host, port: Number(port), localAddress }, () => {
  socket.write("GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n");
  setTimeout(() => console.log("begun"), 300);
});
socket.on("data", (bytes) => console.log(String(bytes)));
socket.on("error", (error) => console.log(error.message));
process.on("SIGUSR1", () => socket.write("\\r\\n"));
`;
