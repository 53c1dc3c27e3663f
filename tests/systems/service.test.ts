// SPDX-License-Identifier: Apache-2.0
// The units under a real systemd: the start's result, reload, watchdog, sockets that outlive a restart, an upgrade.
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Snapshot } from "../../src/status/snapshot.ts";
import type { Arrivals } from "../harness/arrivals_main.ts";
import { Child, run } from "../harness/child.ts";
import { executable, xdpPrograms } from "../harness/gate.ts";
import { Machine, noMachine } from "../harness/machine.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(120_000);

const config = "/etc/ttgate/ttgate.toml";
const program = "/usr/local/sbin/ttgate";
const arrivals = join(import.meta.dirname, "../harness/arrivals_main.ts");

const missing = noMachine();
if (missing !== undefined) console.log(`Skipped: ${missing}`);

describe.skipIf(missing !== undefined)("the service", () => {
  const stack = new AsyncDisposableStack();
  let network: Network;
  let machine: Machine;

  beforeAll(async () => {
    network = stack.use(new Network());
    stack.use(await startServer(network.gate, "--port", "5001"));
    machine = stack.use(await Machine.boot(network.gate));
    await machine.install(executable, program);
    for (const unit of ["ttgate.service", "ttgate.socket", "ttgate-status.socket"]) {
      machine.write(`/etc/systemd/system/${unit}`, readFileSync(`contrib/${unit}`, "utf8"));
    }
    // Soon enough for a test.
    machine.write("/etc/systemd/system/ttgate.service.d/watchdog.conf", "[Service]\nWatchdogSec=2\n");
    await machine.sh("systemctl daemon-reload");
    configure();
  });

  afterAll(() => stack.disposeAsync());

  function configure(...lines: readonly string[]): void {
    const usual = [`block-map = "ttgate"`, `interface = "${network.device}"`, `timeout = "1h"`];
    machine.write(config, [...usual, ...lines].join("\n"));
  }

  async function shown(property: string): Promise<string> {
    return (await machine.sh(`systemctl show -P ${property} ttgate.service`)).trim();
  }

  async function fetched(url: string): Promise<string> {
    return (await run(["curl", "-s", url], { namespace: network.gate })).stdout;
  }

  async function journal(): Promise<string> {
    return machine.sh("journalctl --no-pager -o cat -u ttgate.service");
  }

  async function connecting(rate: number): Promise<Child> {
    const argv = [process.execPath, arrivals, "--host", network.gateIpv4, "--port", "5000", "--rate", String(rate)];
    const child = new Child(argv, { namespace: network.client });
    await child.said(/ready/);
    return child;
  }

  async function expectAllServed(child: Child, cut = 0): Promise<void> {
    const { stdout } = await child.stop();
    const { arrived, served, failures } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Arrivals;
    const isReset = ([said]: [string, number]) => said.includes("ECONNRESET");
    const resets = Object.entries(failures)
      .filter(isReset)
      .reduce((sum, [, count]) => sum + count, 0);
    const others = Object.fromEntries(Object.entries(failures).filter((failure) => !isReset(failure)));
    expect({ served: served + resets, others }).toEqual({ served: arrived, others: {} });
    expect(resets).toBeLessThanOrEqual(cut);
    expect(arrived).toBeGreaterThan(50);
  }

  test("is started when it is ready, and not before", async () => {
    await machine.sh("systemctl start ttgate.service");
    expect(JSON.parse(await fetched("http://127.0.0.1:9500/readyz")).reasons).toEqual([]);
    await waitFor("a word on how it goes", async () => /^\d+ connections, 0 bans$/.test(await shown("StatusText")));
    expect(xdpPrograms(network.gate, network.device)).toHaveLength(1);
  });

  test("is exposed as little as it can be", async () => {
    // docs/hardening.md says what the rest is.
    expect(await exposure()).toBeLessThanOrEqual(2);
    const inside = ["nsenter", "-t", await shown("MainPID"), "-m"];
    expect((await machine.run(...inside, "ls", "/proc")).stdout.trim().split("\n")).toEqual(
      expect.arrayContaining(["self", await shown("MainPID")]),
    );
    for (const path of ["/proc/sys", "/proc/uptime", "/proc/kcore"]) {
      expect((await machine.run(...inside, "ls", path)).code).not.toBe(0);
    }
    expect((await machine.run(...inside, "mkdir", "/sys/fs/bpf/other")).stderr).toContain("Read-only file system");
    // What /proc does not tell there: the unit does.
    const boot = (await machine.sh("cat /proc/sys/kernel/random/boot_id")).trim().replaceAll("-", "");
    expect(await machine.sh("head -n 2 /var/lib/ttgate/bans-*-5000")).toContain(`{"boot":"${boot}"`);
    // What it knows of its host it knows all the same.
    const { neverBan } = JSON.parse(await machine.sh(`${program} status --json`)) as Snapshot;
    expect(neverBan).toContainEqual({ prefix: network.gateIpv4, why: `own address of ${network.device}` });
  });

  async function exposure(): Promise<number> {
    const { stdout } = await machine.run("systemd-analyze", "security", "--no-pager", "ttgate.service");
    return Number(/Overall exposure level for ttgate.service: ([\d.]+)/.exec(stdout)?.[1]);
  }

  test("takes a configuration over by reload, and refuses a wrong one with the reason", async () => {
    configure("max-per-source = 7");
    await machine.sh("systemctl reload ttgate.service");
    await waitFor("the reload", async () => (await journal()).includes("Reloaded max-per-source: 0 is now 7"));
    const pid = await shown("MainPID");
    configure(`timeout2 = "soon"`);
    const { code } = await machine.run("systemctl", "reload", "ttgate.service");
    expect(code).not.toBe(0);
    expect(await journal()).toMatch(/Cannot use config "\/etc\/ttgate\/ttgate.toml": line 4: Unknown key "timeout2"/);
    expect([await shown("ActiveState"), await shown("MainPID")]).toEqual(["active", pid]);
  });

  test("blocks by XDP within its sandbox, with pins where everybody looks for them", async () => {
    const from = network.clientIpv4(7);
    const knock = async () =>
      (await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 400 })).outcome;
    const pins = async () =>
      (await machine.sh("ls /sys/fs/bpf")).split("\n").filter((name) => name.startsWith("ttgate"));
    configure();
    await machine.sh(`${program} ban ${from} --for 1h`);
    await waitFor("no way in", async () => (await knock()) === "no answer");
    const pinned = await pins();
    expect(pinned).toEqual(expect.arrayContaining(["ttgate", "ttgate_settings", "ttgate_counters"]));
    // Between stop and start as well, and with the program of before swapped for the next one's.
    await machine.sh("systemctl stop ttgate.service");
    expect([await knock(), await pins()]).toEqual(["no answer", pinned]);
    await machine.sh("systemctl start ttgate.service");
    expect([await knock(), await pins()]).toEqual(["no answer", pinned]);
    expect(xdpPrograms(network.gate, network.device)).toHaveLength(1);
    const dropped = Number(
      (JSON.parse(await machine.sh(`${program} status --json`)) as Snapshot).kernel.droppedPackets,
    );
    expect(dropped).toBeGreaterThan(0);
    // What somebody took off is put back from inside.
    await machine.sh("rm /sys/fs/bpf/ttgate_settings /sys/fs/bpf/ttgate_link_*");
    await waitFor("the pins put back", async () => (await pins()).join() === pinned.join());
    const { stdout } = await machine.run(program, "doctor");
    expect(stdout).toMatch(/bpffs +mounted at \/sys\/fs\/bpf/);
    // From outside of the sandbox.
    await machine.sh("systemctl stop ttgate.service");
    expect(await machine.sh(`${program} detach ttgate`)).toMatch(/Removed link \/sys\/fs\/bpf\/ttgate_link_\d+/);
    expect([await pins(), xdpPrograms(network.gate, network.device)]).toEqual([[], []]);
    await machine.sh("systemctl start ttgate.service");
    expect(await knock()).toBe("no answer");
    await machine.sh(`${program} lift ${from}`);
    expect(await knock()).not.toBe("no answer");
  });

  test("does not start with a wrong configuration, says why, and does not try again", async () => {
    await machine.sh("systemctl stop ttgate.service");
    configure(`mode = "both"`);
    const { code, stderr } = await machine.run("systemctl", "start", "ttgate.service");
    expect([code, stderr]).toEqual([1, expect.stringContaining("failed")]);
    expect(await machine.run("systemctl", "status", "--no-pager", "ttgate.service")).toMatchObject({
      stdout: expect.stringContaining(`Invalid mode "both": expected "proxy" or "inline"`),
    });
    await Bun.sleep(1500);
    expect([await shown("ActiveState"), await shown("NRestarts")]).toEqual(["failed", "0"]);
    configure();
    await machine.sh("systemctl start ttgate.service");
  });

  test("starts before its address is there, and waits for it", async () => {
    await machine.sh("systemctl stop ttgate.service");
    configure(`listen = "10.77.200.1:5000"`);
    await machine.sh("systemctl start ttgate.service");
    expect(await shown("StatusText")).toContain("no interface has the address 10.77.200.1");
    await machine.sh(`ip address add 10.77.200.1/32 dev ${network.device}`);
    await waitFor("the address", async () => /^\d+ connections/.test(await shown("StatusText")));
    configure();
    await machine.sh("systemctl restart ttgate.service");
  });

  test("is started anew when it hangs", async () => {
    const pid = await shown("MainPID");
    await machine.sh(`kill -STOP ${pid}`);
    await waitFor(
      "another process",
      async () => (await shown("MainPID")) !== pid && (await shown("SubState")) === "running",
      20_000,
    );
    expect(await journal()).toContain("Watchdog timeout");
  });

  test("keeps its sockets through a restart: nobody is refused", async () => {
    await machine.sh("systemctl stop ttgate.service");
    machine.write(
      "/etc/systemd/system/ttgate.service.d/socket.conf",
      "[Service]\nCapabilityBoundingSet=~CAP_NET_BIND_SERVICE\n",
    );
    await machine.sh("systemctl daemon-reload");
    expect(await exposure()).toBeLessThanOrEqual(2);
    await machine.sh("systemctl start ttgate.socket ttgate-status.socket");
    const clients = await connecting(50);
    // The first one starts it.
    await waitFor("a start", async () => (await shown("ActiveState")) === "active");
    await Bun.sleep(1000);
    await machine.sh("systemctl restart ttgate.service");
    await Bun.sleep(1000);
    await machine.sh("systemctl stop ttgate.service");
    expect(JSON.parse(await fetched("http://127.0.0.1:9500/healthz"))).toEqual({ alive: true });
    // A stop cuts whom it is serving at that moment, twice here.
    await expectAllServed(clients, 4);
  });

  test.each(["with sockets from systemd", "with its own"])(
    "is upgraded without a connection lost, %s",
    async (sockets) => {
      if (sockets === "with its own") {
        await machine.sh("systemctl stop ttgate.socket ttgate-status.socket ttgate.service");
        await machine.sh("systemctl start ttgate.service");
      }
      using directory = new TempDir();
      const banned = network.clientIpv4(5);
      await machine.sh(`${program} ban ${banned}`);
      const pid = await shown("MainPID");
      await using relay = await startClient(
        network.client,
        "--host",
        network.gateIpv4,
        "--port",
        "5000",
        "--reconnect",
        "1000000",
      );
      await relay.until("traffic", ({ packets }) => packets > 5);
      const clients = await connecting(100);
      await Bun.sleep(500);
      await machine.install(otherVersion(directory, sockets === "with its own" ? "0.1.9+" : "0.1.8+"), program);
      await machine.sh("systemctl reload-or-restart ttgate.service");
      await waitFor("another main process", async () => (await shown("MainPID")) !== pid);
      expect(await machine.sh(`${program} status`)).toContain(sockets === "with its own" ? "0.1.9+" : "0.1.8+");
      expect(JSON.parse(await machine.sh(`${program} bans --json`)).bans).toMatchObject([{ source: banned }]);
      await Bun.sleep(500);
      await expectAllServed(clients);
      expect(
        (await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from: banned, waitMs: 400 })).outcome,
      ).toBe("no answer");
      expect((await relay.stop()).failures).toBe(0);
      // What is new is watched like what was there before, and goes with the service.
      await waitFor("the end of the one before", async () => (await machine.run("kill", "-0", pid)).code !== 0, 40_000);
      expect([await shown("ActiveState"), await shown("NRestarts")]).toEqual(["active", await shown("NRestarts")]);
      const next = await shown("MainPID");
      await machine.sh("systemctl stop ttgate.service");
      expect((await machine.run("kill", "-0", next)).code).not.toBe(0);
      await machine.sh("systemctl start ttgate.service");
    },
  );

  test("is upgraded while nobody is connected", async () => {
    using directory = new TempDir();
    const pid = await shown("MainPID");
    await machine.install(otherVersion(directory, "0.1.7+"), program);
    await machine.sh("systemctl reload ttgate.service");
    await waitFor("the end of the one before", async () => (await machine.run("kill", "-0", pid)).code !== 0);
    expect(await machine.sh(`${program} status`)).toContain(`pid ${await shown("MainPID")}, 0.1.7+`);
    expect(await shown("ActiveState")).toBe("active");
  });

  test("blocks by nftables within its sandbox, and puts its table right there", async () => {
    const table = "inet ttgate_ttgate";
    const from = network.clientIpv4(6);
    const knock = async () =>
      (await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 400 })).outcome;
    await machine.sh("systemctl stop ttgate.service");
    configure(`fence = "nftables"`);
    await machine.sh("systemctl start ttgate.service");
    await machine.sh(`${program} ban ${from} --for 1h`);
    await waitFor("no way in", async () => (await knock()) === "no answer");
    await machine.sh("nft flush ruleset");
    await waitFor("the table put right", async () => /it was gone\): put right/.test(await journal()));
    expect([await knock(), await machine.sh(`nft list table ${table}`)]).toEqual([
      "no answer",
      expect.stringContaining(from),
    ]);
    expect(JSON.parse(await fetched("http://127.0.0.1:9500/readyz")).reasons).toEqual([]);
    // It runs with --keep.
    await machine.sh("systemctl stop ttgate.service");
    expect(await knock()).toBe("no answer");
    expect(await machine.sh(`${program} detach ttgate`)).toContain(`Removed table ${table}`);
    configure();
    await machine.sh("systemctl start ttgate.service");
  });
});

/** The same executable but for the version that it tells. */
function otherVersion(directory: TempDir, version: string): string {
  const image = readFileSync(executable);
  const at = image.indexOf("0.1.0+");
  expect(at).toBeGreaterThan(0);
  image.set(new TextEncoder().encode(version), at);
  const path = directory.write("ttgate", image);
  chmodSync(path, 0o755);
  return path;
}
