// SPDX-License-Identifier: Apache-2.0
// Several upstreams: whose turn it is, who is up, where names lead; and what says nothing of an upstream.
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type AddressInfo, createServer } from "node:net";
import { OwnPort } from "../../src/gate/own_port.ts";
import { Upstreams, type UpstreamsOptions } from "../../src/gate/upstreams.ts";
import { hostAddresses } from "../../src/host/addresses.ts";
import { Names } from "../../src/host/names.ts";
import { runtime } from "../../src/runtime/bun.ts";
import { type ConnectTarget, silentEvents } from "../../src/runtime/types.ts";
import { freePort } from "../harness/ports.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Bed, friendly, host, opened, type Peer, Server, until } from "./bed.ts";

setDefaultTimeout(20_000);

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

const polite = ({ socket }: Peer) => void socket.on("end", () => socket.end());

async function servers(count: number): Promise<Server[]> {
  const opened: Server[] = [];
  for (let index = 0; index < count; index++) opened.push(stack.use(await Server.open(polite)));
  return opened;
}

const at = ({ port }: { readonly port: number }) => ({ host, port });

async function friend(bed: Bed): Promise<void> {
  const relayed = bed.counters.relayed;
  (await bed.accepted()).send(friendly());
  await until("the relay", () => bed.counters.relayed > relayed);
}

describe("--balance", () => {
  test("round-robin goes round, leaves out who is down, and has it again", async () => {
    const [first, second, third] = await servers(3);
    if (first === undefined || second === undefined || third === undefined) throw new Error("Three servers");
    const bed = stack.use(
      await Bed.open({ upstreams: [at(first), at(second), at(third)], config: { balance: "round-robin" } }),
    );
    const counts = () => [first, second, third].map(({ peers }) => peers.length);
    for (let count = 0; count < 6; count++) await friend(bed);
    expect(counts()).toEqual([2, 2, 2]);
    const { port } = second;
    await second[Symbol.asyncDispose]();
    for (let count = 0; count < 6; count++) await friend(bed);
    // Nobody was turned away: who met the dead one was handed on.
    expect(bed.counters).toMatchObject({ relayed: 12, upstreamFailed: 0 });
    expect(bed.upstreams.status()[1]).toMatchObject({ reachable: false, failed: 1 });
    const back = stack.use(await Server.open(polite, port));
    await bed.upstreams.retry(bed.nowMs(), 0);
    for (let count = 0; count < 3; count++) await friend(bed);
    expect(back.peers.length).toBe(2);
    expect(bed.upstreams.status().reduce((sum, { total }) => sum + total, 0)).toBe(15);
  });

  test("failover stays with the first, and a reload makes it go round", async () => {
    const [first, second] = await servers(2);
    if (first === undefined || second === undefined) throw new Error("Two servers");
    const bed = stack.use(await Bed.open({ upstreams: [at(first), at(second)] }));
    for (let count = 0; count < 4; count++) await friend(bed);
    expect([first.peers.length, second.peers.length]).toEqual([4, 0]);
    bed.gate.reconfigure({ ...bed.gate.config, balance: "round-robin" }, bed.gate.sniffer);
    for (let count = 0; count < 4; count++) await friend(bed);
    expect([first.peers.length, second.peers.length]).toEqual([6, 2]);
    // What was known of them is known still.
    expect(bed.upstreams.status()[0]).toMatchObject({ total: 6, reachable: true });
  });
});

describe("--check", () => {
  test("a server is down after so many failures, and up after so many successes", async () => {
    const [first, second] = await servers(2);
    if (first === undefined || second === undefined) throw new Error("Two servers");
    const bed = stack.use(
      await Bed.open({ upstreams: [at(first), at(second)], config: { check: 2000, rise: 2, fall: 3 } }),
    );
    let checks = 0;
    /** Two seconds later. */
    const check = async () => {
      bed.pass(2000);
      await bed.gate.lookAtUpstreams(bed.nowMs());
      const done = ++checks;
      await until("the checks", () => second.peers.length === done && second.open === 0);
    };
    const states = () => bed.upstreams.status().map(({ reachable }) => reachable);
    await check();
    expect(states()).toEqual([true, true]);
    expect(first.peers).toHaveLength(1);
    // Not before its time.
    await bed.gate.lookAtUpstreams(bed.nowMs());
    const { port } = first;
    await first[Symbol.asyncDispose]();
    await check();
    await check();
    expect([states(), bed.upstreams.status()[0]?.error]).toEqual([[true, true], "ECONNREFUSED"]);
    await check();
    expect(states()).toEqual([false, true]);
    const back = stack.use(await Server.open(polite, port));
    await check();
    expect(states()).toEqual([false, true]);
    await check();
    expect(states()).toEqual([true, true]);
    expect(back.peers).toHaveLength(2);
    expect(bed.changes.map(({ address, reachable }) => [address, reachable])).toEqual([
      [`${host}:${port}`, true],
      [`${host}:${second.port}`, true],
      [`${host}:${port}`, false],
      [`${host}:${port}`, true],
    ]);
    expect(bed.gateLog.filter((line) => line.startsWith("Upstream"))).toHaveLength(4);
  });

  test("clients' connections count as well, and save checks", async () => {
    const [second] = await servers(1);
    if (second === undefined) throw new Error("A server");
    const port = await freePort();
    const gone = await Server.open(polite, port);
    const bed = stack.use(
      await Bed.open({ upstreams: [{ host, port }, at(second)], config: { check: 2000, rise: 1, fall: 2 } }),
    );
    await friend(bed);
    await gone[Symbol.asyncDispose]();
    await friend(bed);
    expect(bed.upstreams.status()[0]?.reachable).toBe(true);
    await friend(bed);
    expect(bed.upstreams.status()[0]).toMatchObject({ reachable: false, failed: 2 });
    // Now it is not tried any more.
    await friend(bed);
    expect(bed.upstreams.status()[0]?.failed).toBe(2);
    await bed.gate.lookAtUpstreams(bed.nowMs());
    expect(second.peers).toHaveLength(3);
  });
});

/** Without a gate, and with names that the test decides on. */
function named(options: Pick<UpstreamsOptions, "servers"> & Partial<UpstreamsOptions>, found: () => readonly string[]) {
  const lines: string[] = [];
  const log = (_level: string, line: string) => void lines.push(line);
  const names = new Names(log, async () => {
    const addresses = found();
    if (addresses.length === 0) throw Object.assign(new Error("not found"), { code: "ENOTFOUND" });
    return addresses;
  });
  const policy = { balance: "failover", sendProxy: "off", rise: 1, fall: 1 } as const;
  const upstreams = new Upstreams({
    policy,
    dial: runtime.dial,
    names,
    log,
    isOwn: () => false,
    failed() {},
    changed() {},
    ...options,
  });
  return { lines, upstreams };
}

describe("a name", () => {
  test("that leads elsewhere is followed, the old connection goes on, and a failure keeps what was known", async () => {
    const port = await freePort();
    const here: Peer[] = [];
    const there: Peer[] = [];
    const listen = async (address: string, peers: Peer[]) => {
      const server = createServer({ allowHalfOpen: true }, (socket) => void socket.on("error", () => {}));
      server.on("connection", (socket) => void peers.push(socket as never));
      await new Promise<void>((resolve) => server.listen(port, address, resolve));
      stack.defer(() => void server.close());
    };
    await listen("127.0.0.2", here);
    await listen("127.0.0.3", there);
    let addresses: readonly string[] = ["127.0.0.2"];
    const { upstreams, lines } = named({ servers: [{ host: "app.example", port }] }, () => addresses);
    const old = await opened(upstreams, silentEvents);
    await until("the first", () => here.length === 1);
    await upstreams.resolve();
    expect(upstreams.status()[0]).toMatchObject({ resolved: "127.0.0.2", unresolved: undefined });

    addresses = ["127.0.0.3", "127.0.0.4"];
    await upstreams.resolve();
    const next = await opened(upstreams, silentEvents);
    await until("the second", () => there.length === 1);
    expect(lines).toEqual([
      `Upstream app.example:${port} is at 127.0.0.3 now, no more at 127.0.0.2; open connections go on`,
    ]);
    expect(upstreams.status()[0]).toMatchObject({ active: 2, resolved: "127.0.0.3" });
    expect(old?.write(Uint8Array.of(1))).toBe(true);

    addresses = [];
    await upstreams.resolve();
    await upstreams.resolve();
    expect(upstreams.status()[0]).toMatchObject({ resolved: "127.0.0.3", unresolved: "ENOTFOUND", reachable: true });
    const third = await opened(upstreams, silentEvents);
    await until("the third", () => there.length === 2);
    expect(lines.slice(1)).toEqual([
      'Cannot resolve upstream "app.example": ENOTFOUND; check the name or give an address; it goes on with 127.0.0.3, 127.0.0.4',
    ]);
    addresses = ["127.0.0.3"];
    await upstreams.resolve();
    expect(lines.slice(2)).toEqual(['Upstream "app.example" resolves again']);
    for (const socket of [old, next, third]) socket?.reset();
  });
});

describe("a name that leads to the gate itself", () => {
  test("is not connected to there, and another of its addresses is", async () => {
    let arrived = 0;
    const server = createServer((socket) => {
      arrived++;
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.2", resolve));
    stack.defer(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const own = new OwnPort(() => ({ listen: { host: "127.0.0.2", port }, mode: "proxy" }));
    let addresses = ["127.0.0.2"];
    const isOwn = (target: ConnectTarget) => own.isReachedBy(target);
    const { upstreams } = named({ servers: [{ host: "app.example", port }], isOwn }, () => addresses);
    await upstreams.probe(0, 0);
    const error = `the gate itself listens at 127.0.0.2:${port}: name the server's own address`;
    expect(upstreams.status()[0]).toMatchObject({ reachable: false, error });
    expect(arrived).toBe(0);

    const there = createServer((socket) => void socket.on("error", () => {}));
    await new Promise<void>((resolve) => there.listen(port, "127.0.0.3", resolve));
    stack.defer(() => void there.close());
    addresses = ["127.0.0.2", "127.0.0.3"];
    const socket = await opened(upstreams, silentEvents);
    expect(upstreams.status()[0]).toMatchObject({ reachable: true, resolved: "127.0.0.3" });
    socket?.reset();
  });
});

describe("the gate's own port", () => {
  const is = (host: string, listen = "::", mode: "proxy" | "inline" = "proxy", port = 5000) =>
    new OwnPort(() => ({ listen: { host: listen, port: 5000 }, mode })).isReachedBy({ host, port });

  test("is on every address of this host where it listens on all", () => {
    for (const { prefix } of hostAddresses()) expect([prefix.text, is(prefix.text)]).toEqual([prefix.text, true]);
    expect(["127.0.0.9", "0.0.0.0", "::", "0:0::1", "192.0.2.1"].map((host) => is(host))).toEqual([
      ...[true, true, true, true],
      false,
    ]);
    expect(["::1", "127.0.0.1"].map((host) => is(host, "0.0.0.0"))).toEqual([false, true]);
    expect(["127.0.0.1", "127.0.0.2"].map((host) => is(host, "127.0.0.2"))).toEqual([false, true]);
    expect([is("127.0.0.1", "::", "inline"), is("127.0.0.1", "::", "proxy", 5001)]).toEqual([false, false]);
  });
});

describe("a unix socket", () => {
  test("that is not there is said so", async () => {
    const directory = stack.use(new TempDir());
    const { upstreams } = named({ servers: [{ path: directory.file("none") }] }, () => []);
    await upstreams.probe(0, 0);
    expect(upstreams.status()).toMatchObject([
      {
        address: `unix:${directory.file("none")}`,
        reachable: false,
        error: "ENOENT, there is no such socket: start the server, or correct the path",
      },
    ]);
  });
});

describe("what is wanting here", () => {
  const lack = (code: string) => Object.assign(new Error(code), { code });

  test.each(["EMFILE", "ENFILE", "EADDRNOTAVAIL"])(
    "%s takes no upstream down, and is counted and told",
    async (code) => {
      const [server] = await servers(1);
      if (server === undefined) throw new Error("A server");
      let isShort = false;
      const bed = stack.use(
        await Bed.open({
          upstreams: [at(server)],
          dial: (real) => (to, events, dialler) => (isShort ? dialler.failed(lack(code)) : real(to, events, dialler)),
        }),
      );
      await friend(bed);
      isShort = true;
      for (let count = 0; count < 3; count++) {
        const client = await bed.accepted();
        client.send(friendly());
        await until("a reset", () => client.wasReset);
      }
      await bed.upstreams.probe(bed.nowMs(), 0);
      expect(bed.upstreams.status()).toMatchObject([{ reachable: true, failed: 0, error: code }]);
      expect([bed.upstreams.shortage.count, bed.counters.upstreamFailed]).toEqual([4, 3]);
      const told = bed.gateLog.filter((line) => line.includes(code));
      expect(told).toEqual([expect.stringMatching(/^Cannot connect to upstream .*(sysctl|ulimit)/)]);
      expect(bed.upstreams.shortage.fault(bed.nowMs())).toBe(told[0]);
      isShort = false;
      bed.pass(11_000);
      expect(bed.upstreams.shortage.fault(bed.nowMs())).toBeUndefined();
      await friend(bed);
    },
  );
});
