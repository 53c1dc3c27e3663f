// SPDX-License-Identifier: Apache-2.0
// The real fail2ban with contrib's action: it reads a log file of its own and bans through a gate in front of it,
// in the kernel. Its directory, socket and database are a test's own; nothing is installed as a service.
import { expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { resolve } from "node:path";
import type { Why } from "../../src/status/snapshot.ts";
import { Child, run } from "../harness/child.ts";
import { BlockMap, executable, RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(120_000);

const action = resolve(import.meta.dirname, "../../contrib/fail2ban/action.d/ttgate.conf");
/** fail2ban's own: how often its polling back end looks at a file (sleeptime of filterpoll). */
const pollingMs = 1000;

interface Fail2banOptions {
  /** Where it finds the program. */
  readonly program?: string;
  /** Seconds. */
  readonly bantime?: string;
}

/** fail2ban with a jail over a log file of the test, and another one for those who come back. */
class Fail2ban implements AsyncDisposable {
  readonly #directory: TempDir;
  readonly #network: Network;
  #server: Child | undefined;

  constructor(directory: TempDir, network: Network, status: string, options: Fail2banOptions) {
    const { program = executable, bantime = "600" } = options;
    this.#directory = directory;
    this.#network = network;
    for (const folder of ["filter.d", "action.d"]) mkdirSync(directory.file(folder));
    copyFileSync(action, directory.file("action.d/ttgate.conf"));
    directory.write("auth.log", "");
    directory.write("filter.d/knock.conf", "[Definition]\nfailregex = ^\\s*refused <ADDR>$\n");
    directory.write("filter.d/again.conf", "[Definition]\nfailregex = ^\\s*again refused <ADDR>$\n");
    const own = { socket: "socket", pidfile: "pid", dbfile: "db", logtarget: "log" };
    const paths = Object.entries(own).map(([key, name]) => `${key} = ${directory.file(name)}`);
    directory.write(
      "fail2ban.conf",
      ["[Definition]", "loglevel = INFO", "syslogsocket = auto", "dbpurgeage = 1d", ...paths, ""].join("\n"),
    );
    directory.write("jail.conf", "");
    directory.write(
      "jail.local",
      [
        ...["[knock]", "enabled = true", "backend = polling", "filter = knock", "maxretry = 1", "findtime = 600"],
        ...[`bantime = ${bantime}`, `logpath = ${directory.file("auth.log")}`, "usedns = no", "ignoreself = false"],
        `action = ttgate[ttgate="${program}", options="--status ${status}", tries=8, missed="${directory.file("missed")}"]`,
        ...["", "[again]", "enabled = true", "backend = polling", "filter = again", "maxretry = 1", "findtime = 600"],
        ...["bantime = 3600", `logpath = ${directory.file("auth.log")}`, "usedns = no", "ignoreself = false"],
        `action = ttgate[ttgate="${program}", options="--status ${status}", tries=8, missed="${directory.file("missed")}"]`,
        "",
      ].join("\n"),
    );
  }

  async start(): Promise<void> {
    const argv = ["fail2ban-server", "-f", ...this.#where(), "-x", "start"];
    this.#server = new Child(argv, { namespace: this.#network.gate });
    await waitFor("fail2ban", async () => (await this.client("ping")).stdout.includes("pong"), 20_000);
    await waitFor("its jail", async () => (await this.client("status", "knock")).code === 0, 20_000);
  }

  async stop(): Promise<void> {
    await this.client("stop");
    await this.#server?.done(20_000);
    this.#server = undefined;
  }

  client(...words: readonly string[]) {
    return run(["fail2ban-client", ...this.#where(), ...words], { namespace: this.#network.gate });
  }

  #where(): string[] {
    const { path } = this.#directory;
    return ["-c", path, "-s", `${path}/socket`, "-p", `${path}/pid`];
  }

  /** A line of the log that it reads. */
  knocked(address: string, words = "refused"): void {
    const [day, time] = new Date().toISOString().split(/[T.]/);
    appendFileSync(this.#directory.file("auth.log"), `${day} ${time}+0000 ${words} ${address}\n`);
  }

  get log(): string {
    return readFileSync(this.#directory.file("log"), "utf8");
  }

  forgetLog(): void {
    writeFileSync(this.#directory.file("log"), "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
  }
}

async function scene(stack: AsyncDisposableStack, options: Fail2banOptions = {}) {
  const network = stack.use(new Network({ clients: 40 }));
  const map = stack.use(new BlockMap());
  const state = stack.use(new TempDir());
  const args = ["-c", "/dev/null", "-B", map.name, "-i", network.device, "--state", state.path];
  // Where every gate is asked that is started one after the other.
  const socket = state.file("status");
  const open = async () => {
    const opened = stack.use(await RunningGate.start(args, { namespace: network.gate }));
    rmSync(socket, { force: true });
    symlinkSync(opened.statusAddress.slice("unix:".length), socket);
    return opened;
  };
  const gate = await open();
  const fail2ban = stack.use(new Fail2ban(stack.use(new TempDir()), network, `unix:${socket}`, options));
  await fail2ban.start();
  const why = async (address: string) => (await (await gate.fetch(`/why/${address}`)).json()) as Why;
  const claimsOn = async (address: string, of = gate) =>
    (await of.ban(address))?.claims.map(({ origin }) => origin).sort() ?? [];
  const reaches = async (number: number) => {
    const from = network.clientIpv4(number);
    return (await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 700 })).outcome;
  };
  return { network, gate, open, fail2ban, why, claimsOn, reaches };
}

function leftOf(until: string | null | undefined): number {
  return (Date.parse(until ?? "") - Date.now()) / 1000;
}

describeWith(
  { program: "fail2ban-client" },
  "executable",
  "namespaces",
)("fail2ban", () => {
  test("bans in the kernel, and soon after its line of the log", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, fail2ban, why, reaches } = await scene(stack);
    expect(await reaches(1)).toBe("open");
    const total: number[] = [];
    for (let number = 1; number <= 8; number++) {
      const address = network.clientIpv4(number);
      await sleep(130 * number);
      const beforeMs = performance.now();
      fail2ban.knocked(address);
      // The live program's own answer: what it does with a packet of this address.
      await waitFor("a drop", async () => (await why(address)).kernel.answer === "drop");
      total.push(performance.now() - beforeMs);
    }
    expect(await reaches(1)).toBe("no answer");
    const sorted = total.sort((a, b) => a - b).map(Math.round);
    console.log(`From the line of the log to the drop in the kernel: ${sorted.join(" ")} ms`);
    expect(sorted[sorted.length >> 1]).toBeLessThan(2 * pollingMs);
    expect(fail2ban.log).not.toContain("ERROR");
  });

  test("adds a few hundredths of a second to what fail2ban takes by itself", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, fail2ban, why } = await scene(stack);
    const own: number[] = [];
    for (let number = 11; number <= 18; number++) {
      const address = network.clientIpv4(number);
      fail2ban.knocked(address);
      await waitFor("a drop", async () => (await why(address)).kernel.answer === "drop");
      const droppedMs = Date.now();
      // 2026-11-29 00:50:45,123 fail2ban.actions [pid]: NOTICE [knock] Ban ADDR
      const said = await waitFor(
        "its log",
        () => new RegExp(`^(\\S+ \\S+) .* Ban ${address}$`, "m").exec(fail2ban.log)?.[1],
      );
      own.push(droppedMs - Date.parse(`${said.replace(",", ".")}`));
    }
    const sorted = own.sort((a, b) => a - b);
    console.log(`From fail2ban's decision to the drop in the kernel: ${sorted.join(" ")} ms`);
    // A busy host delays now and then, and starts every program late; what the action itself takes, it takes each time.
    const startsMs: number[] = [];
    for (let round = 0; round < 5; round++) {
      const beforeMs = performance.now();
      await run([executable, "version"]);
      startsMs.push(performance.now() - beforeMs);
    }
    const startMs = Math.min(...startsMs);
    console.log(`Of that the start of the program: ${Math.round(startMs)} ms`);
    expect((sorted[0] ?? 0) - startMs).toBeLessThan(100);
  });

  test("ends its own claim only, by command, and lifts without an error what is not banned", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, fail2ban, claimsOn, reaches } = await scene(stack);
    const [both, own] = [network.clientIpv4(1), network.clientIpv4(2)];
    await gate.command("ban", both, "--for", "5m");
    for (const address of [both, own])
      expect((await fail2ban.client("set", "knock", "banip", address)).stdout).toBe("1\n");
    await waitFor("both claims", async () => (await claimsOn(both)).length === 2);
    await waitFor("the other", async () => (await claimsOn(own)).length === 1);
    expect(await reaches(2)).toBe("no answer");
    await fail2ban.client("set", "knock", "unbanip", both);
    await fail2ban.client("set", "knock", "unbanip", own);
    await waitFor("its claims to end", async () => (await claimsOn(own)).length === 0);
    await waitFor("its claim to end", async () => (await claimsOn(both)).join() === "operator");
    expect(await reaches(1)).toBe("no answer");
    expect(await reaches(2)).toBe("open");
    // All of its claims, as docs/lists.md says.
    for (const number of [5, 6]) await fail2ban.client("set", "knock", "banip", network.clientIpv4(number));
    await waitFor("two more", async () => (await claimsOn(network.clientIpv4(6))).length === 1);
    await fail2ban.client("unban", "--all");
    expect(await claimsOn(network.clientIpv4(6))).toEqual(["fail2ban"]);
    const all = await gate.command("lift", "0.0.0.0/0", "::/0", "--by", "fail2ban", "--idempotent");
    expect(all).toMatchObject({ code: 0, stderr: "" });
    expect((await gate.bans()).map(({ source }) => source)).toEqual([both]);
    // An operator ends all claims; what fail2ban lifts afterwards is not there any more.
    await fail2ban.client("set", "knock", "banip", own);
    await waitFor("a ban", async () => (await claimsOn(own)).length === 1);
    await gate.command("lift", own);
    await fail2ban.client("set", "knock", "unbanip", own);
    await waitFor("its word", () => fail2ban.log.includes(`Unban ${own}`));
    expect(fail2ban.log).not.toContain("ERROR");
  });

  test("keeps its bans over its own restart, with the time that they have left", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, fail2ban } = await scene(stack);
    const addresses = Array.from({ length: 12 }, (_, index) => network.clientIpv4(index + 1));
    for (const address of addresses) fail2ban.knocked(address);
    await gate.until("its bans", ({ bans }) => bans.active === addresses.length);
    const before = new Map((await gate.bans()).map(({ source, until }) => [source, until]));
    await sleep(3000);
    await fail2ban.stop();
    expect((await gate.status()).bans.active).toBe(addresses.length);
    fail2ban.forgetLog();
    await fail2ban.start();
    await waitFor("what it restores", () => fail2ban.log.split("Restore Ban").length === addresses.length + 1);
    await sleep(1500);
    for (const { source, until } of await gate.bans()) {
      const longerMs = Date.parse(until ?? "") - Date.parse(before.get(source) ?? "");
      expect(longerMs).toBeLessThan(1500);
      expect(leftOf(until)).toBeLessThan(599);
    }
    expect((await gate.status()).bans.active).toBe(addresses.length);
    for (const words of [["reload"], ["reload", "--restart", "knock"]]) {
      fail2ban.forgetLog();
      expect(await fail2ban.client(...words)).toMatchObject({ code: 0 });
      await waitFor("its word", () => /Jail 'knock' (reloaded|started)/.test(fail2ban.log));
      await waitFor("its jail", async () => (await fail2ban.client("status", "knock")).code === 0, 20_000);
      const active = (await gate.status()).bans.active;
      expect([words.join(" "), active]).toEqual([words.join(" "), addresses.length]);
    }
    expect(fail2ban.log).not.toContain("ERROR");
  });

  test("whose ban has no end gives one without an end, and lifts it", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, fail2ban, claimsOn } = await scene(stack, { bantime: "-1" });
    const address = network.clientIpv6(3);
    fail2ban.knocked(address);
    expect((await gate.banned(address)).until).toBeNull();
    await fail2ban.client("set", "knock", "unbanip", address);
    await waitFor("its claim to end", async () => (await claimsOn(address)).length === 0);
    expect(fail2ban.log).not.toContain("ERROR");
  });

  test("asks a gate again that is just being restarted, and its bans go on", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, fail2ban, open, claimsOn } = await scene(stack);
    const [before, meanwhile] = [network.clientIpv4(5), network.clientIpv4(6)];
    fail2ban.knocked(before);
    await gate.banned(before);
    await gate.child.stop();
    fail2ban.knocked(meanwhile);
    await waitFor("its ban", () => fail2ban.log.includes(`Ban ${meanwhile}`));
    await sleep(1500);
    const next = await open();
    await next.banned(meanwhile);
    expect(await claimsOn(before, next)).toEqual(["fail2ban"]);
    expect(await claimsOn(meanwhile, next)).toEqual(["fail2ban"]);
    await fail2ban.stop();
    expect(fail2ban.log).not.toContain("Failed to execute ban");
  });

  test("of two jails that ban an address: the end of the shorter ban leaves the longer one", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, fail2ban, claimsOn, why } = await scene(stack, { bantime: "5" });
    const address = network.clientIpv4(7);
    fail2ban.knocked(address);
    await gate.banned(address);
    fail2ban.knocked(address, "again refused");
    await waitFor("the longer ban", async () => leftOf((await gate.ban(address))?.until) > 3000);
    await waitFor("the end of the shorter", () => fail2ban.log.includes(`[knock] Unban ${address}`), 20_000);
    await waitFor("its action", async () => (await fail2ban.client("status", "knock")).stdout.includes("banned:	0"));
    await sleep(1000);
    expect(await claimsOn(address)).toEqual(["fail2ban"]);
    expect((await why(address)).kernel.answer).toBe("drop");
    await fail2ban.client("unban", address);
    await waitFor("its claim to end", async () => (await claimsOn(address)).length === 0);
    expect(fail2ban.log).not.toContain("ERROR");
  });

  test("waits for a program that is just being replaced", async () => {
    await using stack = new AsyncDisposableStack();
    const directory = stack.use(new TempDir());
    const tried = directory.file("tried");
    // What a shell says of a program that is not there.
    const program = directory.write("ttgate", `#!/bin/sh\ntouch ${tried}\nexit 127\n`);
    chmodSync(program, 0o755);
    const { network, gate, fail2ban } = await scene(stack, { program });
    const address = network.clientIpv4(5);
    fail2ban.knocked(address);
    await waitFor("its first attempt", () => existsSync(tried), 20_000);
    rmSync(program);
    symlinkSync(executable, program);
    await gate.banned(address);
    expect(fail2ban.log).not.toContain("ERROR");
  });

  test("bans again whom it found while the gate was away for long, when they go on", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, gate, fail2ban, open, claimsOn } = await scene(stack);
    const [one, other] = [network.clientIpv4(5), network.clientIpv4(6)];
    await gate.child.stop();
    for (const address of [one, other]) {
      fail2ban.knocked(address);
      await waitFor(
        "its failure",
        () => fail2ban.log.split("Failed to execute ban").length > (address === one ? 1 : 2),
        30_000,
      );
    }
    const next = await open();
    await sleep(3500);
    expect(await next.bans()).toEqual([]);
    for (const address of [one, other]) {
      fail2ban.knocked(address);
      await waitFor("its ban", async () => (await claimsOn(address, next)).join() === "fail2ban", 20_000);
    }
    fail2ban.forgetLog();
    fail2ban.knocked(network.clientIpv4(8));
    await next.banned(network.clientIpv4(8));
    expect(fail2ban.log).not.toContain("ERROR");
  });
});
