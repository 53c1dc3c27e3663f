// SPDX-License-Identifier: Apache-2.0
// Compiles load.c, and runs it against a port.
import { Child, run } from "../harness/child.ts";
import { compileC } from "./compile.ts";

export type LoadMode = "pingpong" | "connect" | "download" | "upload" | "hostile" | "banned" | "work" | "loris";

export interface LoadResult {
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  readonly p50Us: number;
  readonly p90Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  /** Packets or connections that were answered, those of the warm-up too. */
  readonly total: number;
  /** Connections that ended though they should not have. */
  readonly failures: number;
  /** The first source address, as a number, that was not used. */
  readonly nextSource: number;
  /** How busy the generator itself was: near 1, it and not the gate is what was measured. */
  readonly cpuShare: number;
}

/** Over a network instead of loopback. */
export interface LoadRoute {
  /** IPv4 or IPv6; of IPv6 each client is in a /64 of its own. */
  readonly server: string;
  /** The first of the addresses that connections come from, and how many there are. */
  readonly firstClient: string;
  readonly clients: number;
}

export interface FloodResult {
  readonly opened: number;
  /** Got through to the server's TCP. */
  readonly connected: number;
}

export class Load {
  readonly #program: string;

  private constructor(program: string) {
    this.#program = program;
  }

  /** @throws Error with what the compiler said. */
  static async compile(directory: string): Promise<Load> {
    return new Load(await compileC("load", directory));
  }

  /** @param namespace network namespace to run in. */
  async serve(port: number, namespace?: string, address = "127.0.0.1"): Promise<Child> {
    const argv = [this.#program, "server", `${port}`, address];
    const server = new Child(argv, namespace === undefined ? {} : { namespace });
    await server.said(/"ready"/);
    return server;
  }

  async measure(
    mode: LoadMode,
    options: {
      readonly port: number;
      readonly connections: number;
      readonly seconds: number;
      readonly firstSource?: number;
      /** Network namespace to run in. */
      readonly namespace?: string;
      readonly route?: LoadRoute;
      /** The only CPU to run on. */
      readonly cpu?: number;
    },
  ): Promise<LoadResult> {
    const { port, connections, seconds, firstSource = 0 } = options;
    const numbers = [port, connections, seconds, firstSource].map(String);
    const pin = options.cpu === undefined ? [] : ["taskset", "-c", `${options.cpu}`];
    const result = await run([...pin, this.#program, mode, ...numbers, ...routeArgs(options.route)], {
      timeoutMs: (seconds + 20) * 1000,
      ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
    });
    if (result.code !== 0) throw new Error(`Cannot measure "${mode}": ${result.stderr}`);
    return JSON.parse(result.stdout);
  }

  /** Hostile connections at a rate, whatever becomes of them; it ends by itself, and says how many there were. */
  flood(options: {
    readonly port: number;
    readonly perSecond: number;
    readonly seconds: number;
    readonly namespace: string;
    readonly route: LoadRoute;
  }): Child {
    const { port, perSecond, seconds, namespace, route } = options;
    const argv = [this.#program, "flood", ...[port, perSecond, seconds, 0].map(String), ...routeArgs(route)];
    return new Child(argv, { namespace });
  }

  /** Opens connections that have each exchanged one packet; they end with the child. */
  async hold(port: number, connections: number): Promise<Child> {
    const holder = new Child([this.#program, "hold", `${port}`, `${connections}`], { holdInput: true });
    await holder.said(/"held":/, 30_000);
    return holder;
  }
}

function routeArgs(route: LoadRoute | undefined): string[] {
  return route === undefined ? [] : [route.server, route.firstClient, `${route.clients}`];
}
