// SPDX-License-Identifier: Apache-2.0
// GET /events and `ttgate events` of a real gate: bans as they happen, on the unix socket and over TCP, a
// list of bans that outruns every follower, and a stop that waits for none of them.

import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { Child, run } from "../harness/child.ts";
import { BlockMap, executable, RunningGate, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

interface Told {
  readonly type: string;
  readonly source?: string;
  readonly at: string;
  readonly count?: number;
}

function toldBy(follower: Child): Told[] {
  const lines = follower.stdout.split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Told);
}

describeWith("namespaces").each(["executable", "deno"] as const)("the events of a gate (%s)", (form) => {
  test("are told as they happen, over the unix socket and over TCP", async () => {
    using network = new Network();
    using map = new BlockMap();
    const options = ["-B", map.name, "-i", network.device, "-t", "2s"];
    await using gate = await RunningGate.start(options, { namespace: network.gate, form });
    const tcp = ttgate(["-l", "127.0.0.1:5002", "-s", "127.0.0.1:9555", "--dry-run", "--never-ban", "none"], form);
    await using dry = new Child(tcp, { namespace: network.gate });
    await dry.said(/Listening on/);
    const follow = (status: string) =>
      new Child([executable, "events", "--json", "--status", status], { namespace: network.gate });
    await using byUnix = follow(gate.statusAddress);
    await using byTcp = follow("127.0.0.1:9555");
    await using text = new Child([executable, "events", "--status", gate.statusAddress], { namespace: network.gate });
    // A ban each until the follower is there to hear it.
    const heard = (follower: Child, address: string) => toldBy(follower).find(({ source }) => source === address);
    const from = network.clientIpv4(3);
    await waitFor("followers", async () => {
      await gate.command("ban", "203.0.113.1", "--for", "1s");
      return heard(byUnix, "203.0.113.1") !== undefined && text.stdout.includes("203.0.113.1");
    });
    const curl = ["curl", "-sS", "--max-time", "2", "--interface", from, `http://${network.gateIpv4}:5000/`];
    await run(curl, { namespace: network.client });
    const ban = await waitFor("the ban", () => heard(byUnix, from));
    expect(ban).toMatchObject({ type: "ban", protocol: "http", by: "sniffer", kernel: "enforced", seconds: 2 });
    await waitFor("its end", () => toldBy(byUnix).find(({ type, source }) => type === "end" && source === from));
    await text.said(/Z ban {7}10\.77\.1\.3 http "GET \/ HTTP.*" by sniffer 2s, kernel: enforced\n/);
    await text.said(/Z end {7}10\.77\.1\.3 http "GET \/ HTTP.*" by time\n/);
    await waitFor("a would-be ban", async () => {
      await run(["curl", "-sS", "--max-time", "1", "http://127.0.0.1:5002/"], { namespace: network.gate });
      return toldBy(byTcp).some(({ type, source }) => type === "would-ban" && source === "127.0.0.1");
    });
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    expect(await byUnix.done()).toMatchObject({ code: 0 });
  });

  test("of one that stands still are not waited for without end", async () => {
    using network = new Network();
    await using gate = await RunningGate.start(["--dry-run"], { namespace: network.gate, form });
    gate.child.signal("SIGSTOP");
    const follower = await gate.command("events");
    gate.child.signal("SIGCONT");
    expect(follower).toMatchObject({ code: 3, stderr: expect.stringContaining("no answer within 10 s; is ttgate") });
  });

  test("hold up neither a list of bans nor the stop", async () => {
    using network = new Network();
    await using gate = await RunningGate.start([], { namespace: network.gate, form });
    await using follower = new Child([executable, "events", "--json", "--status", gate.statusAddress]);
    await using stuck = new Stuck(gate.statusAddress);
    let number = 0;
    await waitFor("the follower to hear the newest ban", async () => {
      number++;
      await gate.command("ban", `203.0.113.${number}`);
      await sleep(100);
      return toldBy(follower).at(-1)?.source === `203.0.113.${number}`;
    });
    const before = toldBy(follower).length;
    const count = 100_000;
    const list = Array.from({ length: count }, (_, at) => `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`);
    await using banning = new Child([executable, "ban", "--from", "-", "--status", gate.statusAddress], {
      input: list.join("\n"),
    });
    expect(await banning.done(30_000)).toMatchObject({ code: 0 });
    const told = await waitFor("the last ban", () => {
      const all = toldBy(follower).slice(before);
      return all.at(-1)?.source === list.at(-1) && all;
    });
    const lost = told.reduce((sum, event) => sum + (event.count ?? 0), 0);
    expect(lost + told.filter(({ type }) => type === "ban").length).toBe(count);
    expect(lost).toBeGreaterThan(0);
    expect(stuck.received).toBe(0);

    const startMs = performance.now();
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    expect(performance.now() - startMs).toBeLessThan(3000);
  });
});

/** Asks for the events and reads none of them. */
class Stuck implements AsyncDisposable {
  received = 0;
  readonly #socket;

  constructor(statusAddress: string) {
    this.#socket = connect({ path: statusAddress.slice("unix:".length) }).pause();
    this.#socket.on("data", (bytes) => {
      this.received += bytes.length;
    });
    this.#socket.pause();
    this.#socket.write("GET /events HTTP/1.1\r\nHost: ttgate\r\n\r\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }
}
