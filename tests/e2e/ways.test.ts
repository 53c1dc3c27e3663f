// SPDX-License-Identifier: Apache-2.0
// By which way a banned source comes: the kernel is said to block it only where that is proven; else it is said
// who refuses it, and connections that should not have got so far are counted.
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, existsSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { runtime } from "../../src/runtime/bun.ts";
import { Child, run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate } from "../harness/gate.ts";
import { friendly, InlineBed, sysctl } from "../harness/inline_bed.ts";
import { describeWith, testWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { openScene } from "../harness/scene.ts";
import { startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";
import { attachFirst } from "../kernel/other_program.ts";

setDefaultTimeout(60_000);

/** enum bpf_attach_type. */
const skLookup = 36;

/** A ban that is younger may have met a connection under way. */
const settledMs = 2200;

async function readiness(gate: RunningGate) {
  const reply = await gate.fetch("/readyz");
  const { reasons, notes = [] } = (await reply.json()) as { reasons: readonly string[]; notes?: readonly string[] };
  return { status: reply.status, text: reasons.join("\n"), notes: notes.join("\n") };
}

async function redOf(gate: RunningGate) {
  return waitFor("a red /readyz", async () => {
    const answer = await readiness(gate);
    return answer.status === 503 && answer;
  });
}

/** What is told while the gate is ready; "" waits until nothing is. */
async function notesOf(gate: RunningGate, wanted: RegExp) {
  return waitFor(`notes like ${wanted}`, async () => {
    const answer = await readiness(gate);
    return answer.status === 200 && wanted.test(answer.notes) && answer;
  });
}

describeWith("namespaces", "executable", { program: "python3" })("with an interface that is not guarded", () => {
  let stack: AsyncDisposableStack;
  let network: Network;
  let gate: RunningGate;
  const tunnelled = "10.99.0.2";

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const script = join(import.meta.dirname, "../harness/tun_pair.py");
    const tun = stack.use(new Child(["python3", script, network.gate, "tun7", network.client, "tun7"]));
    await tun.said(/ready/);
    for (const [namespace, address] of [
      [network.gate, "10.99.0.1/24"],
      [network.client, `${tunnelled}/24`],
    ] as const) {
      ip("-n", namespace, "address", "add", address, "dev", "tun7");
      ip("-n", namespace, "link", "set", "tun7", "up");
    }
    gate = stack.use(await RunningGate.start(["-B", map.name, "-i", network.device], { namespace: network.gate }));
  });
  afterEach(() => stack.disposeAsync());

  test("log, why and bans say for each source who keeps it out", async () => {
    const direct = network.clientIpv4(3);
    await gate.command("ban", direct);
    await gate.command("ban", tunnelled);
    await gate.child.said(new RegExp(`Banned ${direct} for 10m: by command; blocked in the kernel\n`));
    await gate.child.said(
      new RegExp(`Banned ${tunnelled} for 10m: by command; refused in user space: interface tun7 is not guarded\n`),
    );
    expect((await gate.ban(direct))?.refused).toEqual({ by: "kernel", why: null });
    const why = "interface tun7 is not guarded";
    expect((await gate.ban(tunnelled))?.refused).toEqual({ by: "user space", why });
    expect((await gate.command("why", direct)).stdout).toContain("kept out: blocked in the kernel\n");
    expect((await gate.command("why", tunnelled)).stdout).toContain(`kept out: refused in user space: ${why}\n`);
    expect((await gate.command("bans")).stdout).toContain(`1 of them refused in user space: ${why}`);
    // And so it is.
    const from = (host: string, source: string) =>
      probeFrom(network.client, { host, port: 5000, from: source, waitMs: 500 });
    expect((await from(network.gateIpv4, direct)).outcome).toBe("no answer");
    expect((await from("10.99.0.1", tunnelled)).outcome).toBe("reset");
  });

  test("what user space refuses although the kernel should have is counted, and turns /readyz red", async () => {
    await gate.command("ban", tunnelled);
    const visit = () => probeFrom(network.client, { host: "10.99.0.1", port: 5000, from: tunnelled, waitMs: 200 });
    await visit();
    await new Promise((resolve) => setTimeout(resolve, settledMs));
    expect((await gate.status()).kernel.unseen?.connections).toBe(0);
    for (const count of [1, 2, 3]) {
      expect((await readiness(gate)).status).toBe(200);
      await visit();
      await gate.until(`${count} counted`, ({ kernel }) => kernel.unseen?.connections === count);
    }
    const red = await readiness(gate);
    expect(red.status).toBe(503);
    expect(red.text).toMatch(
      /^3 connections to port 5000 were not dropped by the kernel program since the start, the last one from 10\.99\.0\.2 port \d+ by interface "tun7": this interface is not guarded: add --interface tun7$/,
    );
  });
});

describeWith("namespaces", "executable", { program: "nft" })("with all interfaces guarded", () => {
  test("a redirect lets a banned source in: refused, counted, /readyz red", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack);
    const from = network.clientIpv4(3);
    await gate.command("ban", from);
    await gate.child.said(new RegExp(`Banned ${from} for 10m: by command; blocked in the kernel\n`));
    const rules = [
      "add table ip nat",
      "add chain ip nat pre { type nat hook prerouting priority -100 ; }",
      "add rule ip nat pre tcp dport 8080 redirect to :5000",
    ];
    await run(["nft", "-f", "-"], { namespace: network.gate, input: `${rules.join("\n")}\n` });
    await new Promise((resolve) => setTimeout(resolve, settledMs));
    const visit = (port: number) => probeFrom(network.client, { host: network.gateIpv4, port, from, waitMs: 200 });
    expect((await visit(5000)).outcome).toBe("no answer");
    for (const _ of [1, 2, 3]) expect((await visit(8080)).outcome).not.toBe("open");
    const red = await waitFor("a red /readyz", async () => {
      const answer = await readiness(gate);
      return answer.status === 503 && answer;
    });
    expect(red.text).toContain("a redirect to the port");
  });
});

describeWith(
  "namespaces",
  "executable",
  { program: "nft" },
  { program: "iptables" },
)("a rule of the packet filter", () => {
  const redirect = [
    "add table ip nat",
    "add chain ip nat pre { type nat hook prerouting priority -100 ; }",
    "add rule ip nat pre tcp dport 5000 redirect to :5001",
  ];

  const byNamedSet = [
    ...redirect.slice(0, -1),
    "add set ip nat ports { type inet_service; elements = { 80, 5000 }; }",
    "add rule ip nat pre iifname ttg* tcp dport @ports redirect to :5001",
  ];

  test.each([
    ["proxy", "nft", ["-f", "-"], redirect, ["flush", "ruleset"], "redirect to :5001"],
    ["inline", "nft", ["-f", "-"], redirect, ["flush", "ruleset"], "redirect to :5001"],
    ["proxy", "nft", ["-f", "-"], byNamedSet, ["flush", "ruleset"], "dport @ports redirect to :5001"],
    [
      ...(["proxy", "iptables"] as const),
      ["-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "5000", "-j", "REDIRECT", "--to-ports", "5001"],
      ...([[], ["-t", "nat", "-F", "PREROUTING"], "REDIRECT --to-ports 5001"] as const),
    ],
  ] as const)(
    "that leads clients past the gate turns /readyz and doctor red (%s, %s)",
    async (mode, tool, add, input, undo, text) => {
      await using stack = new AsyncDisposableStack();
      const network = stack.use(new Network());
      const map = stack.use(new BlockMap());
      for (const port of ["5001", ...(mode === "inline" ? ["5000"] : [])])
        stack.use(await startServer(network.gate, "--port", port, "--host", "0.0.0.0"));
      const options = ["-B", map.name, "--mode", mode];
      const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
      await waitFor("readiness", async () => (await readiness(gate)).status === 200);
      const filter = (args: readonly string[], lines: readonly string[]) =>
        run([tool, ...args], { namespace: network.gate, input: `${lines.join("\n")}\n` });
      expect((await filter(add, input)).stderr).toBe("");
      const red = await waitFor("a red /readyz", async () => {
        const answer = await readiness(gate);
        return answer.status === 503 && answer;
      });
      expect(red.text).toStartWith("Connections to port 5000 are led past the gate: ");
      expect(red.text).toContain(text);
      await gate.child.said(/error Connections to port 5000 are led past the gate/);
      const doctor = await run(ttgate(["doctor", "-c", "/dev/null", ...options]), { namespace: network.gate });
      expect([doctor.code, doctor.stdout]).toEqual([1, expect.stringContaining("led past the gate")]);
      await filter(undo, []);
      await waitFor("readiness", async () => (await readiness(gate)).status === 200);
      await gate.child.said(/No rule leads connections past the gate any more/);
    },
  );
});

describeWith("namespaces", "executable", { program: "nft" })("a tool that lists the rules", () => {
  test("and that fails for a while takes nothing back, and is asked again", async () => {
    await using stack = new AsyncDisposableStack();
    const directory = stack.use(new TempDir());
    const [broken, asked] = [directory.file("broken"), directory.file("asked")];
    const tool = `#!/bin/sh\n[ ! -e ${broken} ] || { : >>${asked}; exit 1; }\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec nft "$@"\n`;
    writeFileSync(directory.file("nft"), tool, { mode: 0o755 });
    const env = { PATH: `${directory.path}:${process.env["PATH"]}` };
    const network = stack.use(new Network());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const gate = stack.use(await RunningGate.start([], { namespace: network.gate, env }));
    const filter = (...lines: readonly string[]) =>
      run(["nft", "-f", "-"], { namespace: network.gate, input: `${lines.join("\n")}\n` });
    await filter(
      "add table ip nat",
      "add chain ip nat pre { type nat hook prerouting priority -100 ; }",
      "add rule ip nat pre tcp dport 5000 redirect to :5001",
    );
    await redOf(gate);
    writeFileSync(broken, "");
    await filter("add table ip other");
    await waitFor("a listing that failed", () => existsSync(asked));
    const { uptimeSeconds } = await gate.status();
    await gate.until("another look", (status) => status.uptimeSeconds >= uptimeSeconds + 2);
    expect((await readiness(gate)).status).toBe(503);
    expect(gate.child.stderr).not.toContain("any more");
    await filter("delete table ip nat");
    rmSync(broken);
    await waitFor("readiness", async () => (await readiness(gate)).status === 200);
  });
});

describeWith(
  "namespaces",
  "executable",
  { program: "nft" },
  { program: "iptables" },
)("behind a handshake that is not the server's", () => {
  const match = "-p tcp -m multiport --dports 4000,5000 -m state --state INVALID,UNTRACKED".split(" ");
  test.each([
    [
      "nft",
      [
        "add table ip own",
        "add chain ip own raw { type filter hook prerouting priority raw ; }",
        "add chain ip own in { type filter hook input priority 0 ; }",
        "add rule ip own raw tcp dport 5000 tcp flags syn notrack",
        "add rule ip own in ct state invalid,untracked tcp dport { 4000, 5000 } synproxy mss 1460 wscale 7 timestamp sack-perm",
      ],
      [["nft", "-f", "-"]],
      [["nft", "flush", "ruleset"]],
      "nft table ip own, chain in: tcp dport { 4000, 5000 } synproxy",
    ],
    [
      "iptables",
      [],
      [
        ["iptables", "-t", "raw", "-A", "PREROUTING", "-p", "tcp", "--dport", "5000", "--syn", "-j", "CT", "--notrack"],
        ["iptables", "-A", "INPUT", ...match, "-j", "SYNPROXY", "--timestamp", "--wscale", "7", "--mss", "1460"],
      ],
      [
        ["iptables", "-t", "raw", "-F"],
        ["iptables", "-F"],
      ],
      "iptables -A INPUT -p tcp -m multiport --dports 4000,5000",
    ],
  ] as const)("SYNPROXY after the start shuts customers out, and turns /readyz and doctor red (%s)", async (...how) => {
    const [, lines, add, undo, text] = how;
    await using bed = await InlineBed.open();
    const { network, map, gate } = bed;
    const inside = async (argv: readonly string[]) => {
      const { code, stderr } = await run(argv, { namespace: network.gate, input: `${lines.join("\n")}\n` });
      expect([code, stderr]).toEqual([0, ""]);
    };
    const visit = (number: number) => {
      const from = network.clientIpv4(number);
      return probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send: [friendly], waitMs: 300 });
    };
    const served = (number: number) =>
      bed.sink.lines().some((line) => line.startsWith(`data ${network.clientIpv4(number)} `));
    await visit(1);
    await waitFor("the friend's bytes", () => served(1));
    // Else the last ACK of the handshake is taken for one of an older connection.
    await sysctl(network.gate, "net.netfilter.nf_conntrack_tcp_loose=0");
    for (const argv of add) await inside(argv);
    const red = await redOf(gate);
    expect(red.text).toStartWith("Nobody gets in at port 5000: a rule makes the handshake (SYNPROXY)");
    expect(red.text).toContain(text);
    await gate.child.said(/error Nobody gets in at port 5000/);
    const before = bed.counts();
    await visit(2);
    await bed.counted("unproven", before);
    expect(served(2)).toBe(false);
    const options = ["-B", map.name, "--mode", "inline"];
    const doctor = await run(ttgate(["doctor", "-c", "/dev/null", ...options]), { namespace: network.gate });
    expect([doctor.code, doctor.stdout]).toEqual([1, expect.stringContaining("Nobody gets in at port 5000")]);
    for (const argv of undo) await inside(argv);
    await waitFor("readiness", async () => (await readiness(gate)).status === 200);
    await gate.child.said(/No rule makes the handshake for a judged port any more/);
    await visit(3);
    await waitFor("the friend's bytes", () => served(3));
  });

  test("SYNPROXY shuts nobody out of a dry run, and it is said that it would", async () => {
    await using bed = await InlineBed.open({ gate: ["--dry-run"] });
    const lines = [
      "add table ip own",
      "add chain ip own in { type filter hook input priority 0 ; }",
      "add rule ip own in ct state invalid,untracked tcp dport 5000 synproxy mss 1460 wscale 7",
    ];
    await run(["nft", "-f", "-"], { namespace: bed.network.gate, input: `${lines.join("\n")}\n` });
    await notesOf(bed.gate, /^Nobody would get in at port 5000: a rule makes the handshake/);
    await bed.gate.child.said(/warn Nobody would get in at port 5000/);
  });

  test("what nobody can name is noticed by first bytes that do not fit, until some do", async () => {
    await using bed = await InlineBed.open();
    const stranger = await bed.clients.connect(bed.nextIpv4());
    const misfit = { bytes: friendly, ack: (stranger.serverFirst + 5000) >>> 0 };
    stranger.send(...Array.from({ length: 9 }, () => misfit));
    await bed.gate.until("nine misfits", ({ kernel }) => kernel.judged?.unproven === 9);
    expect((await readiness(bed.gate)).notes).toBe("");
    stranger.send(misfit);
    await notesOf(bed.gate, /^The last 10 first bytes did not fit their connections: /);
    const friend = await bed.clients.connect(bed.nextIpv4());
    friend.send({ bytes: friendly });
    await bed.sink.got(friend.name, friendly);
    await notesOf(bed.gate, /^$/);
  });

  testWith({ program: "iptables-legacy" })("SYNPROXY of the legacy iptables is found by doctor", async () => {
    using network = new Network();
    const inside = (...argv: readonly string[]) => run(argv, { namespace: network.gate });
    const { stderr } = await inside("iptables-legacy", "-A", "INPUT", ...match, "-j", "SYNPROXY", "--mss", "1460");
    expect(stderr).toBe("");
    const doctor = await inside(...ttgate(["doctor", "-c", "/dev/null", "-B", "map", "--mode", "inline"]));
    expect(doctor.stdout).toContain("Nobody gets in at port 5000: ");
  });

  test("rules and programs that lead other ports to the server are said while it runs", async () => {
    await using stack = new AsyncDisposableStack();
    await using bed = await InlineBed.open();
    const { network, map, gate } = bed;
    const filter = (...lines: readonly string[]) =>
      run(["nft", "-f", "-"], { namespace: network.gate, input: `${lines.join("\n")}\n` });
    await filter(
      "add table ip own",
      "add chain ip own pre { type filter hook prerouting priority mangle ; }",
      "add rule ip own pre tcp dport 8080 tproxy to :5000",
    );
    await notesOf(
      gate,
      /^Some connections to the server of port 5000 are not judged: .*tcp dport 8080 tproxy to :5000/,
    );
    await gate.child.said(/warn Some connections to the server of port 5000 are not judged/);
    await filter("flush ruleset");
    await notesOf(gate, /^$/);
    const namespace = openSync(`/run/netns/${network.gate}`, "r");
    const hands = { native: runtime.native, path: map.path, defer: (undo: () => void) => stack.defer(undo) };
    const takeOff = await attachFirst(hands, "chooser", namespace, skLookup);
    closeSync(namespace);
    await notesOf(gate, /^Connections to the server of port 5000 may not be judged: program id \d+ may/);
    await gate.child.said(/warn Connections to the server of port 5000 may not be judged/);
    takeOff();
    await notesOf(gate, /^$/);
  });
});
