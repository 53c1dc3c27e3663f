// SPDX-License-Identifier: Apache-2.0
// Who is never banned: by the configuration, and by what this host looks like now. Looked at again and
// again, because addresses, gateways and names change while the gate runs.
import type { Config } from "../config/options.ts";
import { isLoopback, parsePrefix } from "../core/address.ts";
import type { NeverBanEntry } from "../core/bans/never_ban.ts";
import { protectedAddresses, sshPeers } from "../host/addresses.ts";
import type { Names } from "../host/names.ts";

type ProtectionConfig = Pick<Config, "never-ban" | "scope" | "allow" | "accept-proxy" | "upstream">;

/** The kernel's list of all connections may be long: it is not read each second. */
const administratorsMs = 10_000;

export class Protection {
  #config: ProtectionConfig;
  /** Addresses of upstreams that are names, as they were last resolved. */
  readonly #names: Names;
  #administrators: readonly NeverBanEntry[] = [];
  #administratorsMs = Number.NEGATIVE_INFINITY;

  constructor(config: ProtectionConfig, names: Names) {
    this.#config = config;
    this.#names = names;
  }

  reconfigure(config: ProtectionConfig): void {
    this.#config = config;
  }

  /** Everybody who is protected at the moment; names as far as they were resolved. */
  entries(nowMs: number): readonly NeverBanEntry[] {
    const { allow, upstream } = this.#config;
    const allowed = [
      ...allow.map((prefix) => ({ prefix, why: "--allow" })),
      ...this.#config["accept-proxy"].map((prefix) => ({ prefix, why: "--accept-proxy" })),
    ];
    if (this.#config["never-ban"] !== "auto") return allowed;
    const hosts = upstream.flatMap((server) => ("host" in server ? [server.host] : []));
    const upstreams = hosts.flatMap((host) =>
      [host, ...this.#names.addressesOf(host)].flatMap((address) => this.#upstream(host, address) ?? []),
    );
    return [...allowed, ...protectedAddresses(), ...this.#sshPeers(nowMs), ...upstreams];
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

  #upstream(host: string, address: string): NeverBanEntry | undefined {
    const prefix = parsePrefix(address);
    return prefix === undefined || isLoopback(address) ? undefined : { prefix, why: `upstream ${host}` };
  }
}
