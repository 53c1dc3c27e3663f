// SPDX-License-Identifier: Apache-2.0
// A network of its own, a map name of its own, and this process inside the network: the calling thread
// moves into the gate's namespace, so that what the kernel layer does there happens there. All of it is
// put back at the end, pins included.
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { createServer, type Server } from "node:net";
import { resolve } from "node:path";
import process from "node:process";
import { type Prefix, parsePrefix } from "../../src/core/address.ts";
import type { Fence } from "../../src/core/bans/fence.ts";
import { openXdpFence } from "../../src/fences/xdp/open.ts";
import type { XdpFenceOptions } from "../../src/fences/xdp/options.ts";
import type { XdpFence } from "../../src/fences/xdp/xdp_fence.ts";
import { bootClock } from "../../src/kernel/clock.ts";
import { check } from "../../src/kernel/errno.ts";
import { cString } from "../../src/kernel/native_bytes.ts";
import type { Native } from "../../src/runtime/types.ts";
import { Network } from "../harness/netns.ts";
import { Undo } from "../harness/undo.ts";
import { waitFor } from "../harness/wait.ts";

const cloneNewNet = 0x40000000;

export const bpffs = "/sys/fs/bpf";
export const guardedPort = 5000;
export const otherPort = 5001;

/** The map that operators make: IPv4 addresses, seconds. */
export function makeDocumentedMap(path: string): void {
  const geometry = "type hash key 4 value 4 entries 8 name t";
  shell("bpftool", "map", "create", path, ...geometry.split(" "));
}

/** Runs a program and expects it to work. */
export function shell(...argv: readonly string[]): string {
  const [program = "", ...args] = argv;
  const result = spawnSync(program, args, { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`Cannot run "${argv.join(" ")}": ${result.stderr || result.error}`);
  return result.stdout;
}

/** The command line that runs a script of this directory under the runtime that runs this. */
export function script(name: string, ...args: readonly string[]): string[] {
  const path = new URL(name, import.meta.url).pathname;
  const run = process.versions["deno"] === undefined ? [] : ["run", "--no-check", "--allow-all"];
  return [process.execPath, ...run, path, ...args];
}

const root = resolve(new URL("../..", import.meta.url).pathname);
const openClone = "/run/ttgate/clone";

/** Shows the clone ($0) to everybody, also from under a directory that is its owner's alone, and runs "$@" as nobody. */
const asNobody = `
  mount -t tmpfs -o mode=755 tmpfs /run/ttgate
  mkdir /run/ttgate/upper /run/ttgate/work ${openClone}
  mount -t overlay overlay -o "lowerdir=$0,upperdir=/run/ttgate/upper,workdir=/run/ttgate/work" ${openClone}
  cd ${openClone}
  exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"`;

/** Runs a script of this directory as a user without any privilege. @returns what it printed. */
export function runAsNobody(name: string, ...args: readonly string[]): string {
  const command = script(name, ...args).map((word) => word.replace(root, openClone));
  return shell("unshare", "--mount", "--propagation", "private", "--", "bash", "-euc", asNobody, root, ...command);
}

/** Names in the bpf file system that begin so. */
export function pins(prefix: string): string[] {
  return shell("ls", "-1", bpffs)
    .split("\n")
    .filter((name) => name.startsWith(prefix))
    .sort();
}

export function prefix(text: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`Not a prefix: "${text}"`);
  return parsed;
}

/** Moves the calling thread into a network namespace until it is disposed of. */
export function enterNamespace(native: Native, name: string): Disposable {
  const { calls } = native.open("libc.so.6", { open: [["buf", "i32"], "i32"], setns: [["i32", "i32"], "i32"] });
  const before = check("Open this thread's namespace", calls.open(cString("/proc/thread-self/ns/net"), 0));
  const target = check(`Open namespace "${name}"`, calls.open(cString(`/run/netns/${name}`), 0));
  check(`Enter namespace "${name}"`, calls.setns(target, cloneNewNet));
  return {
    [Symbol.dispose]() {
      check("Go back to the namespace before", calls.setns(before, cloneNewNet));
    },
  };
}

export class Sandbox implements AsyncDisposable {
  readonly native: Native;
  readonly network = new Network({ clients: 8 });
  /** Of the map, and the beginning of every pin's name. */
  readonly map = `test_${randomBytes(4).toString("hex")}`;
  readonly nowMs = bootClock();
  readonly log: string[] = [];
  readonly #undo = new Undo();
  readonly #servers: Server[] = [];

  constructor(native: Native) {
    this.native = native;
    this.#undo.push(() => this.network[Symbol.dispose]());
    this.#undo.push(() => {
      for (const name of pins(this.map)) shell("rm", "-rf", `${bpffs}/${name}`);
    });
    const namespace = enterNamespace(native, this.network.gate);
    this.#undo.push(() => namespace[Symbol.dispose]());
  }

  get path(): string {
    return `${bpffs}/${this.map}`;
  }

  defer(step: () => void): void {
    this.#undo.push(step);
  }

  async open(changes: Partial<XdpFenceOptions> = {}): Promise<XdpFence> {
    const fence = await openXdpFence({
      native: this.native,
      map: this.map,
      interfaces: [this.network.device],
      ports: [guardedPort],
      scope: "port",
      ipv6PrefixBits: 64,
      version: "0.0.1",
      nowMs: this.nowMs,
      patienceMs: 0,
      reasons: ["HTTP"],
      log: (level, message) => this.log.push(`${level} ${message}`),
      ...changes,
    });
    this.#undo.push(() => fence.close(true));
    return fence;
  }

  /** What the watch of the map and the fence's tick do twice a second. */
  sweep(fence: Fence, isDone: () => boolean): Promise<boolean> {
    return waitFor("the sweep", () => {
      for (const _ of fence.records());
      fence.tick(this.nowMs());
      return isDone();
    });
  }

  ban(fence: Fence, source: string, forMs = 60_000): void {
    const outcome = fence.put({
      prefix: prefix(source),
      expiresMs: this.nowMs() + forMs,
      reason: "HTTP",
      origin: "sniffer",
    });
    if (outcome.kind !== "enforced") throw new Error(`Ban of ${source}: ${JSON.stringify(outcome)}`);
  }

  /** Listens on both ports, both address families; who connects is closed at once. */
  async listen(): Promise<void> {
    for (const port of [guardedPort, otherPort]) {
      const server = createServer((socket) => socket.destroy());
      this.#servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, "::", resolve);
      });
    }
  }

  /** Whether a connection from this client address comes about, with one more SYN after a second. */
  connects(source: string, port = guardedPort): Promise<boolean> {
    const target = source.includes(":") ? this.network.gateIpv6 : this.network.gateIpv4;
    const client = [`--net=/run/netns/${this.network.client}`, "--", "timeout", "1.25"];
    const nc = spawn("nsenter", [...client, "nc", "-z", "-s", source, target, String(port)], { stdio: "ignore" });
    return new Promise((resolve, reject) => {
      nc.once("error", reject);
      nc.once("exit", (code) => resolve(code === 0));
    });
  }

  /** Datagrams from this client address, about a thousand a second. @returns those that a socket got so far. */
  async flood(source: string): Promise<readonly string[]> {
    const got: string[] = [];
    const socket = createSocket("udp4", (bytes, { address }) => got.push(`${address} ${bytes.length}`));
    this.#undo.push(() => socket.close());
    await new Promise<void>((resolve) => socket.bind(0, this.network.gateIpv4, resolve));
    const program = `
import socket, time
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(("${source}", 0))
while True:
    sender.sendto(b"flood", ("${this.network.gateIpv4}", ${socket.address().port}))
    time.sleep(0.001)`;
    const client = [`--net=/run/netns/${this.network.client}`, "--", "python3", "-c", program];
    const sender = spawn("nsenter", client, { stdio: "ignore" });
    this.#undo.push(() => sender.kill("SIGKILL"));
    return got;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) await new Promise((resolve) => server.close(resolve));
    this.#undo[Symbol.dispose]();
  }
}
