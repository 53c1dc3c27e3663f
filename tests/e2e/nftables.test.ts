// SPDX-License-Identifier: Apache-2.0
// nftables as the fence, seen with nft from outside: what is in the kernel, what drops, what other tools do to it, and
// what is left. The executable, a real nft, namespaces of its own.
import { expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Child, inNamespace, run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

/** Runs nft in the gate's namespace. @throws Error with what it said. */
function nft(network: Network, ...args: readonly string[]): string {
  const [program = "", ...rest] = inNamespace(network.gate, ["nft", ...args]);
  const { status, stdout, stderr } = spawnSync(program, rest, { encoding: "utf8", maxBuffer: 2 ** 28 });
  if (status !== 0) throw new Error(`Cannot run "nft ${args.join(" ")}": ${stderr}`);
  return stdout;
}

async function scene(stack: AsyncDisposableStack, ...args: readonly string[]) {
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  stack.use(await startServer(network.gate, "--port", "5001"));
  const table = `ttgate_${map.name}`;
  const options = ["-B", map.name, "--fence", "nftables", "-i", network.device, ...args];
  const start = async (...more: readonly string[]) =>
    stack.use(await RunningGate.start([...options, ...more], { namespace: network.gate }));
  const gate = await start();
  const knock = async (from: string, host = network.gateIpv4) =>
    (await probeFrom(network.client, { host, port: 5000, from, waitMs: 400 })).outcome;
  const listed = () => nft(network, "list", "table", "inet", table);
  return { network, map, table, gate, start, knock, listed };
}

/** What the gate said that it put right. */
function mended({ child }: RunningGate): readonly string[] {
  return `${child.stdout}${child.stderr}`.match(/table .* was changed by another tool .*: put right/g) ?? [];
}

async function readiness(gate: RunningGate) {
  const reply = await gate.fetch("/readyz");
  const { reasons } = (await reply.json()) as { reasons: readonly string[] };
  return { status: reply.status, reasons: reasons.join("; ") };
}

const needs = ["namespaces", "executable", { program: "nft" }] as const;

describeWith(...needs)("nftables as the fence", () => {
  test("drops what a stranger sends, counts it, ends the ban by itself, and lets friends through", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, knock, listed } = await scene(stack, "-t", "6s");
    const [stranger, friend] = [network.clientIpv4(3), network.clientIpv4(4)];
    const http = `http://${network.gateIpv4}:5000/`;
    await run(["curl", "-sS", "--max-time", "5", "--interface", stranger, http], { namespace: network.client });
    await gate.banned(stranger);
    const bannedMs = performance.now();
    await waitFor("the element", () => listed().includes(`${stranger} counter`));
    expect(listed()).toContain('comment "sniffer http"');
    expect([await knock(stranger), await knock(friend)]).toEqual(["no answer", "open"]);
    const counted = await waitFor("the drops to be read", async () => {
      const ban = await gate.ban(stranger);
      return (ban?.packets ?? 0) > 0 && ban;
    });
    expect(counted).toMatchObject({ refused: { by: "kernel" }, protocol: "http" });
    expect(counted.lastSeen).not.toBeNull();
    const { kernel } = await gate.until("all drops", (status) => status.kernel.droppedPackets > 0);
    expect(kernel).toMatchObject({ fence: "nftables", attach: "nftables", proof: { passed: true }, ports: [5000] });
    expect((await gate.command("why", stranger)).stdout).toMatch(/nftables.*packets.*dropped/);
    expect(await (await gate.fetch("/metrics")).text()).toContain('attach="nftables"');
    await waitFor("the end", async () => (await knock(stranger)) === "open");
    expect(performance.now() - bannedMs).toBeGreaterThan(4000);
    expect(listed()).not.toContain(stranger);
  });

  test("holds networks of IPv6 and ranges inside one another; a lift takes out its own alone", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, knock, listed } = await scene(stack);
    const [six, other] = [network.clientIpv6(3), network.clientIpv6(4)];
    await gate.command("ban", six, "10.77.1.0/25", "10.77.1.4", "203.0.113.0/24", "203.0.0.0/16");
    await waitFor("the elements", () => listed().match(/counter packets \d+ bytes \d+ timeout/g)?.length === 5);
    expect(await knock(six, network.gateIpv6)).toBe("no answer");
    expect(await knock(other, network.gateIpv6)).toBe("open");
    expect(await knock(network.clientIpv4(5))).toBe("no answer");
    expect(await knock(network.clientIpv4(8))).toBe("no answer");
    await gate.command("lift", "10.77.1.0/25");
    await waitFor("the way in", async () => (await knock(network.clientIpv4(5))) === "open");
    expect(listed()).toContain("203.0.113.0 counter");
  });

  test("only the gate's port is closed; with --scope host everything is", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, start } = await scene(stack);
    stack.use(await startServer(network.gate, "--host", "0.0.0.0", "--port", "6000"));
    const from = network.clientIpv4(3);
    const other = async () =>
      (await probeFrom(network.client, { host: network.gateIpv4, port: 6000, from, waitMs: 400 })).outcome;
    await gate.command("ban", from, "--for", "1h");
    await waitFor("the ban in the kernel", async () => (await gate.status()).kernel.proof?.passed === true);
    expect(await other()).toBe("open");
    await gate.child.stop();
    const next = await start("--scope", "host");
    await next.command("ban", from, "--for", "1h");
    await waitFor("the host closed", async () => (await other()) === "no answer");
  });
});

describeWith(...needs)("another tool's hands in the table", () => {
  test("are put right within three seconds, whatever they did; other tables stay", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, table, gate, knock, listed } = await scene(stack);
    const stranger = network.clientIpv4(3);
    await gate.command("ban", stranger, "198.51.100.7", "--for", "1h");
    await waitFor("the ban", () => listed().includes(stranger));
    const other = ["add", "table", "inet", "other_tool"];
    const deeds: readonly (readonly [string, readonly (readonly string[])[], RegExp])[] = [
      ["flush ruleset", [["flush", "ruleset"]], /it was gone/],
      [
        "a set deleted",
        [
          ["flush", "chain", "inet", table, "banned"],
          ["delete", "set", "inet", table, "ipv4_32"],
        ],
        /set ipv4_32 was gone/,
      ],
      ["a rule put in front", [["insert", "rule", "inet", table, "banned", "accept"]], /a chain was edited/],
      ["the policy changed", [["chain", "inet", table, "prerouting", "{ policy drop; }"]], /a chain was edited/],
      [
        "an element deleted",
        [["delete", "element", "inet", table, "ipv4_32", `{ ${stranger} }`]],
        /elements were gone/,
      ],
      ["an element added", [["add", "element", "inet", table, "ipv4_32", "{ 192.0.2.9 }"]], /were not ttgate's/],
    ];
    for (const [what, commands, said] of deeds) {
      const before = mended(gate).length;
      const doneMs = performance.now();
      for (const command of commands) nft(network, ...command);
      const lines = await waitFor(`${what} put right`, () => {
        const all = mended(gate);
        return all.length > before && all;
      });
      expect([what, lines.at(-1)]).toEqual([what, expect.stringMatching(said)]);
      expect([what, performance.now() - doneMs < 3000]).toEqual([what, true]);
      expect([what, await knock(stranger), await knock(network.clientIpv4(4))]).toEqual([what, "no answer", "open"]);
      expect(listed()).not.toContain("192.0.2.9");
      nft(network, ...other);
    }
    expect(nft(network, "list", "tables")).toContain("table inet other_tool");
    const { remainingSeconds } = (await gate.ban(stranger)) ?? {};
    const [, minutes] = new RegExp(`${stranger}[^,}]* expires (\\d+)m`).exec(listed()) ?? [];
    expect(Number(minutes) * 60).toBeGreaterThan((remainingSeconds ?? 0) - 120);
    await waitFor("a green /readyz", async () => (await readiness(gate)).status === 200);
  });

  test("a second gate with another map stands beside; one with the same map is refused", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate, start, knock } = await scene(stack);
    using second = new BlockMap();
    await using _other = await start("-l", "0.0.0.0:5005", "-B", second.name);
    expect(nft(network, "list", "tables").match(/ttgate_/g)).toHaveLength(2);
    const refused = await run(ttgate(["-B", map.name, "--fence", "nftables", "-l", "0.0.0.0:5006", "-s", "off"]), {
      namespace: network.gate,
    });
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(/gate with pid \d+ is using it/)]);
    await gate.command("ban", network.clientIpv4(3));
    await waitFor("the ban", async () => (await knock(network.clientIpv4(3))) === "no answer");
    const detached = await run(ttgate(["detach", map.name]), { namespace: network.gate });
    expect([detached.code, detached.stderr]).toEqual([3, expect.stringContaining("is using it")]);
    await gate.child.stop();
    expect(nft(network, "list", "tables").match(/ttgate_/g)).toHaveLength(1);
  });
});

describeWith(...needs)("the end of a gate that blocks by nftables", () => {
  test("a stop takes the table away; --keep leaves it, and detach takes that away", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate, start, knock, listed } = await scene(stack);
    const stranger = network.clientIpv4(3);
    await gate.command("ban", stranger, "--for", "1h");
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    expect(nft(network, "list", "ruleset")).toBe("");
    const kept = await start("--keep");
    await kept.command("ban", stranger, "--for", "1h");
    expect(await kept.child.stop()).toMatchObject({ code: 0 });
    expect(listed()).toContain(stranger);
    expect(await knock(stranger)).toBe("no answer");
    const detached = await run(ttgate(["detach", map.name]), { namespace: network.gate });
    expect([detached.code, detached.stdout]).toEqual([0, `Removed table inet ttgate_${map.name}\n`]);
    expect(nft(network, "list", "ruleset")).toBe("");
  });

  test("what a killed gate leaves goes on blocking, and the next start takes it up", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, start, knock, listed } = await scene(stack);
    const [stranger, range] = [network.clientIpv4(3), "203.0.113.0/24"];
    await gate.command("ban", stranger, range, "--for", "1h");
    await waitFor("the bans", () => listed().includes("203.0.113.0"));
    gate.child.signal("SIGKILL");
    await gate.child.exited;
    expect(await knock(stranger)).toBe("no answer");
    const next = await start();
    expect(await next.banned(stranger)).toMatchObject({ by: "operator", protocol: "manual" });
    const { remainingSeconds, source } = await next.banned(range);
    expect([source, (remainingSeconds ?? 0) > 3500]).toEqual([range, true]);
    expect(await knock(stranger)).toBe("no answer");
    expect(listed().match(/chain gate_/g)).toHaveLength(1);
    await next.command("lift", stranger);
    await waitFor("the way in", async () => (await knock(stranger)) === "open");
  });
});

describeWith(...needs)("the ladder", () => {
  test("an interface that takes neither XDP nor tc is guarded by nftables, the others by XDP", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    stack.use(await startServer(network.gate, "--port", "5001"));
    await tunnel(stack, network);
    const options = ["-B", map.name, "-i", network.device, "-i", "odd0"];
    const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
    const { kernel } = await gate.status();
    expect(kernel).toMatchObject({
      fence: "xdp+nftables",
      attach: "nftables",
      interfaces: [
        { name: network.device, attach: "native", reason: null },
        { name: "odd0", attach: "nftables", reason: expect.stringContaining("hardware type 778") },
      ],
    });
    expect(gate.child.stderr.match(/"odd0": left to nftables: .*778/g)).toHaveLength(1);
    expect(gate.child.stdout + gate.child.stderr).toMatch(/"odd0": guarded by nftables/);
    const inner = { host: "10.99.0.1", port: 5000, from: "10.99.0.2", waitMs: 400 };
    expect((await probeFrom(network.client, inner)).outcome).toBe("open");
    await gate.command("ban", "10.99.0.2", "--for", "1h");
    await waitFor("the tunnel closed", async () => (await probeFrom(network.client, inner)).outcome === "no answer");
    await waitFor("its drops", async () => ((await gate.ban("10.99.0.2"))?.packets ?? 0) > 0);
    expect(await gate.ban("10.99.0.2")).toMatchObject({ refused: { by: "kernel" } });
    await gate.child.stop();
    expect([map.pins(), nft(network, "list", "ruleset")]).toEqual([[], ""]);
  });

  test("without nft the interface is blocked in user space, and the package is named", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    stack.use(await startServer(network.gate, "--port", "5001"));
    await tunnel(stack, network);
    using directory = new TempDir();
    symlinkSync(Bun.which("nsenter") ?? "", directory.file("nsenter"));
    const env = { PATH: directory.path };
    const options = ["-B", map.name, "-i", network.device, "-i", "odd0"];
    const gate = stack.use(await RunningGate.start(options, { namespace: network.gate, env }));
    expect(gate.child.stderr).toMatch(/"odd0": blocked in user space only: .*install the package nftables/);
    await gate.command("ban", "10.99.0.2", "--for", "1h");
    expect(await gate.ban("10.99.0.2")).toMatchObject({ refused: { by: "user space" } });
    expect((await readiness(gate)).reasons).toMatch(/The kernel does not block: .*hardware type 778/);
    const refused = await run(ttgate(["-B", map.name, "--fence", "nftables", "-l", "0.0.0.0:5006", "-s", "off"]), {
      namespace: network.gate,
      env,
    });
    expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining("install the package nftables")]);
  });

  test("an nft that fails turns /readyz red, user space goes on; once it works all is written", async () => {
    await using stack = new AsyncDisposableStack();
    const bin = stack.use(new TempDir());
    const real = Bun.which("nft") ?? "";
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const wrapper = bin.file("nft");
    writeFileSync(
      wrapper,
      `#!/bin/sh\nif [ -e ${bin.file("broken")} ]; then echo "Error: out of order" >&2; exit 1; fi\nexec ${real} "$@"\n`,
    );
    chmodSync(wrapper, 0o755);
    const env = { PATH: `${bin.path}:${process.env["PATH"]}` };
    const options = ["-B", map.name, "--fence", "nftables", "-i", network.device];
    const gate = stack.use(await RunningGate.start(options, { namespace: network.gate, env }));
    writeFileSync(bin.file("broken"), "");
    const stranger = network.clientIpv4(3);
    await gate.command("ban", stranger, "--for", "1h");
    const red = await waitFor("a red /readyz", async () => {
      const answer = await readiness(gate);
      return answer.status === 503 && answer;
    });
    expect(red.reasons).toMatch(/cannot be written: .*out of order/);
    expect(
      (await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: stranger, waitMs: 400 })).outcome,
    ).not.toBe("open");
    expect(await gate.ban(stranger)).toMatchObject({ refused: { by: "user space" } });
    await Bun.file(bin.file("broken")).delete();
    await waitFor("a green /readyz", async () => (await readiness(gate)).status === 200);
    const listed = nft(network, "list", "table", "inet", `ttgate_${map.name}`);
    expect(listed).toContain(stranger);
  });

  test("what judges in the kernel is refused with nftables alone", async () => {
    for (const [args, option] of [
      [["--mode", "inline"], '--mode "inline"'],
      [["--prefilter"], "--prefilter"],
    ] as const) {
      const refused = await run(ttgate(["-B", "x", "--fence", "nftables", ...args]));
      expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(`${option} with --fence nftables`)]);
    }
  });
});

/** ARPHRD_IPGRE of linux/if_arp.h: its frames neither XDP nor tc read here. */
const ipGreType = "778";

/** A tunnel between 10.99.0.1, the gate's end, and 10.99.0.2. */
async function tunnel(stack: AsyncDisposableStack, network: Network): Promise<void> {
  const script = join(import.meta.dirname, "../harness/tun_pair.py");
  const ends = [network.gate, "odd0", network.client, "odd0", ipGreType];
  const pair = stack.use(new Child(["python3", script, ...ends]));
  await pair.said(/ready/);
  for (const [namespace, address] of [
    [network.gate, "10.99.0.1/24"],
    [network.client, "10.99.0.2/24"],
  ] as const) {
    ip("-n", namespace, "address", "add", address, "dev", "odd0");
    ip("-n", namespace, "link", "set", "odd0", "up");
  }
}
