// SPDX-License-Identifier: Apache-2.0
// How long, how often and when a source is banned: what the operator decides. With the executable, on loopback
// and with XDP in namespaces.
import { expect, setDefaultTimeout, test } from "bun:test";
import { RunningGate } from "../harness/gate.ts";
import { friendly, hostile, InlineBed } from "../harness/inline_bed.ts";
import { describeWith } from "../harness/needs.ts";
import { freePort } from "../harness/ports.ts";
import { probe } from "../harness/probe.ts";
import { serveTapeTrack, TapeTrackClient } from "../harness/tapetrack.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const host = "127.0.0.1";

async function scene(...args: readonly string[]) {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await serveTapeTrack({}));
  const port = await freePort();
  const state = stack.use(new TempDir());
  const options = [
    "-l",
    `${host}:${port}`,
    "-u",
    `${host}:${server.port}`,
    "--state",
    state.path,
    "--never-ban",
    "none",
    ...args,
  ];
  const start = async () => stack.use(await RunningGate.start(options));
  const offend = (from: string) => probe({ host, port, from, send: [hostile], waitMs: 2000 });
  return { port, start, offend, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** @returns the seconds that a ban has left, rounded. */
async function left(gate: RunningGate, source: string): Promise<number> {
  return Math.round((await gate.ban(source))?.remainingSeconds ?? 0);
}

describeWith("executable")("by policy", () => {
  test("each further ban lasts longer, over a restart too, and a lift forgives", async () => {
    await using bed = await scene("-t", "1s", "--escalate", "30", "--escalate-max", "1h");
    const from = "127.1.0.1";
    const first = await bed.start();
    await bed.offend(from);
    expect(await left(first, from)).toBeLessThanOrEqual(1);
    await waitFor("the first ban's end", async () => (await first.ban(from)) === undefined);
    await bed.offend(from);
    expect(await left(first, from)).toBeGreaterThan(25);
    await sleep(600);
    await first.child.stop();

    const second = await bed.start();
    expect((await second.command("why", from)).stdout).toContain("banned:   2 times lately");
    await second.command("lift", from);
    await bed.offend(from);
    expect(await left(second, from)).toBeLessThanOrEqual(1);
    await waitFor("that ban's end", async () => (await second.ban(from)) === undefined);
    await second.child.stop();

    const third = await bed.start();
    await bed.offend(from);
    expect(await left(third, from)).toBeGreaterThan(25);
    await third.child.said("; ban number 2 of this source");
  });

  test("a protocol has a time of its own", async () => {
    await using bed = await scene("--timeout-for", "http=1h");
    const gate = await bed.start();
    await bed.offend("127.1.0.2");
    expect(await left(gate, "127.1.0.2")).toBeGreaterThan(3590);
  });

  test("a source with friends is spared so often, each time reset, then banned with all it has", async () => {
    await using bed = await scene("--spare-friends", "2");
    const gate = await bed.start();
    const office = "127.1.0.3";
    using friend = await TapeTrackClient.connect({ host, port: bed.port, localAddress: office });
    await friend.exchange("at work");
    for (const strike of [1, 2]) {
      expect((await bed.offend(office)).outcome).toBe("reset");
      expect(await gate.ban(office)).toBeUndefined();
      expect((await gate.status()).bans.sparedFriends).toBe(strike);
    }
    await friend.exchange("still at work");
    await gate.child.said(`Did not ban ${office}`);
    await gate.child.said("strike 1 of 2, --spare-friends");
    // Nobody else is spared.
    await bed.offend("127.1.0.4");
    await gate.banned("127.1.0.4");
    await bed.offend(office);
    await gate.banned(office);
    await expect(friend.exchange("at work no more")).rejects.toThrow();
  });

  test("who opens connections too fast is reset, and banned only where that was asked for", async () => {
    await using bed = await scene("--max-rate", "3/1h");
    const gate = await bed.start();
    const outcomes = [];
    for (let count = 0; count < 5; count++) {
      outcomes.push((await probe({ host, port: bed.port, from: "127.1.0.5", waitMs: 200 })).outcome);
    }
    expect(outcomes).toEqual(["open", "open", "open", "reset", "reset"]);
    expect(await gate.status()).toMatchObject({ connections: { refusedRate: 2 }, bans: { active: 0 } });
    await using strict = await scene("--max-rate", "3/1h", "--excess-strikes", "3", "--timeout-for", "excess=1h");
    const second = await strict.start();
    for (let count = 0; count < 6; count++) await probe({ host, port: strict.port, from: "127.1.0.6", waitMs: 100 });
    expect(await second.banned("127.1.0.6")).toMatchObject({ protocol: "excess", by: "strikes" });
    expect(await left(second, "127.1.0.6")).toBeGreaterThan(3590);
    await second.child.said("it opened too many connections again and again");
  });

  test("who comes again and again while no server is there is reset, and not banned", async () => {
    const port = await freePort();
    const limits = ["--max-rate", "3/1h", "--excess-strikes", "3", "--never-ban", "none"];
    const upstream = `${host}:${await freePort()}`;
    await using gate = await RunningGate.start(["-l", `${host}:${port}`, "-u", upstream, ...limits]);
    const from = "127.1.0.7";
    for (let count = 0; count < 9; count++) {
      await probe({ host, port, from, send: [friendly], waitMs: 2000 });
    }
    const { connections, bans } = await gate.status();
    expect([connections.upstreamFailed, connections.refusedRate, bans.total]).toEqual([3, 6, 0]);
  });
});

describeWith("namespaces", "executable")("by policy, in the kernel", () => {
  test("a protocol's own time holds, be it shorter or longer than the usual one", async () => {
    for (const [usual, own] of [
      ["1h", "2s"],
      ["2s", "1h"],
    ] as const) {
      await using bed = await InlineBed.open({ gate: ["-t", usual, "--timeout-for", `http=${own}`] });
      const source = bed.nextIpv4();
      (await bed.clients.connect(source)).send({ bytes: hostile });
      await bed.gate.banned(source);
      await sleep(1000);
      const leftSeconds = await left(bed.gate, source);
      if (own === "1h") expect(leftSeconds).toBeGreaterThan(3590);
      else expect(leftSeconds).toBeLessThanOrEqual(1);
      await sleep(2000);
      expect((await bed.gate.status()).kernel.entries).toBe(own === "1h" ? 1 : 0);
    }
  });

  test("each further ban lasts longer", async () => {
    await using bed = await InlineBed.open({ gate: ["-t", "1s", "--escalate", "100"] });
    const source = bed.nextIpv4();
    (await bed.clients.connect(source)).send({ bytes: hostile });
    await bed.gate.banned(source);
    await waitFor("the first ban's end", async () => (await bed.gate.ban(source)) === undefined);
    await sleep(1100);
    (await bed.clients.connect(source)).send({ bytes: hostile });
    await waitFor("a longer one", async () => (await left(bed.gate, source)) > 60);
  });
});
