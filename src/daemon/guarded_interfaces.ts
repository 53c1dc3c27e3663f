// SPDX-License-Identifier: Apache-2.0
// The interfaces that the fence is to hold at, as the host is now: those that are named or carry the listen address, and
// those by which connections were seen to come all the same. A host takes packets to any of its addresses by any interface.
import { isJudgedInKernel } from "../config/gates.ts";
import type { Config } from "../config/options.ts";
import type { FenceStatus } from "../core/bans/fence.ts";
import { interfaceNames } from "../host/addresses.ts";
import { isAtRest } from "../kernel/interface_request.ts";
import type { Libc } from "../kernel/libc.ts";
import { guardedInterfaces } from "./open_fence.ts";

export interface GuardedInterfacesParts {
  readonly config: () => Config;
  readonly libc: Libc;
  /** As it was last asked; undefined without a fence. */
  readonly fence: () => FenceStatus | undefined;
  /** Another number when interfaces, addresses or routes may have changed. */
  readonly networkVersion: () => number;
}

export class GuardedInterfaces {
  readonly #parts: GuardedInterfacesParts;
  #names: readonly string[] = [];
  #of: { readonly config: Config; readonly version: number } | undefined;
  /** By which connections came, and that carry no listen address. */
  readonly #cameBy = new Set<string>();

  constructor(parts: GuardedInterfacesParts) {
    this.#parts = parts;
  }

  /** One whose carrier is lost keeps its guard: it would be missing when the carrier is back, and to attach resets cards. */
  now(): readonly string[] {
    const { libc, fence } = this.#parts;
    const names = this.#present();
    const before = (fence()?.places ?? []).filter(({ name }) => !names.includes(name));
    return [...names, ...before.map(({ name }) => name).filter((name) => isAtRest(libc, name))];
  }

  /**
   * A connection came by an interface that is not guarded.
   * @returns true when it is from now on. Not where an operator named others, or has a program of their own read the
   *   map; and where the kernel judges, it would judge what other servers of this host have on the port there.
   */
  cameBy(name: string): boolean {
    const { config, fence } = this.#parts;
    const { interface: named, gates } = config();
    if (fence()?.managedBy !== undefined) return false;
    if (named.length > 0 || gates.some(isJudgedInKernel) || !interfaceNames().includes(name)) return false;
    this.#cameBy.add(name);
    this.#of = undefined;
    return true;
  }

  #present(): readonly string[] {
    const config = this.#parts.config();
    const version = this.#parts.networkVersion();
    if (this.#of?.config !== config || this.#of.version !== version) {
      const there = this.#cameBy.size === 0 || config.interface.length > 0 ? [] : interfaceNames();
      const others = there.filter((name) => this.#cameBy.has(name));
      this.#names = [...new Set([...guardedInterfaces(config), ...others])];
      this.#of = { config, version };
    }
    return this.#names;
  }
}
