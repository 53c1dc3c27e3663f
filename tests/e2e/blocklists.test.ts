// SPDX-License-Identifier: Apache-2.0
// Lists in the kernel: what a list names is dropped there, what leaves it is let through again, and half a million
// entries come and go while a client is relayed.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import type { Why } from "../../src/status/snapshot.ts";
import { Child } from "../harness/child.ts";
import { BlockMap, RunningGate } from "../harness/gate.ts";
import { describeWith, testWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep } from "../harness/wait.ts";

setDefaultTimeout(180_000);

const port = 8080;

async function scene(stack: AsyncDisposableStack, toml: (url: string) => string, body: string) {
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const files = stack.use(new TempDir());
  const give = (mode: string, text: string) => {
    files.write("body", text);
    files.write("mode", mode);
  };
  give("ok", body);
  const script = join(import.meta.dirname, "../harness/list_server.ts");
  const server = stack.use(
    new Child([process.execPath, script, files.path, String(port)], { namespace: network.gate }),
  );
  await server.said(/^ready\n/);
  const url = `http://127.0.0.1:${port}/list`;
  const state = stack.use(new TempDir());
  const head = `block-map = "${map.name}"\ninterface = "${network.device}"\nstate = "${state.path}"\n`;
  const config = files.write("ttgate.toml", head + toml(url));
  const start = async () => await RunningGate.start(["-c", config], { namespace: network.gate });
  const configure = (text: string) => files.write("ttgate.toml", head + text);
  const outcome = async (number: number) => {
    const from = network.clientIpv4(number);
    return (await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, waitMs: 600 })).outcome;
  };
  return { network, files, give, url, start, configure, outcome };
}

/** Never read: only whole numbers count. */
function metric(text: string, name: string): number | undefined {
  const found = text.split("\n").find((line) => line.startsWith(`${name} `));
  return found === undefined ? undefined : Number(found.slice(name.length + 1));
}

describeWith("namespaces", "executable")("a list", () => {
  test("is dropped in the kernel, and let through when it leaves the list or the configuration", async () => {
    await using stack = new AsyncDisposableStack();
    // Half of them are small ranges; some 20, so that losing half of them is suspicious.
    const others = Array.from({ length: 22 }, (_, index) => `203.0.113.${index}`).join("\n");
    const { network, give, url, start, configure, outcome } = await scene(
      stack,
      (from) => `blocklist = "bad=${from} every=1s"\n`,
      `10.77.1.1\n10.77.1.2/31\nfd77:0:4::2\n10.77.0.0/16\n${others}\n`,
    );
    const gate = stack.use(await start());
    await gate.until("its bans", ({ bans }) => bans.active === 25);
    expect([await outcome(1), await outcome(2), await outcome(4)]).toEqual(["no answer", "no answer", "open"]);
    expect(
      (
        await probeFrom(network.client, {
          host: network.gateIpv6,
          port: 5000,
          from: network.clientIpv6(4),
          waitMs: 600,
        })
      ).outcome,
    ).toBe("no answer");
    const why = (await (await gate.fetch("/why/10.77.1.3")).json()) as Why;
    expect(why).toMatchObject({ ban: { by: "list:bad", source: "10.77.1.2/31" }, kernel: { answer: "drop" } });
    expect((await gate.command("why", "10.77.1.1")).stdout).toContain("on the list bad");
    // The network of the gate's own address.
    const status = (await gate.command("status")).stdout;
    expect(status).toMatch(new RegExp(`list bad +26 entries, 1 never banned, read .* from ${url}`));
    give("error", "");
    await gate.until("its word", ({ blocklists }) => blocklists[0]?.error === "the server answers 500");
    const ready = (await (await gate.fetch("/readyz")).json()) as { notes: string[]; reasons: string[] };
    expect(ready.notes).toEqual(['List "bad" is not up to date: the server answers 500']);
    expect(ready.reasons.join()).not.toContain("List");
    const metrics = await (await gate.fetch("/metrics")).text();
    expect(metric(metrics, 'ttgate_blocklist_failing{list="bad"}')).toBe(1);
    expect(metric(metrics, 'ttgate_blocklist_entries{list="bad"}')).toBe(26);
    expect(await outcome(1)).toBe("no answer");
    give("ok", `10.77.1.2/31\nfd77:0:4::2\n10.77.0.0/16\n${others}\n`);
    await gate.until("the end of one", ({ bans }) => bans.active === 24);
    expect([await outcome(1), await outcome(2)]).toEqual(["open", "no answer"]);
    configure("");
    expect((await gate.command("reload")).code).toBe(0);
    await gate.until("the end of all", ({ bans, kernel }) => bans.active === 0 && kernel.entries === 0);
    expect(await outcome(2)).toBe("open");
    configure(`blocklist = "bad=${url}"\n`);
    expect((await gate.command("reload")).code).toBe(0);
    await gate.until("all again", ({ bans }) => bans.active === 24);
  });

  test("holds over a restart without its server, and ends when it is in the configuration no more", async () => {
    await using stack = new AsyncDisposableStack();
    const { give, start, configure, outcome } = await scene(
      stack,
      (from) => `blocklist = "bad=${from} every=1s"\n`,
      "10.77.1.1\n10.77.1.2/31\n",
    );
    {
      await using gate = await start();
      await gate.until("its bans", ({ bans }) => bans.active === 2);
    }
    give("error", "");
    {
      await using gate = await start();
      await gate.until("its word", ({ blocklists }) => blocklists[0]?.error === "the server answers 500");
      expect([await outcome(1), await outcome(2)]).toEqual(["no answer", "no answer"]);
    }
    configure("");
    await using gate = await start();
    await gate.until("their end", ({ bans, kernel }) => bans.active === 0 && kernel.entries === 0);
    expect(await outcome(1)).toBe("open");
  });

  testWith("namespaces", "deno")("is followed under Deno as well, whole or cut short", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, files, give, url } = await scene(stack, () => "", "10.77.1.1\n10.77.1.2\n");
    const own = files.write("own", "10.77.1.3\n");
    const args = ["-c", "/dev/null", "--blocklist", `web=${url} every=1s`, "--blocklist", `own=${own} every=1h wide`];
    const gate = stack.use(await RunningGate.start(args, { namespace: network.gate, form: "deno" }));
    await gate.until("its bans", ({ bans }) => bans.active === 3);
    for (const mode of ["truncated", "cut", "elsewhere", "error"]) {
      give(mode, "10.77.1.1\n");
      await gate.until(mode, ({ blocklists: [list] }) => list?.error !== null && list?.entries === 2);
      give("ok", "10.77.1.1\n10.77.1.2\n");
      await gate.until(`${mode}, over`, ({ blocklists: [list] }) => list?.error === null);
    }
    files.write("own", "10.77.1.4\n");
    give("ok", "10.77.1.1\n");
    await gate.until("what is left", ({ bans }) => bans.active === 2);
    expect((await gate.bans()).map(({ source, by }) => `${source} ${by}`).sort()).toEqual([
      "10.77.1.1 list:web",
      "10.77.1.4 list:own",
    ]);
  });

  test("of half a million entries comes, changes and goes while a client is relayed", async () => {
    await using stack = new AsyncDisposableStack();
    const lines = (shift: number) => [
      ...Array.from({ length: 430_000 }, (_, index) => dotted(0x2d000000 + (index + shift) * 7)),
      ...Array.from({ length: 50_000 }, (_, index) => `${dotted(0x60000000 + (index + shift) * 256)}/24`),
      ...Array.from({ length: 20_000 }, (_, index) => `2001:db8:${(index + shift).toString(16)}::1`),
    ];
    const body = `${lines(0).join("\n")}\n`;
    const { network, give, url, start, configure } = await scene(stack, () => "", body);
    stack.use(await startServer(network.gate, "--port", "5001"));
    const gate = stack.use(await start());
    const where = ["--host", network.gateIpv4, "--port", "5000", "--from", network.clientIpv4(2)];
    const friend = stack.use(await startClient(network.client, ...where));
    const measured: string[] = [];
    const during = async (what: string, act: () => Promise<unknown>) => {
      const seen = friend.reports().length;
      const cpuBefore = await gate.cpuMs();
      const beforeMs = performance.now();
      await act();
      const tookMs = performance.now() - beforeMs;
      const cpuMs = (await gate.cpuMs()) - cpuBefore;
      await sleep(150);
      const latencies = friend
        .reports()
        .slice(seen)
        .flatMap(({ latenciesMs }) => latenciesMs)
        .sort((a, b) => a - b);
      const at = (share: number) => (latencies[Math.floor(latencies.length * share)] ?? 0).toFixed(1);
      const mib = Math.round((await gate.residentBytes()) / 1024 / 1024);
      measured.push(
        `${what}: ${(tookMs / 1000).toFixed(1)} s, ${(cpuMs / 1000).toFixed(1)} s of CPU, ${mib} MiB; ${latencies.length} packets relayed, p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1 - 1e-9)} ms`,
      );
    };
    const reload = async (text: string) => {
      configure(text);
      expect((await gate.command("reload")).code).toBe(0);
    };
    await during("nothing", () => sleep(3000));
    await during("load", async () => {
      await reload(`blocklist = "long=${url} every=1h"\n`);
      await gate.until("all of it", ({ bans }) => bans.active === 500_000, 100_000);
    });
    const { kernel, blocklists, bans } = await gate.until("its maps", ({ kernel }) => kernel.entries === 500_000);
    expect(kernel.maps.map(({ entries }) => entries)).toEqual([450_000, 50_000]);
    expect(blocklists).toMatchObject([{ entries: 500_000, refused: 0, neverBanned: 0, noRoom: 0, error: null }]);
    expect([bans.userSpaceOnly, bans.folds, kernel.full, kernel.failed]).toEqual([0, 0, 0, 0]);
    // A thousand of each kind go, a thousand come.
    give("ok", `${lines(1000).join("\n")}\n`);
    await during("refresh of 3,000 of 500,000", async () => {
      await reload(`blocklist = "long=${url} every=2h"\n`);
      await gate.until(
        "its last",
        async () => (await gate.ban(dotted(0x2d000000 + 430_999 * 7))) !== undefined,
        60_000,
      );
      await gate.until("the end of the first", async () => (await gate.ban(dotted(0x2d000000))) === undefined, 60_000);
    });
    await during("the same again", async () => {
      await reload(`blocklist = "long=${url} every=3h"\n`);
      await gate.until("its look", ({ blocklists: [list] }) => (list?.ageSeconds ?? 9) < 2, 60_000);
    });
    await during("removal", async () => {
      configure("");
      await gate.command("reload");
      await gate.until("its end", ({ bans: { active } }) => active === 0, 100_000);
    });
    console.log(measured.join("\n"));
    expect(await friend.stop()).toMatchObject({ failures: 0 });
  });
});

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}
