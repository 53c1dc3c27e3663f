// SPDX-License-Identifier: Apache-2.0
// What other tools do to the kernel's objects while the gate runs: a ban written into the map is a ban, and
// what keeps the gate from its promise is put right or said in /readyz.

import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync } from "node:fs";
import { parsePrefix } from "../../src/core/address.ts";
import { run } from "../harness/child.ts";
import { attachForeign, loadForeign } from "../harness/foreign_xdp.ts";
import { type BlockMap, bpftool, RunningGate, ttgate, xdpPrograms } from "../harness/gate.ts";
import { clearArray, updateLink } from "../harness/kernel_hands.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, type Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { openScene } from "../harness/scene.ts";
import { startClient } from "../harness/standin.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

/** Two seconds, and what a busy machine adds. */
const soonMs = 4000;

function scene(stack: AsyncDisposableStack, ...args: readonly string[]) {
  return openScene(stack, ({ device }) => ["-i", device, ...args]);
}

/** The key of an address in ttgate's own layout, as bpftool takes it. */
function keyOf(address: string): string[] {
  return [...(parsePrefix(address)?.bytes ?? [])].map(String);
}

const endless = Array.from({ length: 40 }, () => "0");

function makeDocumented(map: BlockMap): void {
  const geometry = "type hash key 4 value 4 entries 64 name blocked";
  bpftool(["map", "create", map.path, ...geometry.split(" ")]);
}

function linkPin(map: BlockMap): string {
  const pin = map.pins().find((path) => path.includes("_link_"));
  if (pin === undefined) throw new Error(`No link among ${map.pins()}`);
  return pin;
}

async function readiness(gate: RunningGate) {
  const reply = await gate.fetch("/readyz");
  const { reasons } = (await reply.json()) as { reasons: readonly string[] };
  return { status: reply.status, reasons };
}

function silentFrom(network: Network, from: string) {
  return probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 400 });
}

describeWith("namespaces", "executable")("another tool", () => {
  test("that writes an address that is never banned into the map blocks it for a moment only", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack, "--allow", "10.77.1.4");
    const friend = network.clientIpv4(4);
    bpftool(["map", "update", "pinned", map.path, "key", ...keyOf(friend), "value", ...endless]);
    await gate.child.said(`Removed from the map: ${friend}, which blocked ${friend} (--allow) and is never banned`);
    expect(bpftool(["map", "dump", "pinned", map.path])).toEqual([]);
    expect((await silentFrom(network, friend)).outcome).toBe("open");
  });

  test("that does so in an inline dry run is told that the entry stays", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack, "--mode", "inline", "--dry-run", "--allow", "10.77.1.4");
    const friend = network.clientIpv4(4);
    bpftool(["map", "update", "pinned", map.path, "key", ...keyOf(friend), "value", ...endless]);
    await gate.child.said(`The map holds ${friend}, which covers ${friend} (--allow) and is never banned: a dry`);
    expect(bpftool(["map", "dump", "pinned", map.path])).toHaveLength(1);
    // A dry run keeps nobody out.
    expect((await silentFrom(network, friend)).outcome).toBe("open");
  });

  test("or a gate from before that left entries for an address that is never banned now", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack, "--keep");
    const [customer, other] = [network.clientIpv4(4), network.clientIpv4(5)];
    for (const source of [customer, other]) expect((await gate.command("ban", source)).code).toBe(0);
    await gate.child.stop();
    expect((await silentFrom(network, customer)).outcome).toBe("no answer");
    const next = await RunningGate.start(["-B", map.name, "-i", network.device, "--allow", customer], {
      namespace: network.gate,
    });
    stack.use(next);
    await next.until("one ban", ({ bans }) => bans.active === 1);
    await waitFor("the customer", async () => (await silentFrom(network, customer)).outcome === "open");
    expect((await silentFrom(network, other)).outcome).toBe("no answer");
  });

  test("that writes a friend's address into the map cuts its relays within a second, and is told", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack);
    const friend = network.clientIpv4(3);
    const client = stack.use(
      await startClient(network.client, "--host", network.gateIpv4, "--port", "5000", "--from", friend),
    );
    await client.until("packets", ({ packets }) => packets > 5);
    await gate.until("one relay", ({ connections }) => connections.active === 1);
    const writtenMs = performance.now();
    bpftool(["map", "update", "pinned", map.path, "key", ...keyOf(friend), "value", ...endless]);
    await gate.until("the relay cut", ({ connections }) => connections.active === 0 && connections.cut === 1);
    expect(performance.now() - writtenMs).toBeLessThan(1500);
    expect(await gate.ban(friend)).toMatchObject({ by: "map", remainingSeconds: null, claims: [{ origin: "map" }] });
    await gate.child.said(new RegExp(`Took up the ban of ${friend} that another tool wrote into the map`));
    const stream = await gate.fetch("/events", { headers: { "last-event-id": "0" } });
    let told = "";
    for await (const chunk of stream.body ?? []) {
      told += new TextDecoder().decode(chunk);
      if (told.includes(friend)) break;
    }
    expect(told).toMatch(new RegExp(`"type":"ban".*"source":"${friend}".*"by":"map"`));
  });

  test("that freezes the map turns /readyz red; the map is replaced and nobody gets through", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack);
    const stranger = network.clientIpv4(4);
    await gate.command("ban", stranger, "--for", "1h");
    await gate.command("ban", "198.51.100.0/24", "--for", "1h");
    bpftool(["map", "freeze", "pinned", map.path]);
    const frozenMs = performance.now();
    const red = await waitFor("a red /readyz", async () => {
      const answer = await readiness(gate);
      return answer.status === 503 && answer;
    });
    expect(performance.now() - frozenMs).toBeLessThan(3000);
    expect(red.reasons.join()).toMatch(/Map "[^"]+" was frozen by another tool: no ban can be written into it/);
    // Meanwhile what is banned is refused all the same, and everything else goes on.
    const later = network.clientIpv4(5);
    expect((await gate.command("ban", later)).code).toBe(0);
    expect((await silentFrom(network, later)).outcome).not.toBe("open");
    expect((await silentFrom(network, stranger)).outcome).toBe("no answer");
    await waitFor("a green /readyz", async () => (await readiness(gate)).status === 200, 20_000);
    await waitFor("the ban in the new map", async () => (await silentFrom(network, later)).outcome === "no answer");
    expect((await silentFrom(network, stranger)).outcome).toBe("no answer");
    const status = await gate.status();
    expect([status.kernel.attach, status.bans.active]).toEqual(["native", 3]);
    await gate.child.stop();
    expect([map.pins(), xdpPrograms(network.gate, network.device)]).toEqual([[], []]);
  });

  test("that removes pins or overwrites the settings finds them put back", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack);
    const stranger = network.clientIpv4(4);
    await gate.command("ban", stranger, "--for", "1h");
    const pins = map.pins().toSorted();
    for (const pin of pins) rmSync(pin, { force: true });
    await waitFor("the pins", () => map.pins().toSorted().join() === pins.join());
    const zeros = Array.from({ length: 56 }, () => "0");
    bpftool(["map", "update", "pinned", `${map.path}_settings`, "key", "0", "0", "0", "0", "value", ...zeros]);
    await waitFor("the block", async () => (await silentFrom(network, stranger)).outcome === "no answer");
    await gate.child.said(/settings of the kernel program were overwritten by another tool: put back/);
    await gate.child.stop();
    expect([map.pins(), xdpPrograms(network.gate, network.device)]).toEqual([[], []]);
  });

  test("that removes pins which another user cannot put back turns /readyz and doctor red", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack, "--user", "nobody");
    expect((await readiness(gate)).reasons).toEqual([]);
    const gone = [map.path, linkPin(map)];
    for (const pin of gone) rmSync(pin);
    const { reasons } = await waitFor("a red /readyz", async () => {
      const answer = await readiness(gate);
      return answer.reasons.length === gone.length && answer;
    });
    const put = "was removed and cannot be put back: /sys/fs/bpf is closed to this user; a crash would";
    expect(reasons[0]).toContain(`Pin "${map.path}" ${put} forget the bans; start ttgate again`);
    expect(reasons[1]).toContain(`Pin "${gone[1]}" ${put} end the guard of its interface; start ttgate again`);
    const options = ["-c", "/dev/null", "-B", map.name, "-i", network.device];
    const doctor = await run(ttgate(["doctor", ...options]), { namespace: network.gate });
    expect([doctor.code, doctor.stdout]).toEqual([1, expect.stringContaining(reasons[0] ?? "?")]);
    await gate.child.stop();
    const next = stack.use(await RunningGate.start(options.slice(2), { namespace: network.gate }));
    expect((await readiness(next)).reasons).toEqual([]);
  });

  test("that covers the bpf file system finds the pins put there too; what the cover hid is detached after the stop", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack);
    const pins = map.pins().toSorted();
    const stranger = network.clientIpv4(4);
    await gate.command("ban", stranger, "--for", "1h");
    expect((await run(["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"])).code).toBe(0);
    let isCovered = true;
    stack.defer(async () => void (isCovered && (await run(["umount", "/sys/fs/bpf"]))));
    await waitFor("the pins", () => map.pins().toSorted().join() === pins.join());
    expect((await silentFrom(network, stranger)).outcome).toBe("no answer");
    await gate.child.stop();
    expect([map.pins(), xdpPrograms(network.gate, network.device)]).toEqual([[], []]);
    await run(["umount", "/sys/fs/bpf"]);
    isCovered = false;
    expect(map.pins().toSorted()).toEqual(pins);
    const detached = await run(ttgate(["detach", "-B", map.name]), { namespace: network.gate });
    expect([detached.code, detached.stderr, map.pins()]).toEqual([0, "", []]);
  });

  test("that makes the bpf file system read-only: what comes is guarded, without a pin until it can be written", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await openScene(stack);
    const pins = map.pins().length;
    const remount = async (how: string) => (await run(["mount", "-o", `remount,${how}`, "/sys/fs/bpf"])).code;
    expect(await remount("ro")).toBe(0);
    stack.defer(async () => void (await remount("rw")));
    const device = `${network.device}x`;
    ip("-n", network.gate, "link", "add", device, "type", "veth", "peer", "name", `${network.device}y`);
    ip("-n", network.gate, "address", "add", "10.88.0.1/24", "dev", device);
    for (const end of ["x", "y"]) ip("-n", network.gate, "link", "set", `${network.device}${end}`, "up");
    await gate.until("its guard", ({ kernel }) =>
      kernel.interfaces.some(({ name, attach }) => name === device && attach === "native"),
    );
    await waitFor("a red /readyz", async () => (await readiness(gate)).reasons.length > 0);
    // In each of its ticks.
    for (let look = 0; look < 15; look++, await Bun.sleep(100)) {
      expect((await readiness(gate)).reasons.join()).toMatch(/the bpf file system is mounted read-only/);
    }
    expect(await remount("rw")).toBe(0);
    await waitFor("readiness", async () => (await readiness(gate)).reasons.length === 0);
    expect(map.pins().filter((pin) => pin.includes("_link_")).length).toBeGreaterThan(1);
    expect(map.pins().length).toBeGreaterThan(pins);
  });

  test("that puts its program into the gate's link finds the gate's put back", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack);
    const stranger = network.clientIpv4(4);
    await gate.command("ban", stranger, "--for", "1h");
    await updateLink(linkPin(map), await loadForeign(map));
    await waitFor("the block", async () => (await silentFrom(network, stranger)).outcome === "no answer", soonMs);
    await gate.child.said(/program .*is in the place of ttgate's program: put back/);
    await gate.child.stop();
    expect(xdpPrograms(network.gate, network.device)).toEqual([]);
  });

  test("that pins something of its own at the link's pin is told in /readyz, and keeps its pin", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack);
    const pin = linkPin(map);
    rmSync(pin);
    bpftool(["map", "create", pin, "type", "array", "key", "4", "value", "4", "entries", "1", "name", "other"]);
    await waitFor(
      "a red /readyz",
      async () => (await readiness(gate)).reasons.join().includes(`Pin "${pin}" is another tool's now`),
      soonMs,
    );
    await gate.child.stop();
    expect([map.pins(), xdpPrograms(network.gate, network.device)]).toEqual([[pin], []]);
  });

  // By the names that the kernel keeps.
  test.each(["ttgate_inline", "ttgate_tables"])(
    "that clears %s, by which the kernel judges, finds it put back",
    async (name) => {
      await using stack = new AsyncDisposableStack();
      const { network, gate } = await scene(stack, "--mode", "inline");
      await clearArray(gate.child.pid, name);
      await gate.child.said(/What the kernel judges by was overwritten by another tool: put back/, soonMs);
      const from = network.clientIpv4(4);
      const send = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n")];
      await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send, waitMs: 200 });
      await gate.banned(from);
      expect((await silentFrom(network, from)).outcome).toBe("no answer");
    },
  );

  test("whose program reads the documented map and is taken off turns /readyz red; the log does not praise it", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack, async (made, map) => {
      makeDocumented(map);
      await attachForeign(made, map, map.path);
      return ["-i", made.device];
    });
    expect([(await gate.status()).kernel.attach, (await readiness(gate)).reasons]).toEqual(["native", []]);
    const stranger = network.clientIpv4(4);
    await gate.command("ban", stranger);
    expect((await gate.command("why", stranger)).stdout).toContain("reads the map");
    ip("-n", network.gate, "link", "set", "dev", network.device, "xdp", "off");
    await waitFor(
      "a red /readyz",
      async () =>
        /The block map's reader on interface ".*not attached here any more/.test(
          (await readiness(gate)).reasons.join(),
        ),
      soonMs,
    );
    expect((await gate.command("why", stranger)).stdout).toMatch(/user space.*not attached here any more/);
  });

  test("that makes the documented map anew is told in /readyz", async () => {
    await using stack = new AsyncDisposableStack();
    const { map, gate } = await openScene(stack, ({ device }, made) => {
      makeDocumented(made);
      return ["-i", device];
    });
    expect((await readiness(gate)).reasons).toEqual([]);
    rmSync(map.path);
    makeDocumented(map);
    await waitFor(
      "a red /readyz",
      async () => (await readiness(gate)).reasons.join().includes(`Pin "${map.path}" is not the map in use any more`),
      soonMs,
    );
  });

  test("that closes the listening socket finds another one in its place", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await scene(stack);
    const killed = await run(["ss", "-K", "state", "listening", "sport", "=", ":5000"], { namespace: network.gate });
    expect([killed.code, killed.stdout.includes(":5000")]).toEqual([0, true]);
    const from = network.clientIpv4(4);
    await waitFor("a connection", async () => (await silentFrom(network, from)).outcome === "open", soonMs);
    await gate.child.said(/Nobody could connect to \[::\]:5000: another tool closed the listening socket/);
    expect((await readiness(gate)).reasons).toEqual([]);
  });

  test("that shortens a ban in the map changes nothing; a week's ban outlives a minute's", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack);
    const stranger = network.clientIpv4(4);
    await gate.command("ban", stranger, "--for", "7d");
    const shorter = await gate.command("ban", stranger, "--for", "1m");
    expect(shorter.stdout).toMatch(/7d|6d23h/);
    const endNs = BigInt(Math.round((Number.parseFloat(readFileSync("/proc/uptime", "utf8")) + 60) * 1e9));
    const soon = [
      ...Array.from({ length: 8 }, (_, byte) => String((endNs >> BigInt(8 * byte)) & 255n)),
      ...endless.slice(8),
    ];
    bpftool(["map", "update", "pinned", map.path, "key", ...keyOf(stranger), "value", ...soon]);
    await waitFor("the entry put right", () => {
      const [entry] = bpftool(["map", "dump", "pinned", map.path]) as [{ readonly value: readonly string[] }];
      return (
        entry.value.slice(0, 8).join() !==
        soon
          .slice(0, 8)
          .map((byte) => `0x${Number(byte).toString(16).padStart(2, "0")}`)
          .join()
      );
    });
    expect((await silentFrom(network, stranger)).outcome).toBe("no answer");
    expect((await gate.ban(stranger))?.remainingSeconds).toBeGreaterThan(6 * 86_400);
  });

  test("origin and reason of a ban survive a crash in the entry itself", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await scene(stack);
    const [stranger, banned] = [network.clientIpv4(4), network.clientIpv4(5)];
    const send = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n")];
    await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: stranger, send });
    await gate.banned(stranger);
    await gate.command("ban", banned, "--for", "1h");
    gate.child.signal("SIGKILL");
    await gate.child.exited;
    const options = ["-B", map.name, "-i", network.device];
    const next = stack.use(await RunningGate.start(options, { namespace: network.gate }));
    expect(await next.banned(stranger)).toMatchObject({ by: "sniffer", protocol: "http" });
    expect(await next.banned(banned)).toMatchObject({ by: "operator", protocol: "manual" });
  });
});
