// SPDX-License-Identifier: Apache-2.0
// Who is never banned: by the configuration, and by what this host looks like now. Looked at again and
// again, because addresses, gateways and names change while the gate runs.
import { lookup } from "node:dns/promises";
import type { Config, GateOptions } from "../config/options.ts";
import { isLoopback, parsePrefix, unzoned } from "../core/address.ts";
import type { NeverBanEntry } from "../core/bans/never_ban.ts";
import { messageOf } from "../failure.ts";
import { protectedAddresses, sshPeers } from "../host/addresses.ts";
import type { Log } from "../log.ts";

type ProtectionConfig = Pick<Config, "never-ban" | "scope" | "allow"> & {
  readonly gates: readonly Pick<GateOptions, "listen" | "upstream">[];
};

/** The kernel's list of all connections may be long: it is not read each second. */
const administratorsMs = 10_000;

export class Protection {
  #config: ProtectionConfig;
  readonly #log: Log;
  /** Addresses of upstreams that are names, as they were last resolved. */
  readonly #resolved = new Map<string, readonly string[]>();
  readonly #unresolved = new Set<string>();
  #administrators: readonly NeverBanEntry[] = [];
  #administratorsMs = Number.NEGATIVE_INFINITY;

  constructor(config: ProtectionConfig, log: Log) {
    this.#config = config;
    this.#log = log;
  }

  reconfigure(config: ProtectionConfig): void {
    this.#config = config;
  }

  /** Everybody who is protected at the moment; names as far as they were resolved. */
  entries(nowMs: number): readonly NeverBanEntry[] {
    const { allow, gates } = this.#config;
    const allowed = allow.map((prefix) => ({ prefix, why: "--allow" }));
    if (this.#config["never-ban"] !== "auto") return allowed;
    const upstreams = gates.flatMap(({ listen, upstream }) =>
      upstream.flatMap(({ host }) =>
        [host, ...(this.#resolved.get(host) ?? [])].flatMap(
          (address) => upstreamEntry(host, address, listen.host) ?? [],
        ),
      ),
    );
    const own = [...new Set(gates.map(({ listen }) => listen.host))].flatMap((host) => protectedAddresses(host));
    return unique([...allowed, ...own, ...this.#sshPeers(nowMs), ...upstreams]);
  }

  /** With --scope host a ban would cut an administrator off. */
  #sshPeers(nowMs: number): readonly NeverBanEntry[] {
    if (this.#config.scope !== "host") return [];
    if (nowMs - this.#administratorsMs >= administratorsMs) {
      this.#administrators = sshPeers();
      this.#administratorsMs = nowMs;
    }
    return this.#administrators;
  }

  /** A name may take a while or not resolve at all: nobody waits for it. */
  async resolve(): Promise<void> {
    if (this.#config["never-ban"] !== "auto") return;
    const hosts = new Set(this.#config.gates.flatMap(({ upstream }) => upstream.map(({ host }) => host)));
    for (const host of hosts) {
      if (parsePrefix(unzoned(host)) !== undefined) continue;
      try {
        const found = await lookup(host, { all: true });
        this.#resolved.set(
          host,
          found.map(({ address }) => address),
        );
        this.#unresolved.delete(host);
      } catch (error) {
        // What it was before goes on being protected.
        if (this.#unresolved.has(host)) continue;
        this.#unresolved.add(host);
        this.#log("warn", `Cannot resolve upstream "${host}": ${messageOf(error)}; check the name or give an address`);
      }
    }
  }
}

function upstreamEntry(host: string, address: string, listenHost: string): NeverBanEntry | undefined {
  const prefix = parsePrefix(unzoned(address));
  const local = isLoopback(address) && isLoopback(listenHost);
  return prefix === undefined || local ? undefined : { prefix, why: `upstream ${host}` };
}

/** What several gates protect is said once. */
function unique(entries: readonly NeverBanEntry[]): readonly NeverBanEntry[] {
  return [...new Map(entries.map((entry) => [`${entry.prefix.text} ${entry.why}`, entry])).values()];
}
