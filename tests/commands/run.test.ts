// SPDX-License-Identifier: Apache-2.0
// A gate's start and end as a process: what it leaves behind, whom it lets find it, what it takes away.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, lstatSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { Child } from "../harness/child.ts";
import { describeWith } from "../harness/needs.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { commandLine, type Gate, Loopback } from "./bed.ts";

setDefaultTimeout(20_000);

describeWith("namespaces")("a gate", () => {
  let loopback: Loopback;

  beforeAll(() => {
    loopback = new Loopback();
  });

  afterAll(() => loopback[Symbol.dispose]());

  function start(port: number, ...args: readonly string[]): Promise<Gate> {
    return loopback.gate(["-l", `127.0.0.1:${port}`, "--never-ban", "none", "-s", `127.0.0.1:${port + 1000}`, ...args]);
  }

  test.each(["SIGTERM", "SIGINT"] as const)("ends with 0 on %s, and its run file is gone", async (signal) => {
    await using gate = await start(6000);
    expect(JSON.parse(readFileSync(gate.runFile, "utf8"))).toMatchObject({
      pid: gate.child.pid,
      listen: "127.0.0.1:6000",
      status: "127.0.0.1:7000",
    });
    expect(statSync(gate.runFile).mode & 0o777).toBe(0o600);
    const { code, stderr } = await gate.child.stop(signal);
    expect([code, stderr]).toEqual([0, expect.stringContaining(`Stopping on ${signal}`)]);
    expect(existsSync(gate.runFile)).toBe(false);
    expect(stderr).not.toContain("Error");
  });

  test("several at once: a command asks which, and takes the one it is told", async () => {
    await using first = await start(6000);
    await using second = await start(6001);
    const asked = await loopback.ttgate(["bans"]);
    expect([asked.code, asked.stdout]).toEqual([2, ""]);
    expect(asked.stderr).toMatch(/^ttgate: Several gates run here: [^\n]*\n$/);
    for (const status of ["127.0.0.1:7000", "127.0.0.1:7001"]) expect(asked.stderr).toContain(`--status ${status}`);
    const told = await loopback.ttgate(["ban", "192.0.2.1", "-s", "127.0.0.1:7001"]);
    expect(told).toMatchObject({ code: 0, stderr: "" });
    const has = async (port: number) => (await loopback.ttgate(["bans", "-s", `127.0.0.1:${port}`])).stdout;
    expect([await has(7000), await has(7001)]).toEqual(["Nobody is banned\n", expect.stringContaining("192.0.2.1")]);

    await second.child.stop("SIGKILL");
    expect(existsSync(second.runFile)).toBe(true);
    expect(await loopback.ttgate(["bans"])).toMatchObject({ code: 0, stdout: "Nobody is banned\n" });
    expect([existsSync(second.runFile), existsSync(first.runFile)]).toEqual([false, true]);
  });

  test("without a status address cannot be asked, and the command says so", async () => {
    await using _gate = await start(6000, "-s", "off");
    const { code, stderr } = await loopback.ttgate(["status"]);
    expect([code, stderr]).toEqual([3, expect.stringMatching(/^ttgate: [^\n]*--status off, restart it[^\n]*\n$/)]);
  });

  test.each([
    ["--listen", ["-l", "127.0.0.1:6000", "-s", "off"]],
    ["--status", ["-l", "127.0.0.1:6002", "-s", "127.0.0.1:6000"]],
  ])("finds its port for %s in use: one line, exit code 3", async (option, args) => {
    await using _gate = await start(6000);
    const { code, stdout, stderr } = await loopback.ttgate([...args, "-c", "/dev/null"]);
    expect([code, stdout]).toEqual([3, ""]);
    expect(stderr).toMatch(/^ttgate: Cannot listen on "127.0.0.1:6000": the port is in use; [^\n]*\n$/);
    expect(stderr).toContain(option);
  });

  test("with an upstream that does not resolve stays up, and says why it is not ready", async () => {
    await using gate = await start(6000, "-u", "no-such-host.invalid:5001");
    await gate.child.said(/Upstream no-such-host\.invalid:5001 is not reachable: .+; clients are reset until it is/);
    const { stdout } = await loopback.ttgate(["status"]);
    expect(stdout).toContain("no-such-host.invalid:5001 (not reachable: ");
    expect(gate.child.exit).toBeUndefined();
  });

  test("logs JSON, an object a line, when asked", async () => {
    await using gate = await start(6000, "--log", "json");
    await loopback.ttgate(["ban", "192.0.2.1"]);
    await gate.child.said(/Banned/);
    const { stderr } = await gate.child.stop();
    for (const line of stderr.trimEnd().split("\n")) {
      expect(JSON.parse(line)).toMatchObject({
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        level: expect.stringMatching(/^(info|warn|error)$/),
        message: expect.stringMatching(/^[A-Z]/),
      });
    }
  });

  test("takes its file of options, and flags before it", async () => {
    using directory = new TempDir();
    const file = directory.write(
      "ttgate.toml",
      'listen = "127.0.0.1:6003"\nstatus = "127.0.0.1:7003"\ntimeout = "1h"\n',
    );
    await using child = new Child([...commandLine(["run", "-c", file, "-t", "2h"])], { namespace: loopback.name });
    await child.said(/Listening on 127\.0\.0\.1:6003/);
    const { stdout } = await loopback.ttgate(["status", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ listen: "127.0.0.1:6003", timeoutSeconds: 7200 });
  });

  describe("on a unix socket", () => {
    let directory: TempDir;
    let path: string;

    beforeAll(() => {
      directory = new TempDir();
      path = directory.file("status");
    });

    afterAll(() => directory[Symbol.dispose]());

    async function refused(): Promise<string> {
      const args = ["-l", "127.0.0.1:6005", "-s", `unix:${path}`, "-c", "/dev/null"];
      const { code, stdout, stderr } = await loopback.ttgate(args);
      expect([code, stdout]).toEqual([3, ""]);
      expect(stderr).toMatch(/^ttgate: Cannot listen on "unix:[^\n]*--status\n$/);
      return stderr;
    }

    test("answers its owner alone, is found, and leaves nothing behind", async () => {
      await using gate = await start(6000, "-s", `unix:${path}`);
      expect([lstatSync(path).isSocket(), lstatSync(path).mode & 0o777]).toEqual([true, 0o600]);
      expect(await loopback.ttgate(["ban", "192.0.2.1"])).toMatchObject({ code: 0, stderr: "" });
      expect((await loopback.ttgate(["bans", "-s", `unix:${path}`])).stdout).toContain("192.0.2.1");
      expect(await gate.child.stop()).toMatchObject({ code: 0 });
      expect(existsSync(path)).toBe(false);
    });

    test("that a killed one left behind starts again", async () => {
      await using killed = await start(6000, "-s", `unix:${path}`);
      await killed.child.stop("SIGKILL");
      expect(lstatSync(path).isSocket()).toBe(true);
      await using _gate = await start(6000, "-s", `unix:${path}`);
      expect(await loopback.ttgate(["status"])).toMatchObject({ code: 0 });
    });

    test("that another one answers on does not take it away", async () => {
      await using first = await start(6000, "-s", `unix:${path}`);
      expect(await refused()).toContain("another process listens there");
      expect(await loopback.ttgate(["status", "-s", `unix:${path}`])).toMatchObject({ code: 0 });
      expect(first.child.exit).toBeUndefined();
    });

    test("that belongs to another program does not take it away either", async () => {
      const other = createServer((socket) => socket.destroy());
      await new Promise<void>((resolve) => other.listen(path, resolve));
      try {
        expect(await refused()).toContain("another process listens there");
        expect(lstatSync(path).isSocket()).toBe(true);
      } finally {
        await new Promise<void>((resolve) => other.close(() => resolve()));
      }
    });

    test("whose path holds a file leaves the file alone", async () => {
      writeFileSync(path, "precious");
      expect(await refused()).toContain("something that is no socket");
      expect(readFileSync(path, "utf8")).toBe("precious");
    });
  });

  test("stops by the first signal, also while a client is connected", async () => {
    await using server = await loopback.server();
    await using gate = await start(6000);
    const client = new Child(["nc", "127.0.0.1", "6000"], { namespace: loopback.name, holdInput: true });
    await using _client = client;
    client.send("\u0080".repeat(200));
    await server.until("a connection", ({ connections }) => connections > 0);
    const startedMs = performance.now();
    expect(await gate.child.stop()).toMatchObject({ code: 0 });
    expect(performance.now() - startedMs).toBeLessThan(2000);
    await client.done();
  });
});
