// SPDX-License-Identifier: Apache-2.0
// Where the names of servers lead, looked up again and again since the resolver tells no time to live. A name
// that cannot be resolved keeps the addresses that it had.
import { lookup } from "node:dns/promises";
import { codeOf, messageOf } from "../failure.ts";
import type { Log } from "../log.ts";

interface Known {
  addresses: readonly string[];
  /** Why the last look-up failed. */
  failure: string | undefined;
}

export type Resolve = (name: string) => Promise<readonly string[]>;

/** Not from a cache: the name may lead elsewhere by now. */
const resolveAll: Resolve = async (name) => (await lookup(name, { all: true })).map(({ address }) => address);

export class Names {
  readonly #log: Log;
  readonly #resolve: Resolve;
  readonly #known = new Map<string, Known>();

  constructor(log: Log, resolve = resolveAll) {
    this.#log = log;
    this.#resolve = resolve;
  }

  /** As they were last found; none for a name that never was. */
  addressesOf(name: string): readonly string[] {
    return this.#known.get(name)?.addresses ?? [];
  }

  /** Why a name could not be resolved when last asked. */
  failureOf(name: string): string | undefined {
    return this.#known.get(name)?.failure;
  }

  /** Looks it up. @returns where it leads; where it led before when that cannot be told. */
  async ask(name: string): Promise<readonly string[]> {
    try {
      const addresses = await this.#resolve(name);
      if (addresses.length === 0) throw new Error("it has no address");
      if (this.failureOf(name) !== undefined) this.#log("info", `Upstream "${name}" resolves again`);
      this.#known.set(name, { addresses, failure: undefined });
      return addresses;
    } catch (error) {
      const before = this.#known.get(name);
      const addresses = before?.addresses ?? [];
      const failure = codeOf(error) ?? messageOf(error);
      this.#known.set(name, { addresses, failure });
      if (before?.failure === undefined) this.#log("warn", unresolved(name, failure, addresses));
      return addresses;
    }
  }
}

function unresolved(name: string, failure: string, addresses: readonly string[]): string {
  const kept = addresses.length === 0 ? "" : `; it goes on with ${addresses.join(", ")}`;
  return `Cannot resolve upstream "${name}": ${failure}; check the name or give an address${kept}`;
}
