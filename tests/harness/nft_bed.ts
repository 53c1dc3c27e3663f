// SPDX-License-Identifier: Apache-2.0
// A gate that blocks by nftables, with a server behind it, clients beside it, and nft itself to look and to interfere.
import { spawnSync } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Child, inNamespace } from "./child.ts";
import { BlockMap, type GateOptions, RunningGate } from "./gate.ts";
import { ip, Network } from "./netns.ts";
import { probeFrom } from "./probe.ts";
import { startServer } from "./standin.ts";
import type { TempDir } from "./temp_dir.ts";
import { waitFor } from "./wait.ts";

export const nftNeeds = ["namespaces", "executable", { program: "nft" }] as const;

export class NftBed implements AsyncDisposable {
  readonly network = new Network();
  readonly map = new BlockMap();
  readonly table = `ttgate_${this.map.name}`;
  readonly #stack = new AsyncDisposableStack();

  static async open(): Promise<NftBed> {
    const bed = new NftBed();
    bed.#stack.use(bed.network);
    bed.#stack.use(bed.map);
    bed.#stack.use(await startServer(bed.network.gate, "--port", "5001"));
    return bed;
  }

  /** A gate on the bed's map; another one ends with the bed too. */
  async start(args: readonly string[] = [], options: GateOptions = {}): Promise<RunningGate> {
    const { network, map } = this;
    const all = ["-B", map.name, "-i", network.device, ...args];
    return this.#stack.use(await RunningGate.start(all, { namespace: network.gate, ...options }));
  }

  /** Runs nft in the gate's namespace. @throws Error with what it said. */
  nft(...args: readonly string[]): string {
    const [program = "", ...rest] = inNamespace(this.network.gate, ["nft", ...args]);
    const { status, stdout, stderr } = spawnSync(program, rest, { encoding: "utf8", maxBuffer: 2 ** 28 });
    if (status !== 0) throw new Error(`Cannot run "nft ${args.join(" ")}": ${stderr}`);
    return stdout;
  }

  listed(): string {
    return this.nft("list", "table", "inet", this.table);
  }

  async knock(from: string, host = this.network.gateIpv4, port = 5000): Promise<string> {
    return (await probeFrom(this.network.client, { host, port, from, waitMs: 400 })).outcome;
  }

  /** Waits until the kernel drops what a source sends. */
  async closed(from: string, host?: string): Promise<void> {
    await waitFor(`no way in for ${from}`, async () => (await this.knock(from, host)) === "no answer");
  }

  async open(from: string, host?: string): Promise<void> {
    await waitFor(`the way in for ${from}`, async () => (await this.knock(from, host)) === "open");
  }

  /** A tunnel between 10.99.0.1, the gate's end, and 10.99.0.2, whose frames neither XDP nor tc read here. */
  async tunnel(): Promise<string> {
    const script = join(import.meta.dirname, "tun_pair.py");
    const { gate, client } = this.network;
    const pair = this.#stack.use(new Child(["python3", script, gate, "odd0", client, "odd0", ipGreType]));
    await pair.said(/ready/);
    for (const [namespace, address] of [
      [gate, "10.99.0.1/24"],
      [client, "10.99.0.2/24"],
    ] as const) {
      ip("-n", namespace, "address", "add", address, "dev", "odd0");
      ip("-n", namespace, "link", "set", "odd0", "up");
    }
    return "odd0";
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}

/** ARPHRD_IPGRE of linux/if_arp.h. */
const ipGreType = "778";

/** What the gate said that it put right. */
export function mended({ child }: RunningGate): readonly string[] {
  return `${child.stdout}${child.stderr}`.match(/table .* was changed by another tool .*: put right/g) ?? [];
}

export async function readiness(gate: RunningGate) {
  const reply = await gate.fetch("/readyz");
  const { reasons } = (await reply.json()) as { reasons: readonly string[] };
  return { status: reply.status, reasons: reasons.join("; ") };
}

/** Puts a script of this name before the program. @returns the environment in which it is found first. */
export function wrapped(directory: TempDir, script: string): Readonly<Record<string, string>> {
  const path = directory.file("nft");
  writeFileSync(path, `#!/bin/sh\n${script}\nexec ${Bun.which("nft")} "$@"\n`);
  chmodSync(path, 0o755);
  return { PATH: `${directory.path}:${process.env["PATH"]}` };
}
