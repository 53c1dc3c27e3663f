// SPDX-License-Identifier: Apache-2.0
// What a start begins with: nothing, sockets of the service manager, or everything of the gate that it takes over from.
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import type { StatusAddress } from "../config/endpoints.ts";
import type { Config, GateOptions } from "../config/options.ts";
import type { Prefix } from "../core/address.ts";
import type { Inherited } from "../fences/xdp/inherited.ts";
import { requireFree } from "../gate/listener.ts";
import type { Log } from "../log.ts";
import type { Runtime } from "../runtime/types.ts";
import { activatedListeners, type GivenListeners } from "./activation.ts";
import type { DaemonGates } from "./gates.ts";
import { ServiceManager, serviceManagerAddress } from "./service_manager.ts";
import type { StatusServer } from "./status_server.ts";
import { Successor } from "./takeover/successor.ts";
import type { TableGoal } from "./takeover/table.ts";
import type { Ticker } from "./ticker.ts";

export interface BeginningOptions {
  readonly config: Config;
  readonly runtime: Runtime;
  readonly version: string;
  readonly log: Log;
  readonly takesOver: boolean;
}

/** The gate before closes it with the word that this one serves. */
const statusMs = 2000;
const retryMs = 5;
/** Bans of the gate before are to be here before their sources come again. */
const exchangeMs = 20;

export class Beginning implements Disposable {
  readonly manager: ServiceManager;
  readonly #options: BeginningOptions;
  readonly #successor: Successor | undefined;
  readonly #given: GivenListeners;
  readonly #relays: readonly GateOptions[];
  /** By the gate's name: the socket that listens there already. */
  readonly #descriptors: ReadonlyMap<string, number>;

  /** @throws Failure when what was given does not fit, or the gate before does not hand over. */
  static async find(options: BeginningOptions): Promise<Beginning> {
    const { config, runtime, version, log, takesOver } = options;
    const successor = takesOver ? await Successor.ask(config, runtime, version, log) : undefined;
    try {
      return new Beginning(options, successor);
    } catch (error) {
      successor?.[Symbol.dispose]();
      throw error;
    }
  }

  private constructor(options: BeginningOptions, successor: Successor | undefined) {
    const { config, runtime } = options;
    this.#options = options;
    this.#successor = successor;
    // In inline mode the server listens.
    this.#relays = config.gates.filter(({ mode }) => mode === "proxy");
    this.#given = successor ?? activatedListeners(runtime, { relays: this.#relays, status: config.status });
    const found = this.#relays.map(({ name, listen }) => [name, this.#given.listener(listen)] as const);
    this.#descriptors = new Map(found.flatMap(([name, fd]) => (fd === undefined ? [] : [[name, fd]])));
    this.manager = new ServiceManager(runtime.native, serviceManagerAddress(process.env) ?? successor?.serviceManager);
  }

  /** The pid of the gate before. */
  get replaces(): number | undefined {
    return this.#successor?.pid;
  }

  /** The bans are another process's, not a file's. */
  get isTableTaken(): boolean {
    return this.#successor?.takesTable === true;
  }

  statusListener(address: StatusAddress): number | undefined {
    return this.#given.statusListener(address);
  }

  /** The socket that listens where the gate is to. */
  descriptor({ name }: Pick<GateOptions, "name">): number | undefined {
    return this.#descriptors.get(name);
  }

  /** Before the first kernel object is touched. @throws Failure when a port cannot be had, or the gate before says no. */
  async requirePorts(): Promise<void> {
    for (const gate of this.#relays) {
      if (this.descriptor(gate) === undefined) await requireFree(this.#options.runtime, gate.listen);
    }
    await this.#successor?.mayOpen();
  }

  /** What the kernel's judge goes on from. @param neverBan who is protected from its first packet on. */
  inherited(neverBan: readonly Prefix[]): Inherited | undefined {
    return this.#successor?.inherited(neverBan);
  }

  /** All but accepting is done: from now on the gate before does nothing. @throws Failure */
  async takeTable(goal: TableGoal): Promise<void> {
    await this.#successor?.takeTable(goal);
  }

  /**
   * A gate that takes over accepts when nothing can go wrong any more: what it has accepted nobody can give back. Any
   * other one listens before it gives privileges up.
   */
  async listen(gates: DaemonGates, isLast: boolean): Promise<void> {
    const successor = this.#successor;
    if (isLast !== (successor !== undefined)) return;
    await gates.listen();
    await successor?.serve(gates.relays.map(({ gate }) => gate).filter(({ listenSocket }) => !listenSocket.isWaiting));
    successor?.closeRest();
  }

  /**
   * Where the gate before has the status endpoint, it can only be opened once that one has let go of it; any other
   * address is found taken while there is a way back.
   */
  async openStatus(server: StatusServer, isLast: boolean): Promise<void> {
    if (isLast !== (this.#successor?.isStatusHeld(this.#options.config.status) === true)) return;
    if (!isLast) return server.open();
    for (const endMs = performance.now() + statusMs; performance.now() < endMs; await setTimeout(retryMs)) {
      try {
        return await server.open();
      } catch {
        // Not yet: after that it is tried once a second, and said.
      }
    }
  }

  /** While the gate before goes on with the connections that it has. */
  follow(goal: TableGoal, ticker: Ticker): void {
    const successor = this.#successor;
    if (successor === undefined) return;
    goal.enforcement.follow(successor);
    const run = () => successor.exchange(goal);
    ticker.add({ name: "bans of the gate before", everyMs: exchangeMs, run });
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#successor?.[Symbol.dispose]();
  }
}
