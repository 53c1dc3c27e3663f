// SPDX-License-Identifier: Apache-2.0
// Files and sockets by which others find the gate, and in which it keeps what it knows, are removed while it runs:
// by tools that clean up, by mounts, by hand.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { run } from "../harness/child.ts";
import { BlockMap, RunningGate, ttgate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { freePort } from "../harness/ports.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { handsOver } from "../harness/takeover.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const http = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");

describeWith("apart", "executable")("what is removed while the gate runs is put back, and told", () => {
  test("the run directory: commands and take-overs find the gate", async () => {
    const listen = `127.0.0.1:${await freePort()}`;
    await using gate = await RunningGate.start(["-l", listen, "-u", "127.0.0.1:9"]);
    await handsOver(gate);
    for (const name of readdirSync("/run/ttgate")) rmSync(`/run/ttgate/${name}`, { recursive: true });
    await gate.child.said(/"\/run\/ttgate\/\d+\.json" was removed and is written again/);
    await gate.child.said(/"\/run\/ttgate\/\d+\.takeover" was removed and is made again/);
    const { code, stdout } = await run(ttgate(["status"]));
    expect([code, stdout]).toEqual([0, expect.stringContaining(listen)]);
    await handsOver(gate);
  });

  test("the status socket, but not over what somebody put in its place", async () => {
    await using gate = await RunningGate.start(["-l", `127.0.0.1:${await freePort()}`, "-u", "127.0.0.1:9"]);
    const path = gate.statusAddress.slice("unix:".length);
    rmSync(path);
    await gate.child.said(/status" was removed and is made again: the status endpoint is there/);
    expect((await gate.status()).bans.active).toBe(0);
    rmSync(path);
    writeFileSync(path, "mine");
    await gate.child.said(/"status endpoint" fails: .* there is something that is no socket; remove it/);
    expect(readFileSync(path, "utf8")).toBe("mine");
    rmSync(path);
    await gate.child.said(/"status endpoint" succeeds again/);
    expect((await gate.status()).bans.active).toBe(0);
  });

  test("the state directory: bans outlive a restart all the same", async () => {
    using directory = new TempDir();
    const state = directory.file("state");
    const args = ["-l", `127.0.0.1:${await freePort()}`, "-u", "127.0.0.1:9", "--state", state];
    {
      await using gate = await RunningGate.start(args);
      expect((await gate.command("ban", "198.51.100.1", "--for", "1h")).code).toBe(0);
      rmSync(state, { recursive: true });
      await gate.child.said(/" was removed, with the bans in it: it is written anew/);
      await waitFor("the state directory", () => existsSync(state) && readdirSync(state).length === 2);
      expect((await gate.command("ban", "198.51.100.2", "--for", "1h")).code).toBe(0);
      // One that cannot be made is told, and the bans hold.
      rmSync(state, { recursive: true });
      writeFileSync(state, "in the way");
      await gate.child.said(/Cannot save bans to .*; it is tried again/);
      const { notes } = (await (await gate.fetch("/readyz")).json()) as { notes: string[] };
      expect(notes.join()).toContain("Bans cannot be saved, and would be forgotten by a restart");
      const toldOften = () => gate.child.stderr.match(/it is written anew/g)?.length;
      const told = toldOften();
      await sleep(1000);
      expect(toldOften()).toBe(told);
      rmSync(state);
      await gate.child.said(/Bans are saved again/);
    }
    await using gate = await RunningGate.start(args);
    expect((await gate.bans()).map(({ source }) => source).sort()).toEqual(["198.51.100.1", "198.51.100.2"]);
  });

  test("the recording: it goes on in a new file", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const directory = stack.use(new TempDir());
    const [file, moved] = [directory.file("recording"), directory.file("recording.1")];
    stack.use(await startServer(network.gate, "--port", "5001"));
    const gate = stack.use(await RunningGate.start(["--record", file], { namespace: network.gate }));
    const knock = (from: string) =>
      probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send: [http], waitMs: 300 });
    await knock(network.clientIpv4(1));
    await waitFor("a line", () => readFileSync(file, "utf8") !== "");
    expect((await run(["mv", file, moved])).code).toBe(0);
    await knock(network.clientIpv4(2));
    await gate.child.said(/recording" was moved or removed: recording goes on in a new one/);
    await waitFor("a line", () => existsSync(file) && readFileSync(file, "utf8").endsWith("\n"));
    expect([readFileSync(moved, "utf8"), readFileSync(file, "utf8")].map((text) => text.split("\n").length)).toEqual([
      2, 2,
    ]);
  });
});

describeWith("namespaces", "executable")("a process that may open no more files", () => {
  test("leaves its program where it is", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const map = stack.use(new BlockMap());
    const options = ["-B", map.name, "-i", network.device, "-u", "127.0.0.1:9"];
    const gate = stack.use(await RunningGate.start(options, { namespace: network.gate }));
    const attached = xdpPrograms(network.gate, network.device);
    const limit = (files: number) => run(["prlimit", "--pid", String(gate.child.pid), `--nofile=${files}:`]);
    expect((await limit(8)).code).toBe(0);
    const reasons = async () => {
      const answer = (await (await gate.fetch("/readyz")).json()) as { reasons: string[] };
      return answer.reasons.join();
    };
    // Whoever asks has a connection already, or none.
    await sleep(3000);
    expect(xdpPrograms(network.gate, network.device)).toEqual(attached);
    expect((await limit(1024)).code).toBe(0);
    await gate.child.said(/Periodic work "never-ban list" succeeds again/);
    await waitFor("what is wrong to be over", async () => !/interface/i.test(await reasons()));
    expect(gate.child.stderr).not.toMatch(/is (not guarded any more|guarded again)/);
  });
});
