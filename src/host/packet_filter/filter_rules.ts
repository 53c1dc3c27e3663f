// SPDX-License-Identifier: Apache-2.0
// Rules of this host's packet filter that change connections after XDP has seen their packets. Redirects, destination
// NAT and transparent proxying lead to a port, or away from it; SYNPROXY makes the handshake itself, and changes sequence
// numbers from then on. Read by nft and iptables-save where they are installed and allowed; nothing is changed.
import { codeOf, Failure, messageOf } from "../../failure.ts";
import { linesOf } from "../connections.ts";
import { runProgram } from "../program.ts";
import {
  type IptablesRule,
  iptablesDiversions,
  iptablesHandshakeProxies,
  iptablesRedirects,
  parseIptables,
} from "./iptables.ts";
import {
  type NftRule,
  namedSets,
  nftDiversions,
  nftHandshakeProxies,
  nftRedirects,
  parseNft,
  parseSet,
} from "./nft.ts";
import type { Diversion, Guarded, RedirectRule } from "./rule.ts";

/** The rules that change TCP connections; none where a tool is not installed, or does not answer. */
export interface FilterRules {
  readonly nft: readonly NftRule[];
  /** Of iptables-save. */
  readonly ip: readonly IptablesRule[];
  /** Of ip6tables-save. */
  readonly ip6: readonly IptablesRule[];
  /** Why those of the legacy iptables could not be listed, where there are some. */
  readonly unread?: string | undefined;
  /** A tool that is installed did not answer: some may be missing. */
  readonly isPartial?: boolean;
}

type Output = (program: string, args?: readonly string[]) => Promise<string>;

export async function readFilterRules(): Promise<FilterRules> {
  let isPartial = false;
  const output: Output = async (program, args) => {
    try {
      return await printed(program, args);
    } catch (error) {
      if (!(error instanceof Failure && codeOf(error.cause) === "ENOENT")) isPartial = true;
      return "";
    }
  };
  const [nft, ip, ip6, legacy] = await Promise.all([
    readNft(output),
    output("iptables-save"),
    output("ip6tables-save"),
    legacyTables().length > 0 ? readLegacy() : { ip: "", ip6: "", unread: undefined },
  ]);
  const rulesIn = (...texts: readonly string[]) => {
    const all = texts.flatMap(parseIptables);
    // Where iptables is the legacy one, both list the same.
    return [...new Map(all.map((rule) => [rule.line, rule])).values()];
  };
  return {
    nft,
    ip: rulesIn(ip, legacy.ip),
    ip6: rulesIn(ip6, legacy.ip6),
    unread: hasLegacyRedirects() ? legacy.unread : undefined,
    isPartial,
  };
}

/** Of named sets, which may be very long, only those that a rule goes by. */
async function readNft(output: Output): Promise<readonly NftRule[]> {
  const json = await output("nft", ["--json", "--terse", "list", "ruleset"]);
  const rules = parseNft(json);
  const sets = new Map<string, readonly unknown[]>();
  for (const name of new Set(namedSets(rules))) {
    sets.set(name, parseSet(await output("nft", ["--json", "list", "set", ...name.split(" ")])));
  }
  return sets.size === 0 ? rules : parseNft(json, sets);
}

/** Takes CAP_NET_RAW, which a gate gives up. Its rules are listed by it alone. */
async function readLegacy(): Promise<{ ip: string; ip6: string; unread: string | undefined }> {
  try {
    const [ip, ip6] = await Promise.all([printed("iptables-legacy-save"), printed("ip6tables-legacy-save")]);
    return { ip, ip6, unread: undefined };
  } catch (error) {
    return { ip: "", ip6: "", unread: messageOf(error) };
  }
}

/** Tables in which rules may lead connections elsewhere; the kernel tells nobody that these were changed. */
export function hasLegacyRedirects(): boolean {
  return legacyTables().some((table) => table === "nat" || table === "mangle");
}

/** None also where they are not to be read. */
function legacyTables(): readonly string[] {
  return ["/proc/self/net/ip_tables_names", "/proc/self/net/ip6_tables_names"].flatMap(linesOf);
}

/** @throws Failure */
async function printed(program: string, args: readonly string[] = []): Promise<string> {
  let text = "";
  await runProgram(program, args, { onText: (piece) => (text += piece) });
  return text;
}

export function redirectsTo({ nft, ip, ip6 }: FilterRules, port: number): readonly RedirectRule[] {
  return [...nftRedirects(nft, port), ...iptablesRedirects([...ip, ...ip6], port)];
}

export function diversionsFrom(rules: FilterRules, guarded: Guarded): readonly Diversion[] {
  const ofIptables = guarded.families.flatMap((family) => iptablesDiversions(rules[family], guarded));
  return [...nftDiversions(rules.nft, guarded), ...ofIptables];
}

/** Rules by which the packet filter itself answers whoever connects to a guarded port. */
export function handshakeProxies(rules: FilterRules, guarded: Guarded): readonly RedirectRule[] {
  const ofIptables = guarded.families.flatMap((family) => iptablesHandshakeProxies(rules[family], guarded));
  return [...nftHandshakeProxies(rules.nft, guarded), ...ofIptables];
}
