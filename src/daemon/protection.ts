// SPDX-License-Identifier: Apache-2.0
// Who is never banned: by the configuration, and by what this host looks like now. Looked at again and
// again, because addresses, gateways and names change while the gate runs.
import type { Config, GateOptions } from "../config/options.ts";
import { isLoopback, parsePrefix } from "../core/address.ts";
import type { NeverBanEntry } from "../core/bans/never_ban.ts";
import type { Work } from "../core/work.ts";
import { protectedAddresses, resolvers } from "../host/addresses.ts";
import type { Names } from "../host/names.ts";
import { SshSessions } from "../host/ssh_sessions.ts";
import type { NextHops } from "../kernel/next_hops.ts";
import { inTurns } from "../sources/turns.ts";

type ProtectionConfig = Pick<Config, "never-ban" | "scope" | "allow"> & {
  readonly fleet?: Config["fleet"];
  readonly crowdsec?: Config["crowdsec"];
  readonly gates: readonly Pick<GateOptions, "listen" | "upstream" | "accept-proxy">[];
};

/** The kernel's list of all connections may be long: it is not read each second. */
const administratorsMs = 10_000;

/** Of the time: a hundred thousand routes take tenths of a second to read. */
const routesShare = 1 / 20;

export class Protection {
  #config: ProtectionConfig;
  /** Addresses of upstreams that are names, as they were last resolved. */
  readonly #names: Names;
  readonly #sshSessions = new SshSessions();
  #administrators: readonly NeverBanEntry[] = [];
  #administratorsMs = Number.NEGATIVE_INFINITY;
  #gateways: readonly NeverBanEntry[] = [];
  #gatewaysDueMs = Number.NEGATIVE_INFINITY;
  /** As the network was when the gateways were read; undefined: they are to be read again anyway. */
  #gatewaysOf: number | undefined;
  #addresses: { readonly of: number; readonly entries: readonly NeverBanEntry[] } | undefined;
  readonly #networkVersion: () => number;
  readonly #readNextHops: () => Work<NextHops>;

  /** @param networkVersion another number when interfaces, addresses or routes may have changed. */
  constructor(
    config: ProtectionConfig,
    names: Names,
    networkVersion: () => number,
    readNextHops: () => Work<NextHops>,
  ) {
    this.#config = config;
    this.#names = names;
    this.#networkVersion = networkVersion;
    this.#readNextHops = readNextHops;
  }

  reconfigure(config: ProtectionConfig): void {
    this.#config = config;
  }

  /** Everybody who is protected at the moment; names as far as they were resolved, gateways as last read. */
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
      ...this.#hostAddresses(),
      ...this.#gateways,
      ...this.#sshPeers(nowMs),
      ...this.#resolvers(),
      ...upstreams,
      ...this.#engines(),
    ]);
  }

  /** Reads the routes, when it is time for it. @throws KernelError; the gateways that were known stay. */
  async lookAtRoutes(nowMs: number): Promise<void> {
    if (this.#config["never-ban"] !== "auto" || nowMs < this.#gatewaysDueMs) return;
    const version = this.#networkVersion();
    if (version !== this.#gatewaysOf) await inTurns(this.#reading(nowMs, version));
  }

  #hostAddresses(): readonly NeverBanEntry[] {
    const of = this.#networkVersion();
    if (this.#addresses?.of !== of) this.#addresses = { of, entries: protectedAddresses() };
    return this.#addresses.entries;
  }

  *#reading(nowMs: number, version: number): Work<void> {
    const work = this.#readNextHops();
    for (let spentMs = 0; ; ) {
      const startMs = performance.now();
      const step = work.next();
      spentMs += performance.now() - startMs;
      if (step.done === true) {
        const found = step.value.hops.map(({ prefix, interfaceName }) => ({
          prefix,
          why: `gateway of ${interfaceName}`,
        }));
        // Until they were read without a change: all that were seen.
        this.#gateways = step.value.isWhole ? found : unique([...this.#gateways, ...found]);
        this.#gatewaysOf = step.value.isWhole ? version : undefined;
        this.#gatewaysDueMs = nowMs + spentMs / routesShare;
        return;
      }
      yield;
    }
  }

  /**
   * Somebody is logged in on this host by SSH, and asks for a change.
   * @param connection SSH_CONNECTION.
   * @returns true when there may be more entries now.
   */
  loggedIn(connection: string, nowMs: number): boolean {
    if (!this.#sshSessions.vouch(connection) || !this.#reachesSsh()) return false;
    this.#lookForSessions(nowMs);
    return true;
  }

  #lookForSessions(nowMs: number): void {
    this.#administrators = this.#sshSessions.peers(nowMs);
    this.#administratorsMs = nowMs;
  }

  /** A ban of the port that SSH comes by ends a session as one of the whole host does. */
  #reachesSsh(): boolean {
    const { scope, gates } = this.#config;
    const sessions = this.#sshSessions;
    for (const { listen, upstream } of gates) {
      for (const server of upstream) {
        if ("host" in server && isLoopback(server.host)) sessions.relays(listen.port, server.port);
      }
    }
    return scope === "host" || gates.some(({ listen }) => sessions.isPort(listen.port));
  }

  /** A ban would lock an administrator out. */
  #sshPeers(nowMs: number): readonly NeverBanEntry[] {
    if (!this.#reachesSsh()) return [];
    if (nowMs - this.#administratorsMs >= administratorsMs) this.#lookForSessions(nowMs);
    return this.#administrators;
  }

  /** With --scope host a ban drops their answers. */
  #resolvers(): readonly NeverBanEntry[] {
    return this.#config.scope === "host" ? resolvers() : [];
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
