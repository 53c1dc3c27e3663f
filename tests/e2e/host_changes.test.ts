// SPDX-License-Identifier: Apache-2.0
// A host that changes after the start: interfaces, addresses, gateways and names that come, go and move. What
// the gate promises at the start it keeps, or /readyz says why not.
import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Child, run } from "../harness/child.ts";
import { attachForeign } from "../harness/foreign_xdp.ts";
import { BlockMap, executable, RunningGate, ttgate, xdpLink, xdpPrograms } from "../harness/gate.ts";
import { routesByKind } from "../harness/gateways.ts";
import { describeWith } from "../harness/needs.ts";
import { ip, Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { openScene } from "../harness/scene.ts";
import { startServer } from "../harness/standin.ts";
import { handsOver } from "../harness/takeover.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

/** A second, and what a busy machine adds. */
const soonMs = 2500;

const http = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n")];

function inGate(network: Network, ...args: readonly string[]): void {
  ip("-n", network.gate, ...args);
}

/** One more veth pair, as a cable that is plugged in: the gate has 10.88.0.1, a client 10.88.0.2. */
function plugIn(network: Network): { readonly device: string; readonly host: string; readonly from: string } {
  const device = `${network.device}x`;
  const peer = `${network.clientDevice}x`;
  inGate(network, "link", "add", device, "type", "veth", "peer", "name", peer, "netns", network.client);
  inGate(network, "address", "add", "10.88.0.1/24", "dev", device);
  inGate(network, "link", "set", device, "up");
  ip("-n", network.client, "address", "add", "10.88.0.2/24", "dev", peer);
  ip("-n", network.client, "link", "set", peer, "up");
  return { device, host: "10.88.0.1", from: "10.88.0.2" };
}

async function reasons(gate: RunningGate): Promise<readonly string[]> {
  const reply = await gate.fetch("/readyz");
  return ((await reply.json()) as { reasons: readonly string[] }).reasons;
}

describeWith("namespaces", "executable")("an interface", () => {
  test.each(["proxy", "inline"] as const)(
    "that comes after the start is guarded within a second (%s)",
    async (mode) => {
      await using stack = new AsyncDisposableStack();
      const { network, gate } = await openScene(stack, () => ["--mode", mode]);
      const { device, host, from } = plugIn(network);
      const isGuarded = (name: string) =>
        gate.until(
          `${name} guarded`,
          ({ kernel }) => kernel.interfaces.some((place) => place.name === name && place.attach === "native"),
          soonMs,
        );
      await isGuarded(device);
      await probeFrom(network.client, { host, port: 5000, from, send: http });
      await gate.banned(from);
      expect((await probeFrom(network.client, { host, port: 5000, from, waitMs: 500 })).outcome).toBe("no answer");
      // Gone again, it is no fault.
      inGate(network, "link", "del", device);
      await gate.until("the interface forgotten", ({ kernel }) => kernel.interfaces.length === 1, soonMs);
      expect(await reasons(gate)).toEqual([]);
    },
  );

  test("that comes later blocks after a crash too, where another user may not pin its link", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await openScene(stack, () => ["--user", "nobody"]);
    const { device, host, from } = plugIn(network);
    await gate.until("its guard", ({ kernel }) => kernel.interfaces.some(({ name }) => name === device));
    await gate.child.said(/cannot be pinned by this user; a tc filter goes on when this process ends/);
    await gate.command("ban", from);
    gate.child.signal("SIGKILL");
    await gate.child.exited;
    expect(xdpPrograms(network.gate, device)).toEqual([]);
    stack.use(await startServer(network.gate, "--port", "5000", "--host", "0.0.0.0"));
    expect((await probeFrom(network.client, { host, port: 5000, from, waitMs: 500 })).outcome).toBe("no answer");
    const detached = await run(ttgate(["detach", "-B", map.name, "--force"]), { namespace: network.gate });
    expect(detached.stdout).toContain(`Removed filter ${device}`);
    expect((await probeFrom(network.client, { host, port: 5000, from, waitMs: 500 })).outcome).toBe("open");
  });

  test("that comes later with another XDP program is guarded by tc", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await openScene(stack);
    const { device, host, from } = plugIn(network);
    inGate(network, "address", "flush", "dev", device);
    await gate.until("one interface", ({ kernel }) => kernel.interfaces.length === 1);
    await attachForeign({ gate: network.gate, device }, map);
    inGate(network, "address", "add", `${host}/24`, "dev", device);
    await gate.until("its guard", ({ kernel }) =>
      kernel.interfaces.some((place) => place.name === device && place.attach === "tc"),
    );
    await gate.command("ban", from);
    expect((await probeFrom(network.client, { host, port: 5000, from, waitMs: 500 })).outcome).toBe("no answer");
  });

  test.each(["proxy", "inline"] as const)(
    "without Ethernet headers, as of a tunnel that comes after the start, is guarded (%s)",
    async (mode) => {
      await using stack = new AsyncDisposableStack();
      const { network, gate } = await openScene(stack, () => ["--mode", mode]);
      const script = join(import.meta.dirname, "../harness/tun_pair.py");
      const ends = [network.gate, "vpn0", network.client, "vpn1"];
      const tunnel = stack.use(new Child(["python3", script, ...ends]));
      await tunnel.said(/ready/);
      const [host, from, other] = ["10.89.0.1", "10.89.0.2", "10.89.0.3"];
      for (const [namespace, device, ...addresses] of [
        [network.gate, "vpn0", host],
        [network.client, "vpn1", from, other],
      ] as const) {
        for (const address of addresses) ip("-n", namespace, "address", "add", `${address}/24`, "dev", device);
        ip("-n", namespace, "link", "set", device, "up");
      }
      await gate.until("its guard", ({ kernel }) => kernel.interfaces.some((place) => place.name === "vpn0"));
      await gate.command("ban", from);
      const knock = async (source: string) =>
        (await probeFrom(network.client, { host, port: 5000, from: source, waitMs: 500 })).outcome;
      expect([await knock(from), await knock(other)]).toEqual(["no answer", "open"]);
      await probeFrom(network.client, { host, port: 5000, from: other, send: http });
      await gate.banned(other);
      expect(await knock(other)).toBe("no answer");
    },
  );

  test.each(["proxy", "inline"] as const)(
    "that clients come by is guarded where loopback alone carries the listen address (%s)",
    async (mode) => {
      await using stack = new AsyncDisposableStack();
      const { network, gate } = await openScene(stack, ({ gateIpv4 }) => ["--mode", mode, "-l", `${gateIpv4}:5000`]);
      const from = network.clientIpv4(3);
      await gate.command("ban", from);
      inGate(network, "address", "add", `${network.gateIpv4}/32`, "dev", "lo");
      inGate(network, "address", "del", `${network.gateIpv4}/16`, "dev", network.device);
      inGate(network, "address", "add", "10.77.0.2/16", "dev", network.device);
      const { uptimeSeconds } = await gate.status();
      await gate.until("two seconds", (status) => status.uptimeSeconds >= uptimeSeconds + 2);
      expect((await gate.status()).kernel.interfaces).toEqual([
        { name: network.device, attach: "native", reason: null },
      ]);
      const knock = (source: string) =>
        probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: source, waitMs: 500 });
      expect((await knock(from)).outcome).toBe("no answer");
      expect((await knock(network.clientIpv4(4))).outcome).toBe("open");
      expect(await reasons(gate)).toEqual([]);
    },
  );

  test("that carries no listen address is guarded once a banned source came by it", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack, ({ gateIpv4 }) => ["-l", `${gateIpv4}:5000`]);
    const from = network.clientIpv4(3);
    await gate.command("ban", from, "--for", "1h");
    const { device } = plugIn(network);
    inGate(network, "address", "add", `${network.gateIpv4}/32`, "dev", device);
    inGate(network, "address", "del", `${network.gateIpv4}/16`, "dev", network.device);
    inGate(network, "address", "add", "10.77.0.2/16", "dev", network.device);
    const isAlone = (names: readonly string[]) => names.join() === device;
    await gate.until("its guard alone", ({ kernel }) => isAlone(kernel.interfaces.map(({ name }) => name)));
    const knock = () => probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 500 });
    await waitFor("the guard", async () => (await knock()).outcome === "no answer");
    await gate.child.said(/by interface "\w+": this interface carries no listen address: it is guarded from now on/);
    const names = (await gate.status()).kernel.interfaces.map(({ name }) => name);
    expect(names.toSorted()).toEqual([device, network.device].toSorted());
    // Gone, it is no fault.
    network.cut();
    await gate.until("the interface forgotten", ({ kernel }) => kernel.interfaces.length === 1, soonMs);
    expect((await reasons(gate)).filter((reason) => !reason.includes("not dropped"))).toEqual([]);
  });

  test("whose carrier is lost keeps its guard; the gate stays ready", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack);
    const from = network.clientIpv4(3);
    await gate.command("ban", from);
    const link = xdpLink(network.gate, network.device);
    const peer = (state: string) => ip("-n", network.client, "link", "set", network.clientDevice, state);
    peer("down");
    // As often as interfaces are looked at, and once more.
    const { uptimeSeconds } = await gate.status();
    await gate.until("two seconds", (status) => status.uptimeSeconds >= uptimeSeconds + 2);
    expect([await reasons(gate), xdpLink(network.gate, network.device)]).toEqual([[], link]);
    peer("up");
    expect(xdpLink(network.gate, network.device)).toBe(link as number);
    expect((await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 500 })).outcome).toBe(
      "no answer",
    );
  });

  test("with a second address that has a label is one interface", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack, (made) => {
      inGate(made, "address", "add", "10.77.9.9/16", "dev", made.device, "label", `${made.device}:1`);
      return [];
    });
    const { kernel } = await gate.status();
    expect(kernel.interfaces).toEqual([{ name: network.device, attach: "native", reason: null }]);
    expect(await reasons(gate)).toEqual([]);
    const refused = await gate.command("ban", "10.77.9.9");
    expect(refused.stderr).toContain(`10.77.9.9 is never banned (own address of ${network.device})`);
  });

  test("with thousands of addresses has them all protected where the kernel judges", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack, () => ["--mode", "inline"]);
    const lines = Array.from({ length: 5000 }, (_, index) => {
      return `address add 10.99.${index >> 8}.${index & 255}/32 dev ${network.device}\n`;
    });
    const added = await run(["ip", "-n", network.gate, "-batch", "-"], { input: lines.join("") });
    expect(added.stderr).toBe("");
    await waitFor("the last one to be protected", async () => {
      const { stderr } = await gate.command("ban", "10.99.19.135");
      return stderr.includes("is never banned");
    });
    const { uptimeSeconds } = await gate.status();
    await gate.until("two turns of the judge", (status) => status.uptimeSeconds >= uptimeSeconds + 1);
    expect(await reasons(gate)).toEqual([]);
  });

  test("named with --interface is waited for, not ready, and says so", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack, ({ device }) => ["-i", device, "-i", `${device}x`]);
    const name = `${network.device}x`;
    await waitFor("the reason", async () => (await reasons(gate)).join().includes("the interface is not there"));
    await gate.child.said(new RegExp(`Interface "${name}" is not there: it is guarded as soon as it comes`));
    plugIn(network);
    await waitFor("readiness", async () => (await reasons(gate)).length === 0, soonMs + 2000);
  });

  test("that has no address yet, as with DHCP late at boot, is guarded when it has one", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack, (made) => {
      inGate(made, "address", "flush", "dev", made.device);
      inGate(made, "link", "set", made.device, "down");
      return ["--mode", "inline"];
    });
    await gate.child.said(/Inline mode judges nobody yet: waiting for an interface that carries the listen address/);
    expect((await reasons(gate)).join()).toContain("The kernel does not block");
    inGate(network, "link", "set", network.device, "up");
    inGate(network, "address", "add", `${network.gateIpv4}/16`, "dev", network.device);
    await waitFor("readiness", async () => (await reasons(gate)).length === 0, soonMs + 2000);
    const from = network.clientIpv4(3);
    await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send: http });
    await gate.banned(from);
  });

  test("whose XDP another program holds is guarded by tc, and by XDP when that one leaves", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, gate } = await openScene(stack, async (made, own) => {
      await attachForeign(made, own);
      return ["-i", made.device];
    });
    expect((await gate.status()).kernel.attach).toBe("tc");
    inGate(network, "link", "set", network.device, "xdp", "off");
    await gate.until("XDP", ({ kernel }) => kernel.attach === "native", 5000);
    const from = network.clientIpv4(3);
    await gate.command("ban", from);
    expect((await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 500 })).outcome).toBe(
      "no answer",
    );
    await gate.child.stop();
    expect(map.pins().filter((pin) => !pin.endsWith("_foreign"))).toEqual([]);
  });

  test("that is a bridge, with its ports, is guarded from below", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const bridge = `${network.device}b`;
    inGate(network, "link", "add", bridge, "type", "bridge");
    inGate(network, "link", "set", network.device, "master", bridge);
    inGate(network, "address", "flush", "dev", network.device);
    inGate(network, "address", "add", `${network.gateIpv4}/16`, "dev", bridge);
    inGate(network, "address", "add", "10.99.0.1/24", "dev", network.device);
    inGate(network, "link", "set", bridge, "up");
    const gate = stack.use(await RunningGate.start(["-B", map.name], { namespace: network.gate }));
    const { kernel } = await gate.status();
    expect(kernel.interfaces.find(({ name }) => name === network.device)).toMatchObject({ attach: "native" });
    expect(JSON.stringify(kernel.interfaces)).not.toContain("program id 0");
    const from = network.clientIpv4(3);
    await waitFor(
      "the bridge",
      async () =>
        (await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 300 })).outcome === "open",
    );
    await gate.command("ban", from);
    expect((await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 500 })).outcome).toBe(
      "no answer",
    );
  });
});

describeWith("namespaces", "executable")("who is never banned", () => {
  test.each(["port", "host"] as const)(
    "follows addresses and gateways; a ban on one ends, saying so (%s)",
    async (scope) => {
      await using stack = new AsyncDisposableStack();
      const { network, gate } = await openScene(stack, ({ device }) => ["-i", device, "--scope", scope]);
      const gateway = network.clientIpv4(4);
      const own = "10.77.9.9";
      for (const address of [gateway, own]) expect((await gate.command("ban", address)).code).toBe(0);
      inGate(network, "route", "replace", "default", "via", gateway);
      inGate(network, "address", "add", `${own}/32`, "dev", network.device);
      await waitFor("the end of both bans", async () => (await gate.bans()).length === 0, soonMs);
      await gate.child.said(new RegExp(`Ended the ban of ${gateway}: ${gateway} is never banned \\(gateway of`));
      await gate.child.said(new RegExp(`Ended the ban of ${own}: ${own} is never banned \\(own address of`));
      for (const address of [gateway, own]) {
        const { code, stderr } = await gate.command("ban", address);
        expect([code === 0, stderr]).toEqual([false, expect.stringContaining("is never banned")]);
      }
      await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: gateway, send: http });
      await gate.child.said(new RegExp(`Did not ban ${gateway}`));
      const silent = await probeFrom(network.client, {
        host: network.gateIpv4,
        port: 5000,
        from: gateway,
        waitMs: 300,
      });
      expect(silent.outcome).toBe("open");
    },
  );

  test("has the gateways of every kind of route; a ban on one ends", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack, ({ device }) => ["-i", device, "--ipv6-prefix", "128"]);
    for (const { kind, routes } of routesByKind) {
      const { commands, gateways } = routes(network.device);
      for (const address of gateways) expect((await gate.command("ban", address)).code).toBe(0);
      for (const args of commands) inGate(network, ...args);
      await waitFor(`the end of the bans: ${kind}`, async () => (await gate.bans()).length === 0, soonMs);
      for (const address of gateways) {
        await gate.child.said(new RegExp(`Ended the ban of ${address}: ${address} is never banned \\(gateway of`));
        expect((await gate.command("ban", address)).stderr).toContain("is never banned");
      }
    }
  });
});

describeWith("namespaces", "executable")("a time namespace", () => {
  test.each([90_000, -5])(
    "whose clock is %p s ahead has the bans of the gate before, and its own end on time",
    async (ahead) => {
      await using stack = new AsyncDisposableStack();
      const { network, map, gate } = await openScene(stack);
      const [before, later] = [network.clientIpv4(3), network.clientIpv4(4)];
      await gate.command("ban", before, "--for", "1h");
      gate.child.signal("SIGKILL");
      await gate.child.exited;
      const directory = stack.use(new TempDir());
      const inside = `exec unshare --time --boottime ${ahead} -- ${executable} "$@"`;
      const wrapper = directory.write("inside", `#!/bin/sh\n${inside}\n`);
      chmodSync(wrapper, 0o755);
      const next = stack.use(
        await RunningGate.start(["-B", map.name], { namespace: network.gate, executable: wrapper }),
      );
      const { remainingSeconds } = await next.banned(before);
      expect(remainingSeconds).toBeGreaterThan(3500);
      await next.command("ban", later, "--for", "2s");
      const knock = async (from: string) =>
        (await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 500 })).outcome;
      expect([await knock(before), await knock(later), await reasons(next)]).toEqual(["no answer", "no answer", []]);
      await waitFor("the end of the short one", async () => (await knock(later)) === "open");
    },
  );
});

describeWith("namespaces", "executable")("a listen address", () => {
  test("that no interface has yet is waited for", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate } = await openScene(stack, () => ["-l", "10.77.9.9:5000"]);
    expect(await reasons(gate)).toContain("Not listening: no interface has the address 10.77.9.9");
    inGate(network, "address", "add", "10.77.9.9/16", "dev", network.device);
    await waitFor("readiness", async () => (await reasons(gate)).length === 0, soonMs + 2000);
    const from = network.clientIpv4(3);
    await probeFrom(network.client, { host: "10.77.9.9", port: 5000, from, send: http });
    await gate.banned(from);
    expect((await probeFrom(network.client, { host: "10.77.9.9", port: 5000, from, waitMs: 500 })).outcome).toBe(
      "no answer",
    );
  });

  test.each([
    ["10.77.9.9", "10.77.9.9/16", "10.77.9.9:5000"],
    ["fd77::9", "fd77::9/32", "[fd77::9]:5000"],
  ])(
    "that goes turns /readyz and doctor red, hands over all the same, and comes back: %s",
    async (host, address, listen) => {
      await using stack = new AsyncDisposableStack();
      const network = stack.use(new Network());
      const map = stack.use(new BlockMap());
      stack.use(await startServer(network.gate, "--port", "5001"));
      const nodad = host.includes(":") ? ["nodad"] : [];
      const add = () => inGate(network, "address", "add", address, "dev", network.device, ...nodad);
      add();
      const options = ["-B", map.name, "-l", listen, "-i", network.device];
      const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
      expect(await reasons(gate)).toEqual([]);
      inGate(network, "address", "del", address, "dev", network.device);
      await waitFor("a red /readyz", async () => (await reasons(gate)).length > 0, soonMs);
      expect(await reasons(gate)).toEqual([`Not listening: no interface has the address ${host}`]);
      await gate.child.said(/Cannot listen on .*: no interface has this address; waiting for it/);
      const doctor = await run(ttgate(["doctor", "-c", "/dev/null", ...options]), { namespace: network.gate });
      expect([doctor.code, doctor.stdout]).toEqual([1, expect.stringContaining(`waits for the address ${host}`)]);
      await handsOver(gate);
      const next = stack.use(await RunningGate.start([...options, "--takeover"], { namespace: network.gate }));
      await gate.child.exited;
      add();
      await waitFor("readiness", async () => (await reasons(next)).length === 0, soonMs);
      const from = host.includes(":") ? network.clientIpv6(3) : network.clientIpv4(3);
      expect((await probeFrom(network.client, { host, port: 5000, from, waitMs: 300 })).outcome).toBe("open");
    },
  );

  test("of a local route, or that ip_nonlocal_bind allows, is no fault", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    stack.use(await startServer(network.gate, "--port", "5001"));
    inGate(network, "route", "add", "local", "10.88.0.0/24", "dev", "lo");
    const gate = stack.use(await RunningGate.start(["-l", "10.88.0.7:5000"], { namespace: network.gate }));
    await Bun.sleep(soonMs);
    expect(await reasons(gate)).toEqual([]);
    inGate(network, "route", "del", "local", "10.88.0.0/24", "dev", "lo");
    await waitFor("a red /readyz", async () => (await reasons(gate)).length > 0, soonMs);
    await run(["sysctl", "-q", "-w", "net.ipv4.ip_nonlocal_bind=1"], { namespace: network.gate });
    await waitFor("readiness", async () => (await reasons(gate)).length === 0, soonMs);
  });

  test("of a kernel without IPv6 is that of IPv4, with one warning", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const directory = stack.use(new TempDir());
    const wrapper = directory.file("no_ipv6");
    const built = await run(["gcc", "-O2", "-o", wrapper, join(import.meta.dirname, "../harness/no_ipv6.c")]);
    expect(built.stderr).toBe("");
    const status = `unix:${directory.file("status")}`;
    const argv = [wrapper, executable, "-s", status, "-c", "/dev/null"];
    const gate = stack.use(new Child(argv, { namespace: network.gate, cwd: directory.path }));
    await gate.said(/Listening on/);
    expect(gate.stderr.match(/warn This kernel has no IPv6: listening on 0\.0\.0\.0:5000/g)).toHaveLength(1);
    const from = network.clientIpv4(3);
    expect((await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 300 })).outcome).toBe(
      "open",
    );
  });
});

describeWith("namespaces", "executable")("an upstream's name", () => {
  test("that moves is followed with the first refused connection", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const directory = stack.use(new TempDir());
    const hosts = directory.write("hosts", "127.0.0.2 server.test\n");
    const first = stack.use(await startServer(network.gate, "--port", "5001", "--host", "127.0.0.2"));
    const status = `unix:${directory.file("status")}`;
    const argv = ttgate(["-s", status, "-c", "/dev/null", "-u", "server.test:5001", "--dry-run"]);
    const script = `mount --bind ${hosts} /etc/hosts && exec ${argv.join(" ")}`;
    const gate = stack.use(new Child(["unshare", "--mount", "sh", "-c", script], { namespace: network.gate }));
    await gate.said(/Upstream server\.test:5001 is reachable/);
    await first.stop();
    stack.use(await startServer(network.gate, "--port", "5001", "--host", "127.0.0.3"));
    writeFileSync(hosts, "127.0.0.3 server.test\n");
    const from = network.clientIpv4(3);
    const probed = await probeFrom(network.client, {
      host: network.gateIpv4,
      port: 5000,
      from,
      send: http,
      waitMs: 1000,
    });
    // The stand-in server hangs up on HTTP: what matters is that it was reached.
    expect(probed.outcome).not.toBe("no answer");
    const { stdout } = await run(["curl", "-s", "--unix-socket", directory.file("status"), "http://x/readyz"]);
    expect(JSON.parse(stdout)).toMatchObject({ ready: true });
  });
});
