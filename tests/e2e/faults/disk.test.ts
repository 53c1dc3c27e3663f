// SPDX-License-Identifier: Apache-2.0
// A disk that is full, for what the gate writes: its state, a recording, its log. It says so, serves its clients, bans
// strangers, and goes on writing when there is room again.
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { Child, run } from "../../harness/child.ts";
import { executable, RunningGate, ttgate } from "../../harness/gate.ts";
import { describeWith } from "../../harness/needs.ts";
import { Network } from "../../harness/netns.ts";
import { freePort } from "../../harness/ports.ts";
import { probeFrom } from "../../harness/probe.ts";
import { startClient, startServer } from "../../harness/standin.ts";
import { TempDir } from "../../harness/temp_dir.ts";
import { Undo } from "../../harness/undo.ts";
import { waitFor } from "../../harness/wait.ts";

setDefaultTimeout(60_000);

const http = [new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n")];

/** A file system of 256 KiB. */
async function smallDisk(path: string): Promise<Disposable> {
  mkdirSync(path);
  const mounted = await run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", path]);
  if (mounted.code !== 0) throw new Error(`Cannot mount "${path}": ${mounted.stderr}`);
  const undo = new Undo();
  undo.push(() => Bun.spawnSync(["umount", "--lazy", path]));
  return undo;
}

/** The same directory, or file, once more. @param options of the mount that is made. */
async function bound(path: string, at: string, options?: string): Promise<Disposable> {
  if (statSync(path).isDirectory()) mkdirSync(at, { recursive: true });
  const undo = new Undo();
  const mount = async (...args: readonly string[]) => {
    const { code, stderr } = await run(["mount", ...args, at]);
    if (code !== 0) throw new Error(`Cannot mount "${at}": ${stderr}`);
  };
  await mount("--bind", path);
  undo.push(() => Bun.spawnSync(["umount", "--lazy", at]));
  if (options !== undefined) await mount("-o", options);
  return undo;
}

function fill(path: string): void {
  try {
    writeFileSync(path, Buffer.alloc(1_000_000));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
}

describeWith("namespaces", "executable")("a full disk", () => {
  test("under state, recording and log costs what is written, and nothing else", async () => {
    using directory = new TempDir();
    const path = directory.file("disk");
    using _disk = await smallDisk(path);
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const state = `${path}/state`;
    mkdirSync(state);
    const flags = ["--state", state, "--record", `${path}/recording`, "-t", "1h"];
    const gate = stack.use(await RunningGate.start(flags, { namespace: network.gate }));
    const at = { host: network.gateIpv4, port: 5000 };
    const stranger = (number: number) =>
      probeFrom(network.client, { ...at, from: network.clientIpv4(number), send: http });
    const address = ["--host", network.gateIpv4, "--port", "5000", "--from", network.clientIpv4(2)];
    const client = stack.use(await startClient(network.client, ...address));
    await client.until("answers", ({ packets }) => packets > 5);
    fill(`${path}/filler`);
    await stranger(3);
    await gate.banned(network.clientIpv4(3));
    await gate.child.said(/Cannot (write|save|keep)[^\n]*|ENOSPC/);
    const { recording } = await gate.until("a recording that ended", (status) => status.recording?.ended !== null);
    expect(recording?.ended).toMatch(/ENOSPC|no space/i);
    expect((await gate.fetch("/healthz")).status).toBe(200);
    const { packets } = client.last() ?? { packets: 0 };
    await client.until("more answers", (report) => report.packets > packets + 10);
    // With room again what was to be kept is kept.
    rmSync(`${path}/filler`);
    await stranger(4);
    await gate.banned(network.clientIpv4(4));
    const saved = () =>
      readdirSync(state).some((name) => readFileSync(`${state}/${name}`, "utf8").includes("10.77.1.4"));
    await waitFor("the state on the disk", saved);
    expect((await client.stop()).failures).toBe(0);
    gate.child.signal("SIGKILL");
    await gate.child.done();
    const next = stack.use(await RunningGate.start(["--state", state], { namespace: network.gate }));
    for (const number of [3, 4]) await next.banned(network.clientIpv4(number));
  });

  test("under its log does not stop it", async () => {
    using directory = new TempDir();
    const path = directory.file("disk");
    using _disk = await smallDisk(path);
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    stack.use(await startServer(network.gate, "--port", "5001"));
    fill(`${path}/filler`);
    const script = `exec "$0" -c /dev/null -s "unix:$1/status" 2>"$2/log"`;
    const argv = ["bash", "-c", script, executable, directory.path, path];
    const gate = stack.use(new Child(argv, { namespace: network.gate }));
    const ask = (what: string) => fetch(`http://ttgate${what}`, { unix: directory.file("status") });
    await waitFor("the gate", async () => (await ask("/healthz")).ok);
    const from = network.clientIpv4(3);
    await probeFrom(network.client, { host: network.gateIpv4, port: 5000, from, send: http });
    await waitFor("the ban", async () => (await ask(`/bans/${from}`)).ok);
    expect(statSync(`${path}/log`).size).toBe(0);
    expect(await gate.stop()).toMatchObject({ code: 0 });
  });
});

describeWith("namespaces", "executable")("a disk that can only be read", () => {
  test("is said by /readyz and doctor, and bans are saved when it can be written again", async () => {
    using directory = new TempDir();
    const [path, other] = [directory.file("disk"), directory.file("other")];
    using _disk = await smallDisk(path);
    using _other = await bound(path, other);
    const args = ["-l", `127.0.0.1:${await freePort()}`, "-u", "127.0.0.1:9", "--state", `${path}/state`];
    {
      await using gate = await RunningGate.start(args);
      await gate.child.said(/Made the state directory ".*": no earlier bans are in it/);
      const ban = async (source: string) => expect((await gate.command("ban", source, "--for", "1h")).code).toBe(0);
      const doctor = async () => (await run(ttgate(["doctor", ...args]))).stdout;
      await ban("198.51.100.1");
      expect(await doctor()).toMatch(/ok +state +.*\/state, on the disk that is mounted at .*disk$/m);
      {
        using _readOnly = await bound(path, path, "remount,bind,ro");
        // Its file is still open: what is damaged has to be written anew.
        for (const name of readdirSync(`${other}/state`).filter((name) => !name.includes("lock"))) {
          truncateSync(`${other}/state/${name}`);
        }
        await ban("198.51.100.2");
        await gate.child.said(/was changed by another program: it is written anew/);
        await gate.child.said(/Cannot save bans to .*EROFS.*; it is tried again/);
        const { notes } = (await (await gate.fetch("/readyz")).json()) as { notes: string[] };
        expect(notes.join()).toMatch(/Bans cannot be saved, and would be forgotten by a restart: EROFS/);
        const told = await doctor();
        expect(told).toMatch(/BAD +state +.*EROFS/);
        expect(told).toMatch(/warn +running gate +pid \d+: Bans cannot be saved/);
      }
      await gate.child.said(/Bans are saved again/);
      gate.child.signal("SIGKILL");
      await gate.child.done();
    }
    await using gate = await RunningGate.start(args);
    expect((await gate.bans()).map(({ source }) => source).sort()).toEqual(["198.51.100.1", "198.51.100.2"]);
  });
});

describeWith("namespaces", "executable")("a state file in whose place there can be no other", () => {
  test("is written on, and /readyz says that it grows", async () => {
    using directory = new TempDir();
    const port = await freePort();
    const args = ["-l", `127.0.0.1:${port}`, "-u", "127.0.0.1:9", "--state", directory.path];
    {
      await using gate = await RunningGate.start(args);
      expect((await gate.command("ban", "198.51.100.1", "--for", "1h")).code).toBe(0);
      await gate.child.stop();
    }
    const path = directory.file(`bans-127.0.0.1-${port}`);
    const lines = readFileSync(path, "utf8");
    // More than is left standing of one ban.
    writeFileSync(path, lines + lines.slice(lines.trimEnd().lastIndexOf("\n") + 1).repeat(10_100));
    // As of a container that has this one file of its host.
    using _mount = await bound(path, path);
    await using gate = await RunningGate.start(args);
    await gate.child.said(/Cannot write ".*" anew: EBUSY.*; it grows until that is mended/);
    const { notes } = (await (await gate.fetch("/readyz")).json()) as { notes: string[] };
    expect(notes.join()).toMatch(/The file of the bans grows, since it cannot be written anew: EBUSY/);
    expect((await gate.command("ban", "198.51.100.2", "--for", "1h")).code).toBe(0);
    await waitFor("the ban in the file", () => readFileSync(path, "utf8").includes("198.51.100.2"));
  });
});
