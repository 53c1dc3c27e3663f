// SPDX-License-Identifier: Apache-2.0
// The built executable on loopback before a server of the test's own, and what it must hold when all is over.
import { expect } from "bun:test";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { host, Peer, type Server, until } from "../net/bed.ts";
import { RunningGate } from "./gate.ts";
import { freePort } from "./ports.ts";
import { waitFor } from "./wait.ts";

export class FaultBed implements AsyncDisposable {
  readonly gate: RunningGate;
  readonly port: number;
  readonly #descriptors: number;
  readonly #clients: Peer[] = [];

  private constructor(gate: RunningGate, port: number) {
    this.gate = gate;
    this.port = port;
    this.#descriptors = this.descriptors;
  }

  /** @param upstreams ports on loopback; bans hold there as well. */
  static async open(upstreams: readonly number[], ...args: readonly string[]): Promise<FaultBed> {
    const port = await freePort();
    const servers = upstreams.flatMap((upstream) => ["-u", `${host}:${upstream}`]);
    const flags = ["-l", `${host}:${port}`, ...servers, "--never-ban", "none", "-c", "/dev/null", ...args];
    return new FaultBed(await RunningGate.start(flags), port);
  }

  get descriptors(): number {
    return readdirSync(`/proc/${this.gate.child.pid}/fd`).length;
  }

  async client(from = host): Promise<Peer> {
    const peer = new Peer(connect({ host, port: this.port, localAddress: from, allowHalfOpen: true }));
    this.#clients.push(peer);
    await until("a connection", () => peer.socket.readyState === "open" || peer.errorCode !== undefined);
    return peer;
  }

  /** Nobody is connected, nobody was banned, and no descriptor is left. */
  async expectNothingLeft(timeoutMs?: number): Promise<void> {
    const isOver = ({ connections, upstreams }: Awaited<ReturnType<RunningGate["status"]>>) =>
      connections.active === 0 && upstreams.every(({ active }) => active === 0);
    const { bans } = await this.gate.until("the end of all connections", isOver, timeoutMs);
    expect(bans.total).toBe(0);
    await waitFor(
      `${this.#descriptors} descriptors, ${this.descriptors} there are`,
      () => this.descriptors <= this.#descriptors + statusConnections,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.#clients) socket.destroy();
    await this.gate[Symbol.asyncDispose]();
  }
}

/** The connection of a client; the first one is the gate's own look at its server. */
export function behindClient(server: Server): Promise<Peer> {
  return server.peer(1);
}

/** Those that the test's own questions keep open. */
const statusConnections = 2;
