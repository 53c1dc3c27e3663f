// SPDX-License-Identifier: Apache-2.0
// A gate that may take 256 MiB (a control group, as MemoryMax= makes it), with everything at once that costs memory:
// connections in number, clients that never read, a large table, long answers that nobody takes. It lives, and serves.
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { Child } from "../../harness/child.ts";
import { executable } from "../../harness/gate.ts";
import { MemoryGroup, noMemoryGroups } from "../../harness/memory_group.ts";
import { describeWith } from "../../harness/needs.ts";
import { freePort } from "../../harness/ports.ts";
import { sleep, waitFor } from "../../harness/wait.ts";
import { friendly } from "../../net/bed.ts";

setDefaultTimeout(180_000);

const host = "127.0.0.1";
const limitBytes = 256 * 1024 * 1024;
const reason = noMemoryGroups();
if (reason !== undefined) console.log(`Skipped: ${reason}`);

function crowd(port: number, count: number, first: Uint8Array | string): Socket[] {
  return Array.from({ length: count }, () => {
    const socket = connect({ host, port }, () => {
      socket.pause();
      if (first.length > 0) socket.write(first);
    });
    return socket.on("error", () => {});
  });
}

describeWith("executable", "apart")("a gate with little memory", () => {
  test.skipIf(reason !== undefined)("lives with everything at once that costs some", async () => {
    using group = new MemoryGroup(limitBytes);
    const answer = Buffer.alloc(1_000_000, 1);
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.write(answer));
    });
    const [upstream, port, status] = [await freePort(), await freePort(), await freePort()];
    await new Promise<void>((resolve) => server.listen(upstream, host, resolve));
    const flags = ["-l", `${host}:${port}`, "-u", `${host}:${upstream}`, "-s", `${host}:${status}`, "-c", "/dev/null"];
    const env = { TTGATE_TOKEN: "of-this-test" };
    const argv = [...group.enter, executable, ...flags, "--first-packet", "60s"];
    await using gate = new Child(argv, { env });
    await gate.said(/Listening on/);
    const headers = { authorization: `Bearer ${env.TTGATE_TOKEN}` };
    for (let batch = 0; batch < 20; batch++) {
      const body = Array.from(
        { length: 5000 },
        (_, at) => `198.${18 + (batch & 1)}.${(batch >> 1) * 20 + (at >> 8)}.${at & 255}`,
      );
      const reply = await fetch(`http://${host}:${status}/bans/list?for=1h`, {
        method: "POST",
        headers,
        body: body.join("\n"),
      });
      expect(reply.status).toBe(200);
    }
    const sockets = [
      ...crowd(port, 4000, ""),
      ...crowd(port, 300, friendly()),
      ...crowd(status, 200, "GET /bans?limit=10000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
    ];
    using _end = { [Symbol.dispose]: () => void sockets.map((socket) => socket.destroy()) };
    await sleep(8000);
    const reader = connect({ host, port }, () => reader.write(friendly()));
    let received = 0;
    reader.on("data", (bytes) => {
      received += bytes.length;
    });
    await waitFor("a whole answer", () => received === answer.length, 20_000);
    reader.destroy();
    console.log(`${(group.usedBytes / 1048576).toFixed(0)} MiB of ${limitBytes / 1048576}`);
    expect([group.kills, gate.exit]).toEqual([0, undefined]);
    for (const socket of sockets.splice(0)) socket.destroy();
    await waitFor("the status endpoint", async () => (await fetch(`http://${host}:${status}/healthz`)).ok);
    expect(await gate.stop()).toMatchObject({ code: 0 });
    server.close();
  });
});
