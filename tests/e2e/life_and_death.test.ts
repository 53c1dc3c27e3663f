// SPDX-License-Identifier: Apache-2.0
// Crash, restart, upgrade, stop: all the while a banned source and a good one send, to sockets that
// listen beside the gate. Nothing of the one may arrive, and everything of the other must.

import { expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, readFileSync } from "node:fs";
import { run } from "../harness/child.ts";
import { BlockMap, bpftool, executable, RunningGate, xdpPrograms } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { startServer } from "../harness/standin.ts";
import { listenForStreams, type Received, type Sent, type Stream, sendStream } from "../harness/stream.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { sleep, waitFor } from "../harness/wait.ts";

setDefaultTimeout(60_000);

const streamPort = 7000;
const timeoutSeconds = 300;

interface Stage {
  readonly network: Network;
  readonly map: BlockMap;
  readonly good: string;
  readonly banned: string;
  readonly start: (options?: {
    readonly args?: readonly string[];
    readonly executable?: string;
  }) => Promise<RunningGate>;
  readonly ban: (gate: RunningGate) => Promise<void>;
  readonly streams: () => Promise<Streams>;
}

class Streams implements AsyncDisposable {
  readonly #stage: { good: string; banned: string };
  readonly #listener: Stream<Received>;
  readonly #good: Stream<Sent>;
  readonly #banned: Stream<Sent>;

  constructor(stage: { good: string; banned: string }, streams: [Stream<Received>, Stream<Sent>, Stream<Sent>]) {
    this.#stage = stage;
    const [listener, good, banned] = streams;
    this.#listener = listener;
    this.#good = good;
    this.#banned = banned;
  }

  /** Ends the streams: nothing of the banned source came through, and nothing of the good one was lost. */
  async expectNothingLostOrLeaked(): Promise<void> {
    const good = await this.#good.stop();
    const banned = await this.#banned.stop();
    const received = await this.#listener.stop();
    expect(good.sent).toBeGreaterThan(500);
    expect(banned.sent).toBeGreaterThan(500);
    expect(received.datagrams).toEqual({ [this.#stage.good]: good.sent });
    expect(Object.keys(received.connections)).toEqual([this.#stage.good]);
    expect(good.outcomes).toEqual({ ended: received.connections[this.#stage.good] ?? 0 });
    expect(Object.keys(banned.outcomes)).toEqual(["no answer"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stream of [this.#good, this.#banned, this.#listener]) await stream[Symbol.asyncDispose]();
  }
}

/** Bans cover the whole host, so that other sockets than the gate's tell what came through. */
async function stage(stack: AsyncDisposableStack): Promise<Stage> {
  const network = stack.use(new Network());
  const map = stack.use(new BlockMap());
  const good = network.clientIpv4(2);
  const banned = network.clientIpv4(3);
  stack.use(await startServer(network.gate, "--port", "5001"));
  return {
    network,
    map,
    good,
    banned,
    start: async ({ args = [], ...options } = {}) => {
      const flags = ["-B", map.name, "-i", network.device, "-t", `${timeoutSeconds}s`, "--scope", "host", ...args];
      return stack.use(await RunningGate.start(flags, { namespace: network.gate, ...options }));
    },
    ban: async (gate) => {
      const argv = ["curl", "-sS", "--max-time", "5", "--interface", banned, `http://${network.gateIpv4}:5000/`];
      await run(argv, { namespace: network.client });
      await gate.banned(banned);
    },
    streams: async () =>
      stack.use(
        new Streams({ good, banned }, [
          await listenForStreams(network.gate, network.gateIpv4, streamPort),
          await sendStream(network.client, good, network.gateIpv4, streamPort),
          await sendStream(network.client, banned, network.gateIpv4, streamPort),
        ]),
      ),
  };
}

/** Ids of the one program on the gate's interface, and of the link that holds it. */
function attached({ gate, device }: Network): { program: number; link: number } {
  const [program = 0, ...others] = xdpPrograms(gate, device);
  expect(others).toEqual([]);
  const links = bpftool(["link", "show"], gate) as { id: number; prog_id: number }[];
  return { program, link: links.find(({ prog_id }) => prog_id === program)?.id ?? 0 };
}

/** A second executable: the same but for the version that it tells. */
function otherVersion(directory: TempDir): string {
  const image = readFileSync(executable);
  const at = image.indexOf("0.1.0+");
  expect(at).toBeGreaterThan(0);
  image.set(new TextEncoder().encode("0.1.9+"), at);
  const path = directory.write("ttgate", image);
  chmodSync(path, 0o755);
  return path;
}

describeWith("namespaces", "executable")("whatever happens to the daemon", () => {
  test("kill -9 neither lifts a ban nor loses a packet, and the next start takes the ban up", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, map, banned, start, ban, streams } = await stage(stack);
    const first = await start();
    await ban(first);
    const until = new Date((await first.ban(banned))?.until ?? 0).getTime();
    const traffic = await streams();
    await sleep(500);
    first.child.signal("SIGKILL");
    expect(await first.child.done()).toMatchObject({ signal: "SIGKILL" });
    const [program] = xdpPrograms(network.gate, network.device);
    expect(program).toBeDefined();
    await sleep(500);

    const second = await start();
    const adopted = await second.banned(banned);
    expect(adopted).toMatchObject({ by: "sniffer", protocol: "http" });
    expect(Math.abs(new Date(adopted.until ?? 0).getTime() - until)).toBeLessThan(1000);
    const { kernel, bans } = await second.until("the adopted entry", (status) => status.kernel.entries === 1);
    expect(kernel).toMatchObject({ attach: "native", failed: 0 });
    expect(bans).toMatchObject({ active: 1, total: 0 });
    expect(xdpPrograms(network.gate, network.device)).not.toEqual([program]);
    await sleep(500);
    await traffic.expectNothingLostOrLeaked();

    // The control: without the gate the same source does get through.
    expect(await second.child.stop()).toMatchObject({ code: 0 });
    expect(map.pins()).toEqual([]);
    const after = await streams();
    await sleep(700);
    await expect(after.expectNothingLostOrLeaked()).rejects.toThrow();
  });

  test("an upgrade swaps the program in place", async () => {
    await using stack = new AsyncDisposableStack();
    using directory = new TempDir();
    const { network, banned, start, ban, streams } = await stage(stack);
    const first = await start({ args: ["--keep"] });
    await ban(first);
    const { version } = await first.status();
    const before = attached(network);
    const traffic = await streams();
    await sleep(300);
    expect(await first.child.stop()).toMatchObject({ code: 0 });
    const second = await start({ executable: otherVersion(directory) });
    expect((await second.status()).version).toBe(version.replace("0.1.0+", "0.1.9+"));
    expect(await second.ban(banned)).toMatchObject({ by: "sniffer" });
    const after = attached(network);
    expect(after.link).toBe(before.link);
    expect(after.program).not.toBe(before.program);
    await sleep(300);
    await traffic.expectNothingLostOrLeaked();
  });

  test("a ban ends on time though nobody is there to end it", async () => {
    await using stack = new AsyncDisposableStack();
    const { network, banned, start, ban } = await stage(stack);
    const gate = await start({ args: ["-t", "3s"] });
    const listener = await startServer(network.gate, "--host", network.gateIpv4, "--port", "6000");
    await using _listener = listener;
    await ban(gate);
    const bannedAt = performance.now();
    gate.child.signal("SIGKILL");
    await gate.child.done();
    const reaches = async () => {
      const argv = ["curl", "-s", "--max-time", "0.3", "--interface", banned, `http://${network.gateIpv4}:6000/`];
      // 28: no answer. Anything else came from the server.
      return (await run(argv, { namespace: network.client })).code !== 28;
    };
    expect(await reaches()).toBe(false);
    await waitFor("the end of the ban", reaches);
    expect((performance.now() - bannedAt) / 1000).toBeWithin(1.5, 8);
  });

  test("the next start takes out what ended meanwhile", async () => {
    await using stack = new AsyncDisposableStack();
    const { map, start, ban } = await stage(stack);
    const first = await start({ args: ["-t", "1s"] });
    await ban(first);
    first.child.signal("SIGKILL");
    await first.child.done();
    await sleep(1500);
    const second = await start();
    await second.until("an empty map", ({ kernel }) => kernel.entries === 0);
    await waitFor("an empty map in bpftool's eyes", () => {
      const entries = bpftool(["map", "dump", "pinned", map.path]) as unknown[];
      return entries.length === 0;
    });
    expect((await second.status()).bans.active).toBe(0);
  });
});
