// SPDX-License-Identifier: Apache-2.0
// A gate that may open few files: it says so, and does not lose connections in silence.
import { expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { Snapshot } from "../../src/status/snapshot.ts";
import { Child } from "../harness/child.ts";
import { executable } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { freePort } from "../harness/ports.ts";
import { serveTapeTrack } from "../harness/tapetrack.ts";
import { waitFor } from "../harness/wait.ts";

setDefaultTimeout(30_000);

describeWith("executable")("a gate with 200 open files", () => {
  test("that became so few while it runs takes fewer connections, and more again when they are raised", async () => {
    const [port, status] = [await freePort(), await freePort()];
    const options = ["-l", `127.0.0.1:${port}`, "-s", `127.0.0.1:${status}`, "-c", "/dev/null"];
    await using gate = new Child([executable, ...options]);
    await gate.said(/Listening on/);
    const limit = async () => {
      const { connections } = (await (await fetch(`http://127.0.0.1:${status}/status`)).json()) as Snapshot;
      return connections.limit;
    };
    const before = await limit();
    const limits = readFileSync(`/proc/${gate.pid}/limits`, "utf8");
    const [, soft = "", hard = ""] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(limits) ?? [];
    const allow = (files: string) => spawnSync("prlimit", ["--pid", `${gate.pid}`, `--nofile=${files}:${hard}`]);
    allow("200");
    await waitFor("fewer places", async () => (await limit()) === 36);
    expect(gate.stderr).toMatch(/No more than 36 connections at a time, since only 200 open files are allowed/);
    allow(soft);
    await waitFor("as many as before", async () => (await limit()) === before);
  });

  test.each([[[]], [["--max-connections", "3000"]]])("and %j says what it turns away", async (args) => {
    await using server = await serveTapeTrack({});
    const [port, status] = [await freePort(), await freePort()];
    const at = `http://127.0.0.1:${status}`;
    const options = ["-l", `127.0.0.1:${port}`, "-s", `127.0.0.1:${status}`, "-u", `127.0.0.1:${server.port}`];
    // Everything that is relayed takes a place until it ends.
    const argv = [executable, ...options, "--dry-run", "-c", "/dev/null", ...args];
    await using gate = new Child(["bash", "-c", 'ulimit -n 200; exec "$@"', "bash", ...argv]);
    await gate.said(/Listening on/);
    await gate.said(/36 connections at a time.*200 open files are allowed/);
    await waitFor("a gate that is ready", async () => (await fetch(`${at}/readyz`)).status === 200);
    const sockets: Socket[] = [];
    using _end = { [Symbol.dispose]: () => void sockets.map((socket) => socket.destroy()) };
    for (let count = 0; count < 100; count++) {
      const socket = connect({ port, host: "127.0.0.1" }, () => socket.write("GET / HTTP/1.1\r\n\r\n"));
      socket.on("error", () => {});
      sockets.push(socket);
    }
    await gate.said(/Turned away a connection: all 36 places are taken/);
    const metrics = await waitFor("the count", async () => {
      const text = await (await fetch(`${at}/metrics`)).text();
      return /^ttgate_connections_no_room_total\{gate="default"\} 64$/m.test(text) && text;
    });
    expect(metrics).toMatch(/^ttgate_connections_limit\{gate="default"\} 36$/m);
    const red = await fetch(`${at}/readyz`);
    expect([red.status, await red.json()]).toEqual([
      503,
      { ready: false, reasons: [expect.stringContaining("all 36 places are taken")] },
    ]);
    expect(gate.stderr.match(/Turned away/g)).toHaveLength(1);
  });
});
