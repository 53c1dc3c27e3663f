// SPDX-License-Identifier: Apache-2.0
// Anything sent to the status endpoint of the running executable, by TCP and by the unix socket, where it may change
// something: no answer is an error of the gate's own, and it is ready afterwards, in as much memory as before.
import { expect, setDefaultTimeout, test } from "bun:test";
import { connect, createServer, type Socket } from "node:net";
import { RunningGate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { freePort } from "../harness/ports.ts";
import { fuzz, fuzzTimeoutMs } from "./fuzzer.ts";
import { requests } from "./requests.ts";

setDefaultTimeout(fuzzTimeoutMs);

/** Without another byte for so long, no more is to come. */
const quietMs = 150;
const growthBytes = 100 * 1024 * 1024;

/** @returns what was answered until it ended or stood still. */
function exchange(socket: Socket, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const done = () => {
      socket.destroy();
      resolve(answer);
    };
    let timer = setTimeout(done, 2 * quietMs);
    socket.on("data", (chunk: Buffer) => {
      answer += chunk.toString("latin1");
      clearTimeout(timer);
      timer = setTimeout(done, quietMs);
    });
    socket.on("error", done).on("close", done);
    socket.write(bytes);
  });
}

function requireHonest(answer: string, where: string): void {
  // 501: a method or a transfer coding that the server does not know; 505: a version.
  for (const [line, status] of answer.matchAll(/^HTTP\/1\.[01] (\d{3})[^\r\n]*/gm)) {
    if (/^5/.test(status ?? "") && !/^50[15]$/.test(status ?? ""))
      throw new Error(`${where} ${line}: ${answer.slice(-500)}`);
  }
  if (/^\s+at \S+ \(|TypeError|RangeError/m.test(answer))
    throw new Error(`${where} shows its inside: ${answer.slice(0, 500)}`);
}

describeWith("executable")("the status endpoint", () => {
  test("survives anything", async () => {
    const [listen, status] = [await freePort(), await freePort()];
    const upstream = createServer((socket) => socket.on("error", () => {}));
    const port = await freePort();
    await new Promise<void>((resolve) => upstream.listen(port, "127.0.0.1", resolve));
    await using stack = new AsyncDisposableStack();
    stack.defer(() => void upstream.close());
    const common = ["-c", "/dev/null", "-u", `127.0.0.1:${port}`];
    const gate = stack.use(await RunningGate.start(["-l", `127.0.0.1:${listen}`, ...common]));
    const other = ["-l", `127.0.0.1:${await freePort()}`, "-s", `127.0.0.1:${status}`, ...common];
    const open = stack.use(await RunningGate.start(other));
    const gates = [gate, open];
    const before = await Promise.all(gates.map((one) => one.residentBytes()));
    await fuzz(
      {
        name: "status_http",
        next: requests,
        async check(bytes) {
          const ways = [connect({ path: gate.statusAddress.slice("unix:".length) }), connect(status, "127.0.0.1")];
          const [unix = "", tcp = ""] = await Promise.all(ways.map((socket) => exchange(socket, bytes)));
          requireHonest(unix, "The unix socket");
          requireHonest(tcp, "TCP");
        },
        atOnce: 24,
      },
      250,
    );
    expect((await gate.fetch("/readyz")).status).toBe(200);
    const ready = await fetch(`http://127.0.0.1:${status}/readyz`);
    expect([ready.status, await ready.json()]).toMatchObject([200, { ready: true }]);
    for (const [index, one] of gates.entries()) {
      expect(one.child.exit).toBeUndefined();
      expect(one.child.stderr).not.toMatch(/^\s+at |TypeError|RangeError/m);
      expect((await one.residentBytes()) - (before[index] ?? 0)).toBeLessThan(growthBytes);
    }
    // Nobody but the unix socket changes anything.
    expect(await (await fetch(`http://127.0.0.1:${status}/bans`)).json()).toMatchObject({ bans: [] });
  });
});
