// SPDX-License-Identifier: Apache-2.0
// Who can not be banned, by the configuration and by what this host looks like.
import { lookup } from "node:dns/promises";
import type { Config } from "../config/options.ts";
import { parsePrefix, unzoned } from "../core/address.ts";
import { NeverBan, type NeverBanEntry } from "../core/bans/never_ban.ts";
import { messageOf } from "../failure.ts";
import { isLoopback, protectedAddresses, sshPeers } from "../host/addresses.ts";
import type { Log } from "../log.ts";

/** What is known at start: before the first entry of a map is taken up. */
export function neverBanOf(config: Config): NeverBan {
  const automatic = config["never-ban"] === "auto" ? protectedAddresses(config.listen.host) : [];
  const administrators = config["never-ban"] === "auto" && config.scope === "host" ? sshPeers() : [];
  const allowed = config.allow.map((prefix) => ({ prefix, why: "--allow" }));
  return new NeverBan([...allowed, ...automatic, ...administrators, ...upstreamAddresses(config)]);
}

/** Those that need no look-up are protected before the first entry of a map is taken up. */
function upstreamAddresses(config: Config): NeverBanEntry[] {
  if (config["never-ban"] === "none") return [];
  return config.upstream.flatMap(({ host }) => protectedUpstream(config, host, host) ?? []);
}

function protectedUpstream(config: Config, host: string, address: string): NeverBanEntry | undefined {
  const prefix = parsePrefix(unzoned(address));
  const local = isLoopback(address) && isLoopback(config.listen.host);
  return prefix === undefined || local ? undefined : { prefix, why: `upstream ${host}` };
}

/** A name may take a while or not resolve at all: the gate does not wait for it. */
export async function protectUpstreams(config: Config, neverBan: NeverBan, log: Log): Promise<void> {
  for (const { host } of config.upstream) {
    try {
      for (const { address } of await lookup(host, { all: true })) {
        const entry = protectedUpstream(config, host, address);
        if (entry !== undefined) neverBan.add(entry);
      }
    } catch (error) {
      log("warn", `Cannot resolve upstream "${host}": ${messageOf(error)}; check the name or give an address`);
    }
  }
}
