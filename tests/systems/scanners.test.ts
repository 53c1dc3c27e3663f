// SPDX-License-Identifier: Apache-2.0
// Real scanners with all that they have, before learned profiles: nothing of it reaches the server. Their
// sources are allowed, so that no ban keeps a later probe from being judged. What counts is what the gate did,
// not how a scanner ends or when: one that was too slow, or that lost its only packet, is started again.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import process from "node:process";
import { recordingLine } from "../../src/core/learn/recording.ts";
import { Child, run } from "../harness/child.ts";
import { RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { type StandInServer, startServer } from "../harness/standin.ts";
import { seal } from "../harness/tapetrack_wire.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep } from "../harness/wait.ts";

const tools = ["nmap", "masscan", "sslscan", "ncrack"];

setDefaultTimeout(240_000);

/** nmap waits for minutes between all that it has. */
const allProbes = process.env["TTGATE_ALL_PROBES"] === "1";

interface Scan {
  readonly name: string;
  /** Connections that say something, at least. */
  readonly least: number;
  argvs(network: Network): string[][];
}

/** Logins in which the client speaks first. */
const ncrackServices = ["http", "rdp", "psql", "redis"];

const scans: readonly Scan[] = [
  {
    name: "nmap",
    least: allProbes ? 100 : 5,
    argvs: ({ gateIpv4 }) => {
      const probes = allProbes ? ["--version-all"] : ["--version-intensity", "7"];
      return [["nmap", "-sV", ...probes, "-Pn", "-n", "-p", "5000", gateIpv4]];
    },
  },
  {
    name: "masscan",
    least: 1,
    argvs: (network) => [masscan(network, "http", "10.77.1.240")],
  },
  {
    name: "sslscan",
    least: 5,
    argvs: ({ gateIpv4 }) => [["sslscan", "--no-colour", "--connect-timeout=3", `${gateIpv4}:5000`]],
  },
  {
    name: "ncrack",
    least: ncrackServices.length,
    argvs: ({ gateIpv4 }) =>
      ncrackServices.map((service) => [
        ...["ncrack", "--user", "root", "--pass", "root", "-g", "at=1,cl=1,to=5s"],
        `${service}://${gateIpv4}:5000`,
      ]),
  },
];

/** It has a TCP of its own, on an address that the kernel does not know. */
function masscan(network: Network, hello: string, from: string): string[] {
  const mac = /link\/ether (\S+)/.exec(linkOf(network))?.[1] ?? "";
  const interfaces = ["-e", network.clientDevice, "--adapter-ip", from, "--router-mac", mac];
  return ["masscan", network.gateIpv4, "-p5000", "--banners", "--hello", hello, ...interfaces, "--wait", "10"];
}

function linkOf({ gate, device }: Network): string {
  const shown = Bun.spawnSync(["ip", "-n", gate, "link", "show", device]);
  return shown.stdout.toString();
}

/** Rounds of a scanner before the gate has to have met it. */
const rounds = 3;
/** After that a scanner is ended, which proves nothing against the gate. */
const scanLimitMs = allProbes ? 150_000 : 60_000;

/** @returns what it said. */
async function scan(argv: readonly string[], namespace: string): Promise<string> {
  await using scanner = new Child(argv, { namespace });
  await Promise.race([scanner.exited, sleep(scanLimitMs)]);
  return scanner.stdout + scanner.stderr;
}

/** A header leaves few probes undecided: scanners would wait for the deadline with each of them. */
const header = Uint8Array.of(0x54, 0x54, 0x30, 0x31);

function packet(size: number): Uint8Array {
  return Uint8Array.from([...header, ...seal(randomBytes(size), "length")]);
}

describeWith(
  "namespaces",
  "executable",
  ...tools.map((program) => ({ program })),
)("a learned profile", () => {
  let stack: AsyncDisposableStack;
  let network: Network;
  let gate: RunningGate;
  let server: StandInServer;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    network = stack.use(new Network({ clients: 4 }));
    const directory = stack.use(new TempDir());
    const lines = Array.from({ length: 60 }, (_, index) => {
      const bytes = packet(40 + index * 7);
      return recordingLine({ atMs: 1.8e12 + index * 1000, bytes, totalBytes: bytes.length, server: "accepted" });
    });
    directory.write("recording", `${lines.join("\n")}\n`);
    const profile = directory.file("site.toml");
    const learned = await run(ttgate(["learn", directory.file("recording"), "-o", profile]));
    expect([learned.code, learned.stderr]).toEqual([0, ""]);
    server = stack.use(await startServer(network.gate, "--port", "5001"));
    const allowed = ["-p", profile, "--enforce-unproven", "-c", "/dev/null", "--allow", "10.77.0.0/16"];
    gate = stack.use(await RunningGate.start(allowed, { namespace: network.gate }));
  });

  afterAll(() => stack.disposeAsync());

  test.each(scans)("lets nothing of $name through", async ({ name, least, argvs }) => {
    const before = (await gate.status()).connections.foreign;
    const judged = async () => (await gate.status()).connections.foreign - before;
    let said = "";
    for (let round = 0; round < rounds && (await judged()) < least; round++) {
      for (const argv of argvs(network)) said += await scan(argv, network.client);
    }
    const { connections, bans } = await gate.until(`what ${name} sent:\n${said}`, (status) => {
      return status.connections.foreign - before >= least;
    });
    expect([connections.relayed, bans.total]).toEqual([0, 0]);
  });

  test("lets a friend through, and the server has met nobody else", async () => {
    expect((await server.until("a report", () => true)).strangers).toBe(0);
    const host = network.gateIpv4;
    await probeFrom(network.client, { host, port: 5000, from: network.clientIpv4(2), send: [packet(99)] });
    // The stand-in speaks without this header: it has heard a stranger now, and nobody before.
    const met = await server.until("the friend at the server", ({ strangers }) => strangers === 1);
    expect(met.strangerBytes).toStartWith(Buffer.from(header).toString("hex"));
    expect((await gate.status()).connections.relayed).toBe(1);
  });
});

/** What a program says first, and what the default profile calls it. */
const others: readonly (readonly [protocol: string, program: string, argv: (gate: string) => readonly string[]])[] = [
  ["smb", "smbclient", (gate) => ["-L", `//${gate}`, "-p", "5000", "-N"]],
  ["dicom", "echoscu", (gate) => [gate, "5000"]],
  ["snmp", "snmpget", (gate) => ["-v2c", "-c", "public", "-r", "0", `tcp:${gate}:5000`, ".1.3.6.1.2.1.1.1.0"]],
  ["snmp", "snmpget", (gate) => ["-v3", "-u", "x", "-l", "noAuthNoPriv", "-r", "0", `tcp:${gate}:5000`, ".1.3.6.1"]],
  ["kafka", "kcat", (gate) => ["-b", `${gate}:5000`, "-L", "-m", "3"]],
  ["tds", "tsql", (gate) => ["-H", gate, "-p", "5000", "-U", "sa", "-P", "x"]],
  ["rsync", "rsync", (gate) => ["--port=5000", `rsync://${gate}/`]],
  ...hydra("rdp", "rdp"),
  ...hydra("ldap2", "ldap"),
  ...hydra("mongodb", "mongodb"),
  ...hydra("memcached", "memcached"),
  ...hydra("irc", "irc"),
  ...hydra("cvs", "cvs"),
  ...hydra("rtsp", "rtsp"),
  ...hydra("rlogin", "rlogin"),
  ...hydra("xmpp", "xml"),
  ...hydra("oracle-listener", "tns"),
  ...hydra("s7-300", "s7comm"),
];

function hydra(service: string, protocol: string): (typeof others)[number][] {
  const user = ["oracle-listener", "s7-300"].includes(service) ? [] : ["-l", "root"];
  const argv = (gate: string) => [
    "-I",
    "-t",
    "1",
    "-w",
    "2",
    "-c",
    "1",
    ...user,
    "-p",
    "x",
    "-s",
    "5000",
    gate,
    service,
  ];
  return [[protocol, "hydra", argv]];
}

const programs = [...new Set(others.map(([, program]) => program))];

describeWith(
  "namespaces",
  "executable",
  ...programs.map((program) => ({ program })),
)("the default profile", () => {
  test("bans each by its name, with the first thing that it says", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network({ clients: others.length }));
    // It leaves a file where it is started.
    const { path: cwd } = stack.use(new TempDir());
    const server = stack.use(await startServer(network.gate, "--port", "5001"));
    const gate = stack.use(await RunningGate.start([], { namespace: network.gate }));
    for (const [index, [protocol, program, argv]] of others.entries()) {
      // None of them can be told which address of its own to use.
      const source = network.clientIpv4(index + 1);
      const by = ["dev", network.clientDevice, "src", source];
      ip("-n", network.client, "route", "replace", `${network.gateIpv4}/32`, ...by);
      await using _client = new Child([program, ...argv(network.gateIpv4)], { namespace: network.client, cwd });
      const { protocol: found } = await gate.banned(source);
      expect([program, ...argv(""), found]).toEqual([program, ...argv(""), protocol]);
    }
    expect((await gate.status()).connections.relayed).toBe(0);
    expect((await server.until("a report", () => true)).strangers).toBe(0);
  });
});
