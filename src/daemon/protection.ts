// SPDX-License-Identifier: Apache-2.0
// Who is never banned: by the configuration, and by what this host looks like now. Looked at again and
// again, because addresses, gateways and names change while the gate runs.
import type { Config, GateOptions } from "../config/options.ts";
import { isLoopback, parsePrefix } from "../core/address.ts";
import type { NeverBanEntry } from "../core/bans/never_ban.ts";
import { gateways, protectedAddresses, sshPeers } from "../host/addresses.ts";
import type { Names } from "../host/names.ts";

type ProtectionConfig = Pick<Config, "never-ban" | "scope" | "allow"> & {
  readonly fleet?: Config["fleet"];
  readonly crowdsec?: Config["crowdsec"];
  readonly gates: readonly Pick<GateOptions, "upstream" | "accept-proxy">[];
};

/** The kernel's list of all connections may be long: it is not read each second. */
const administratorsMs = 10_000;

/** Of the time: a hundred thousand routes take a tenth of a second to read. */
const routesShare = 1 / 20;

export class Protection {
  #config: ProtectionConfig;
  /** Addresses of upstreams that are names, as they were last resolved. */
  readonly #names: Names;
  #administrators: readonly NeverBanEntry[] = [];
  #administratorsMs = Number.NEGATIVE_INFINITY;
  #gateways: readonly NeverBanEntry[] = [];
  #gatewaysDueMs = Number.NEGATIVE_INFINITY;

  constructor(config: ProtectionConfig, names: Names) {
    this.#config = config;
    this.#names = names;
  }

  reconfigure(config: ProtectionConfig): void {
    this.#config = config;
  }

  /** Everybody who is protected at the moment; names as far as they were resolved. */
  entries(nowMs: number): readonly NeverBanEntry[] {
    const { allow, gates } = this.#config;
    const allowed = [
      ...allow.map((prefix) => ({ prefix, why: "--allow" })),
      ...gates.flatMap((gate) => gate["accept-proxy"].map((prefix) => ({ prefix, why: "--accept-proxy" }))),
    ];
    if (this.#config["never-ban"] !== "auto") return unique(allowed);
    const upstreams = gates.flatMap(({ upstream }) =>
      upstream.flatMap((server) => ("host" in server ? this.#upstream(server.host) : [])),
    );
    return unique([
      ...allowed,
      ...protectedAddresses(this.#routers(nowMs)),
      ...this.#sshPeers(nowMs),
      ...upstreams,
      ...this.#engines(),
    ]);
  }

  #routers(nowMs: number): readonly NeverBanEntry[] {
    if (nowMs < this.#gatewaysDueMs) return this.#gateways;
    const startMs = performance.now();
    this.#gateways = gateways();
    this.#gatewaysDueMs = nowMs + (performance.now() - startMs) / routesShare;
    return this.#gateways;
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

  /** With --scope host a ban of the fleet's engine, or of CrowdSec, would be the last that is heard of it. */
  #engines(): readonly NeverBanEntry[] {
    const { fleet, crowdsec } = this.#config;
    const engines = (fleet?.nodes ?? []).map(({ host }) => ({ host, why: `fleet's engine ${host}` }));
    const api = crowdsec?.server?.host;
    return [...engines, ...(api === undefined ? [] : [{ host: api, why: `CrowdSec ${api}` }])].flatMap(
      ({ host, why }) => {
        const prefix = isLoopback(host) ? undefined : parsePrefix(host);
        return prefix === undefined ? [] : [{ prefix, why }];
      },
    );
  }

  #upstream(host: string): NeverBanEntry[] {
    return [host, ...this.#names.addressesOf(host)].flatMap((address) => {
      const prefix = parsePrefix(address);
      return prefix === undefined || isLoopback(address) ? [] : [{ prefix, why: `upstream ${host}` }];
    });
  }
}

/** What several gates protect is said once. */
function unique(entries: readonly NeverBanEntry[]): readonly NeverBanEntry[] {
  return [...new Map(entries.map((entry) => [`${entry.prefix.text} ${entry.why}`, entry])).values()];
}
