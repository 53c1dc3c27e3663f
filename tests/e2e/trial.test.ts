// SPDX-License-Identifier: Apache-2.0
// --trial: nobody is banned while it goes on; then the profile is enforced, unless a good client would have been
// hurt; neither a restart nor a reload ends it early or begins it anew in silence.
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Snapshot } from "../../src/status/snapshot.ts";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startClient, startServer } from "../harness/standin.ts";
import { handsOver } from "../harness/takeover.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep } from "../harness/wait.ts";

setDefaultTimeout(90_000);

const get = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: gate\r\n\r\n");

async function scene(stack: AsyncDisposableStack, mode: "proxy" | "inline") {
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const state = stack.use(new TempDir());
  const place = mode === "inline" ? ["--host", "::", "--port", "5000"] : ["--port", "5001"];
  stack.use(await startServer(network.gate, ...place));
  const options = ["-m", mode, "-B", map.name, "-i", network.device, "--state", state.path, "-c", "/dev/null"];
  const start = async (...more: readonly string[]) =>
    stack.use(await RunningGate.start([...options, ...more], { namespace: network.gate }));
  const visit = (from: string) =>
    probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send: [get], waitMs: 500 });
  const friend = async (number: number, ...more: readonly string[]) =>
    stack.use(
      await startClient(
        ...([network.client, "--host", network.gateIpv4, "--port", "5000"] as const),
        ...["--from", network.clientIpv4(number), "--rate", "20", ...more],
      ),
    );
  return { network, state, options, start, visit, friend };
}

function isObserved(seconds: number): (status: Snapshot) => boolean {
  return ({ gates }) => (gates[0]?.trial?.observedSeconds ?? 0) >= seconds;
}

describeWith("namespaces", "executable")("a trial", () => {
  test.each(["proxy", "inline"] as const)("%s: bans nobody, then enforces by itself", async (mode) => {
    await using stack = new AsyncDisposableStack();
    const { network, start, visit, friend } = await scene(stack, mode);
    const gate = await start("--trial", "5s");
    const stranger = network.clientIpv4(3);
    const client = await friend(1);
    await visit(stranger);
    const status = await gate.until("who would be turned away", ({ gates }) => gates[0]?.trial?.wouldTurnAway === 1);
    expect(status).toMatchObject({ kernel: { entries: 0 }, gates: [{ trial: { state: "observing", hurt: [] } }] });
    expect(Date.parse(status.gates[0]?.trial?.until ?? "")).toBeGreaterThan(Date.now());
    const ready = await gate.fetch("/readyz");
    expect([ready.status, await ready.json()]).toEqual([
      200,
      {
        ready: true,
        reasons: [],
        trial: expect.stringMatching(/^observing until \d{4}-.*Z: 1 source would have been/),
      },
    ]);
    expect((await gate.command("status")).stdout).toMatch(/^trial +observing until \d{4}-/m);
    expect((await visit(stranger)).outcome).not.toBe("no answer");

    await gate.child.said(/Trial: passed after 5s: .* is enforced from now on/, 20_000);
    expect(await gate.bans()).toEqual([]);
    expect((await gate.status()).gates[0]?.trial).toMatchObject({ state: "enforcing", until: null });
    await visit(stranger);
    expect(await gate.banned(stranger)).toMatchObject({ protocol: "http" });
    expect((await visit(stranger)).outcome).toBe("no answer");
    // What the kernel wrote is counted by the next walk through the map.
    await gate.until("its entry", ({ kernel }) => kernel.entries === 1);
    expect((await client.stop()).failures).toBe(0);
  });

  test.each(["proxy", "inline"] as const)("%s: goes on when it would have hurt a good client", async (mode) => {
    await using stack = new AsyncDisposableStack();
    const { network, start, friend, state } = await scene(stack, mode);
    const config = state.write("ttgate.toml", "");
    const gate = await start("-c", config, "-p", "redis", "--trial", mode === "inline" ? "14s" : "4s");
    const client = await friend(1);
    await gate.child.said(/Trial: over, and goes on observing: it would have hurt/, 30_000);
    const source = network.clientIpv4(1);
    await gate.child.said(`it would have hurt ${source} (unknown); never ban them (--allow)`);
    const { gates, kernel } = await gate.status();
    const trial = gates[0]?.trial;
    expect([kernel.entries, trial?.state, trial?.until]).toEqual([0, "observing", null]);
    expect(trial?.hurt).toEqual([{ source, reason: "unknown" }]);
    expect((await gate.command("status")).stdout).toMatch(/^trial +observing although the trial is over: .*--allow/m);
    // The profile is wrong for it: only the ban is spared.
    expect((await client.stop()).failures).toBe(0);
    state.write("ttgate.toml", `allow = "${source}"\n`);
    expect((await gate.command("reload")).code).toBe(0);
    await gate.child.said(/Trial: passed/);
  });

  test("goes on after a restart where it was, and what passed stays passed", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, start, visit } = await scene(stack, "proxy");
    const first = await start("--trial", "8s");
    await sleep(3000);
    await first.child.stop();
    await sleep(1500);
    const second = await start("--trial", "8s");
    const trial = (await second.status()).gates[0]?.trial;
    expect(trial?.state).toBe("observing");
    expect([(trial?.observedSeconds ?? 0) > 2, (trial?.observedSeconds ?? 99) < 5]).toEqual([true, true]);
    await second.child.said(/Trial: the trial of profile tapetrack goes on, \S+ of 8s are over/);
    // A crash costs some seconds of what was observed, and never the time that is left.
    second.child.signal("SIGKILL");
    await second.child.exited;
    const third = await start("--trial", "8s");
    expect((await third.status()).gates[0]?.trial?.state).toBe("observing");
    await third.child.said(/Trial: passed/, 20_000);
    await third.child.stop();
    const fourth = await start("--trial", "8s");
    expect(fourth.child.stderr).not.toContain("nobody is banned until");
    await fourth.child.said(/profile tapetrack passed its trial of 8s before: enforcing/);
    await visit(network.clientIpv4(3));
    await fourth.banned(network.clientIpv4(3));
  });

  test.each(["proxy", "inline"] as const)(
    "%s: goes on in a process that takes over, and is its own then",
    async (mode) => {
      await using stack = new AsyncDisposableStack();
      const { network, options, start, visit, friend } = await scene(stack, mode);
      const stranger = network.clientIpv4(3);
      const asked = ["--trial", "12s"];
      const first = await start(...asked);
      await handsOver(first);
      // One connection: the process before waits for its end.
      const client = await friend(1, "--reconnect", "100000");
      await visit(stranger);
      const turnsAway =
        (sources: number) =>
        ({ gates }: Snapshot) =>
          (gates[0]?.trial?.wouldTurnAway ?? 0) >= sources;
      await first.until("who would be turned away", turnsAway(1));
      const { observedSeconds = 0 } = (await first.until("two seconds", isObserved(2))).gates[0]?.trial ?? {};

      // One that fails when all is handed over but the last word.
      const failing = ttgate([
        ...options,
        ...asked,
        "--takeover",
        "-s",
        mode === "inline" ? "[::]:5000" : "127.0.0.1:5001",
      ]);
      expect((await run(failing, { namespace: network.gate })).stderr).toContain("Cannot listen on");
      await first.child.said(/Take-over by pid \d+ failed: .*; this gate goes on/);
      await first.until("the same trial", isObserved(observedSeconds));
      expect(turnsAway(1)(await first.status())).toBe(true);

      // Behind the last time that it was saved by itself, most likely.
      await visit(network.clientIpv4(4));
      await first.until("both", turnsAway(2));
      const { observedSeconds: handed = 0 } = (await first.status()).gates[0]?.trial ?? {};
      const next = await start(...asked, "--takeover", "--drain", "60s");
      await next.child.said(/Trial: the trial of profile tapetrack goes on, \S+ of 12s are over/);
      // It proves its listener by a connection of its own, which says nothing.
      const status = await next.until("all of them", turnsAway(mode === "proxy" ? 3 : 2));
      expect([isObserved(handed)(status), status.bans.active]).toEqual([true, 0]);
      await next.child.said(/Trial: passed after 12s/, 30_000);
      await visit(stranger);
      await next.banned(stranger);
      // The process before knows nothing of that, and ends only now.
      expect(first.child.stderr.includes("Stopping")).toBe(mode === "inline");
      expect((await client.stop()).failures).toBe(0);
      await first.child.done(10_000);
      next.child.signal("SIGKILL");
      await next.child.exited;
      const third = await start(...asked);
      await third.child.said(/profile tapetrack passed its trial of 12s before: enforcing/);
    },
  );

  test("a profile that changes has a trial of its own, and is not enforced in place of the one that passed", async () => {
    await using stack = new AsyncDisposableStack();
    const { start, state } = await scene(stack, "proxy");
    const file = state.file("site.toml");
    const write = (text: string) => state.write("site.toml", `[expect]\nkind = "text"\ntext = "${text}"\n`);
    write("ONE ");
    const gate = await start("-p", file, "--trial", "5s");
    await sleep(2000);
    write("TWO ");
    expect((await gate.command("reload")).code).toBe(0);
    await gate.child.said("Trial: the profile has changed: its trial begins, until ");
    expect((await gate.status()).gates[0]?.trial?.observedSeconds).toBeLessThan(2);
    await gate.child.said(/Trial: passed/, 20_000);
    write("THREE ");
    const reload = await gate.command("reload");
    expect([reload.code, reload.stderr]).toEqual([expect.any(Number), expect.stringContaining("another one passed")]);
    expect(reload.code).not.toBe(0);
  });

  test.each(["proxy", "inline"] as const)(
    "%s: bans by command hold, those of its own earlier runs do not",
    async (mode) => {
      await using stack = new AsyncDisposableStack();
      const { network, start, visit } = await scene(stack, mode);
      const [stranger, unwelcome] = [network.clientIpv4(3), network.clientIpv4(4)];
      const before = await start();
      await visit(stranger);
      await before.banned(stranger);
      await before.child.stop();
      const gate = await start("--trial", "1h");
      expect(await gate.bans()).toEqual([]);
      expect((await visit(stranger)).outcome).not.toBe("no answer");
      await gate.until("who would be turned away", ({ gates }) => gates[0]?.trial?.wouldTurnAway === 1);
      expect((await gate.command("ban", unwelcome)).code).toBe(0);
      expect((await visit(unwelcome)).outcome).toBe("no answer");
      expect((await gate.status()).kernel.entries).toBe(1);
      await gate.child.stop();
      const again = await start("--trial", "1h");
      expect((await again.bans()).map(({ source }) => source)).toEqual([unwelcome]);
    },
  );

  test("a learned profile that rests on too little is enforced after a trial, or when that is said", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, start, state, options } = await scene(stack, "proxy");
    const file = state.file("site.toml");
    state.write(
      "site.toml",
      'unproven = "1 source of the 5 that are needed"\n[expect]\nkind = "text"\ntext = "ONE "\n',
    );
    const refused = await run(ttgate([...options, "-s", "off", "-p", file]), { namespace: network.gate });
    expect([refused.code, refused.stderr]).toEqual([
      2,
      `ttgate: Profile "${file}" is not safe to enforce: 1 source of the 5 that are needed; try it first with --trial 24h, learn from more, or enforce it all the same with --enforce-unproven\n`,
    ]);
    const trial = await start("-p", file, "--trial", "1h");
    expect((await trial.status()).gates[0]?.trial?.state).toBe("observing");
    await trial.child.stop();
    const forced = await start("-p", file, "--enforce-unproven");
    expect((await forced.status()).gates[0]?.trial).toBe(null);
  });

  test("without a state directory a restart is told to begin it anew", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const args = ["--trial", "1h", "-c", "/dev/null", "--forget"];
    await using gate = await RunningGate.start(args, { namespace: network.gate });
    await gate.child.said(
      /Trial: there is no state directory, so a restart begins the trial anew; name one with --state/,
    );
  });
});
