// SPDX-License-Identifier: Apache-2.0
// Sockets and words of a service manager, without one: systemd-socket-activate's part is played by a shell, the other
// end of NOTIFY_SOCKET by socat's. With a real one: tests/systems/service.test.ts.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import type { Snapshot } from "../../src/status/snapshot.ts";
import type { Arrivals } from "../harness/arrivals_main.ts";
import { Child, run } from "../harness/child.ts";
import { executable, ttgate } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { probeFrom } from "../harness/probe.ts";
import { startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const http = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");
const arrivals = join(import.meta.dirname, "../harness/arrivals_main.ts");

/** Listens as systemd does, hands the sockets to each process that it starts, and prints what it is told. */
const manager = `
import os, signal, socket, subprocess, sys, threading
spec, names, notify, *argv = sys.argv[1:]
def listening(text):
    host, port = text.rsplit(":", 1)
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in host: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.bind((host, int(port))); s.listen(128)
    return s
sockets = [listening(text) for text in spec.split()]
told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
told.bind("\\0" + notify[1:] if notify[0] == "@" else notify)
def tell():
    while True: print("told", repr(told.recv(4096).decode()), flush=True)
threading.Thread(target=tell, daemon=True).start()
def start():
    # What it already has at 3 and on may be a socket: all are moved away first.
    high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(sockets)]
    pid = os.fork()
    if pid == 0:
        for i, fd in enumerate(high): os.dup2(fd, 3 + i)
        os.closerange(3 + len(high), 200)
        env = dict(os.environ, LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=names, LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=notify, WATCHDOG_USEC="600000")
        os.execvpe(argv[0], argv, env)
    return pid
for line in sys.stdin:
    if line == "start\\n":
        pid = start(); print("started", pid, flush=True)
    else:
        os.kill(pid, signal.SIGTERM); _, status = os.waitpid(pid, 0)
        print("ended", os.waitstatus_to_exitcode(status), flush=True)
`;

async function service(stack: AsyncDisposableStack, network: Network, sockets: string, names: string, args: string[]) {
  const directory = stack.use(new TempDir());
  const notify = directory.file("notify");
  const argv = ["python3", "-c", manager, sockets, names, notify, executable, "-c", "/dev/null", ...args];
  const child = stack.use(new Child(argv, { namespace: network.gate, holdInput: true }));
  child.send("start\n");
  return child;
}

describeWith("namespaces", "executable", { program: "python3" })("a service manager", () => {
  test("keeps the port and the status endpoint through a restart: nobody is refused", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const child = await service(stack, network, ":::443 127.0.0.1:9555", "gate:status", [
      ...["-l", "443", "-s", "127.0.0.1:9555"],
    ]);
    await child.said(/told 'READY=1\\nSTATUS=.*0 connections, 0 bans\)?'/);
    const ask = () => run(["curl", "-sS", "http://127.0.0.1:9555/status"], { namespace: network.gate });
    expect(JSON.parse((await ask()).stdout)).toMatchObject({ listen: "[::]:443", connections: { accepted: 0 } });
    const knock = () => probeFrom(network.client, { host: network.gateIpv4, port: 443, waitMs: 300 });
    expect((await knock()).outcome).toBe("open");
    child.send("stop\n");
    await child.said(/ended 0/);
    expect(child.stdout).toContain("told 'STOPPING=1");
    // Nobody is there: the connection stands all the same, in the queue, and so does the question.
    const waiting = ask();
    expect((await knock()).outcome).toBe("open");
    await sleep(300);
    child.send("start\n");
    expect(JSON.parse((await waiting).stdout)).toMatchObject({ listen: "[::]:443" });
    await waitFor("those who waited", async () => JSON.parse((await ask()).stdout).connections.accepted > 0);
    await child.said(/told 'WATCHDOG=1'[\s\S]*told 'WATCHDOG=1'/);
  });

  test("keeps those who come meanwhile in the queue", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    stack.use(await startServer(network.gate, "--port", "5001"));
    const child = await service(stack, network, ":::5000", "gate", ["-l", "5000", "-s", "off"]);
    await child.said(/READY=1/);
    const argv = [process.execPath, arrivals, "--host", network.gateIpv4, "--port", "5000", "--rate", "100"];
    const clients = stack.use(new Child(argv, { namespace: network.client }));
    await clients.said(/ready/);
    await sleep(500);
    child.send("stop\n");
    await child.said(/ended 0/);
    await sleep(300);
    child.send("start\n");
    await child.said(/READY=1[\s\S]*READY=1/);
    await sleep(1000);
    const { stdout } = await clients.stop();
    const { arrived, failures } = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Arrivals;
    // A stop cuts whom it is serving at that moment, some before they know that they are connected.
    const kinds = Object.keys(failures).filter((failure) => !/^Error: (read|connect) ECONNRESET/.test(failure));
    expect(kinds).toEqual([]);
    expect(Object.values(failures).reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(2);
    expect(arrived).toBeGreaterThan(100);
  });

  test("whose socket is elsewhere is told so", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const child = await service(stack, network, "0.0.0.0:6000", "ttgate.socket", ["-l", "5000", "-s", "off"]);
    await child.said(
      /Cannot use the sockets from the service manager: "ttgate.socket" listens on 0\.0\.0\.0:6000, --listen says \[::\]:5000: make both the same/,
    );
  });

  test("gives each gate its own, by the gate's name or by the address", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const directory = stack.use(new TempDir());
    const gate = (name: string, port: number) => `[[gate]]\nname = "${name}"\nlisten = "0.0.0.0:${port}"\n`;
    const config = directory.write("ttgate.toml", gate("web", 8000) + gate("tape", 8001) + gate("own", 8002));
    const sockets = "127.0.0.1:9555 0.0.0.0:8001 0.0.0.0:8000";
    const child = await service(stack, network, sockets, "ttgate.socket:ttgate.socket:web", [
      ...["-c", config, "-s", "127.0.0.1:9555"],
    ]);
    await child.said(/told 'READY=1/);
    for (const port of [8000, 8001, 8002]) {
      await probeFrom(network.client, { host: network.gateIpv4, port, send: [http], waitMs: 300 });
    }
    const asked = await run(["curl", "-sS", "http://127.0.0.1:9555/status"], { namespace: network.gate });
    const { gates } = JSON.parse(asked.stdout) as Pick<Snapshot, "gates">;
    // Where the first one is banned the others are silent to it.
    expect(gates.map(({ name, connections }) => [name, connections.accepted])).toEqual([
      ["web", 1],
      ["tape", 1],
      ["own", 1],
    ]);
    child.send("stop\n");
    await child.said(/ended 0/);
    const wrong = await service(stack, network, "0.0.0.0:8003 0.0.0.0:8004", "web:tape", ["-c", config, "-s", "off"]);
    await wrong.said(
      /"web" listens on 0\.0\.0\.0:8003, the gates listen on 0\.0\.0\.0:8000 \("web"\), 0\.0\.0\.0:8001 \("tape"\), 0\.0\.0\.0:8002 \("own"\): make both the same/,
    );
  });

  test("is not left with a socket that nobody accepts on, without a word", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const directory = stack.use(new TempDir());
    const gate = (name: string, port: number) => `[[gate]]\nname = "${name}"\nlisten = "0.0.0.0:${port}"\n`;
    const config = directory.write("ttgate.toml", gate("web", 8000) + gate("own", 8002));
    const child = await service(stack, network, "0.0.0.0:8000", "web", ["-c", config, "-s", "off"]);
    const [, pid] = await child.said(/started (\d+)/);
    await child.said(/told 'READY=1/);
    directory.write("ttgate.toml", gate("web", 8001) + gate("own", 8003));
    process.kill(Number(pid), "SIGHUP");
    await child.said(/RELOADING=1[\s\S]*told 'READY=1/);
    const told = child.stderr.split("\n").filter((line) => line.includes("still listens"));
    expect(told).toEqual([
      expect.stringMatching(
        /Gate "web": Somebody still listens on 0\.0\.0\.0:8000, .* the socket unit, clients wait there/,
      ),
    ]);
  });

  test("is told of a reload with the time of its beginning", async () => {
    await using stack = new AsyncDisposableStack();
    const network = stack.use(new Network());
    const child = await service(stack, network, "0.0.0.0:5000", "gate", ["-l", "0.0.0.0:5000", "-s", "off"]);
    const [, pid] = await child.said(/started (\d+)/);
    await child.said(/told 'READY=1/);
    process.kill(Number(pid), "SIGHUP");
    const [, usec] = await child.said(/RELOADING=1\\nMONOTONIC_USEC=(\d+)'/);
    const { stdout } = await run(["cat", "/proc/uptime"]);
    expect(Math.abs(Number(usec) / 1_000_000 - Number.parseFloat(stdout))).toBeLessThan(5);
    await child.said(/RELOADING=1[\s\S]*told 'READY=1/);
  });

  test.each([
    ["gate", '"gate"'],
    ["", "descriptor 3"],
  ])("that gives what is no socket is told which one: %j", async (name, which) => {
    const env = { LISTEN_FDS: "1", LISTEN_FDNAMES: name };
    const [program = "", ...rest] = ttgate(["-c", "/dev/null", "-l", "5000", "-s", "off"]);
    const argv = ["sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@" 3</dev/null', program, ...rest];
    expect(await run(argv, { env })).toMatchObject({
      code: 2,
      stderr: `ttgate: Cannot use the sockets from the service manager: ${which} is no socket that accepts connections: use ListenStream=\n`,
    });
  });

  test("under Deno its sockets are refused with the reason", async () => {
    const env = { LISTEN_FDS: "1", LISTEN_FDNAMES: "gate" };
    const [program = "", ...rest] = ttgate(["-c", "/dev/null", "-l", "5000", "-s", "off"], "deno");
    const argv = ["sh", "-c", 'LISTEN_PID=$$ exec "$0" "$@" 3</dev/null', program, ...rest];
    const { code, stderr } = await run(argv, { env });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr:
        "ttgate: Cannot use the sockets from the service manager: deno accepts nothing on them: use the executable, or stop the socket unit\n",
    });
  });
});
