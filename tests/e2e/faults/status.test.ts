// SPDX-License-Identifier: Apache-2.0
// A status endpoint that is flooded with connections, or asked for long answers that nobody reads: the gate serves its
// clients meanwhile, and does not grow.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { Child } from "../../harness/child.ts";
import { executable, RunningGate } from "../../harness/gate.ts";
import { describeWith } from "../../harness/needs.ts";
import { freePort } from "../../harness/ports.ts";
import { serveTapeTrack, TapeTrackClient } from "../../harness/tapetrack.ts";
import { TempDir } from "../../harness/temp_dir.ts";
import { sleep, waitFor } from "../../harness/wait.ts";

setDefaultTimeout(60_000);

const host = "127.0.0.1";

/** Connections that say `request` and read nothing. */
class Flood implements Disposable {
  readonly sockets: Socket[] = [];
  closed = 0;
  refused = 0;

  constructor(to: number | string, count: number, request = "") {
    for (let index = 0; index < count; index++) {
      const socket = connect(typeof to === "string" ? { path: to } : { host, port: to }, () => {
        socket.pause();
        if (request !== "") socket.write(request);
      });
      socket.on("error", () => {
        this.refused++;
      });
      socket.on("close", () => {
        this.closed++;
      });
      this.sockets.push(socket);
    }
  }

  [Symbol.dispose](): void {
    for (const socket of this.sockets) socket.destroy();
  }
}

describeWith("executable")("a status endpoint", () => {
  test.each([
    ["that nobody speaks to", ""],
    ["that is asked for half a request", "GET /status HT"],
  ])("flooded with connections %s leaves open files to the gate, says so, and is back", async (_, request) => {
    await using server = await serveTapeTrack({});
    const [port, status] = [await freePort(), await freePort()];
    const flags = [
      "-l",
      `${host}:${port}`,
      "-s",
      `${host}:${status}`,
      "-u",
      `${host}:${server.port}`,
      "-c",
      "/dev/null",
    ];
    await using gate = new Child(["bash", "-c", 'ulimit -n 300; exec "$@"', "bash", executable, ...flags]);
    await gate.said(/Listening on/);
    using old = await TapeTrackClient.connect({ host, port });
    await old.exchange("before");
    using flood = new Flood(status, 600, request);
    await gate.said(/Open files ran out: 300 are allowed/);
    await waitFor("the flood's end", () => flood.closed > 200);
    await old.exchange("meanwhile, on the old connection");
    using fresh = await TapeTrackClient.connect({ host, port });
    await fresh.exchange("meanwhile, on a new connection");
    flood[Symbol.dispose]();
    const metrics = await waitFor(
      "the status endpoint",
      async () => (await fetch(`http://${host}:${status}/metrics`)).text(),
      15_000,
    );
    expect(metrics).toMatch(/^ttgate_open_files_shortages_total [1-9]/m);
    expect(gate.stderr.match(/Open files ran out/g)).toHaveLength(1);
    expect(server.counters.strangers).toBe(0);
  });

  test("on a unix socket is not closed: gates stop accepting, and whoever comes waits in the queue", async () => {
    await using server = await serveTapeTrack({});
    using directory = new TempDir();
    const port = await freePort();
    const status = directory.file("status");
    const flags = ["-l", `${host}:${port}`, "-s", `unix:${status}`, "-u", `${host}:${server.port}`, "-c", "/dev/null"];
    await using gate = new Child(["bash", "-c", 'ulimit -n 300; exec "$@"', "bash", executable, ...flags]);
    await gate.said(/Listening on/);
    using flood = new Flood(status, 280);
    await gate.said(/Open files ran out: 300 are allowed/);
    const cpuMs = () => {
      const stat = readFileSync(`/proc/${gate.pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) * 10;
    };
    // Bun spins where connections wait that it has no descriptor for; those of the unix socket are all accepted.
    const waiting = TapeTrackClient.connect({ host, port }).then(async (client) => {
      await client.exchange("after the flood", 20_000);
      client[Symbol.dispose]();
    });
    await sleep(1000);
    const before = cpuMs();
    await sleep(2000);
    expect(cpuMs() - before).toBeLessThan(800);
    flood[Symbol.dispose]();
    await waiting;
  });

  test("asked for long answers that nobody reads holds no more than a few of them, and clients are served", async () => {
    await using server = await serveTapeTrack({});
    const [port, status] = [await freePort(), await freePort()];
    const flags = ["-l", `${host}:${port}`, "-u", `${host}:${server.port}`, "-s", `${host}:${status}`];
    const env = { TTGATE_TOKEN: "of-this-test" };
    await using gate = await RunningGate.start([...flags, "-c", "/dev/null"], { env });
    const headers = { authorization: `Bearer ${env.TTGATE_TOKEN}` };
    for (let batch = 0; batch < 4; batch++) {
      const body = Array.from({ length: 5000 }, (_, at) => `198.18.${batch * 20 + (at >> 8)}.${at & 255}`).join("\n");
      const reply = await fetch(`http://${host}:${status}/bans/list?for=1h`, { method: "POST", headers, body });
      expect(reply.status).toBe(200);
    }
    const before = await gate.residentBytes();
    using _flood = new Flood(status, 300, "GET /bans?limit=10000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    using client = await TapeTrackClient.connect({ host, port });
    let slowestMs = 0;
    for (let count = 0; count < 50; count++) slowestMs = Math.max(slowestMs, await client.exchange(`packet ${count}`));
    expect((await gate.residentBytes()) - before).toBeLessThan(60_000_000);
    console.log(`slowest exchange ${slowestMs.toFixed(0)} ms`);
  });
});
