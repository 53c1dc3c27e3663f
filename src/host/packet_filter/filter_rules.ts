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
}

type Output = (program: string, args?: readonly string[]) => Promise<string>;

/** Reads them again and again. */
export class FilterReader {
  readonly #tables: () => readonly string[];
  readonly #nft = new Listing<readonly NftRule[]>(readNft, []);
  readonly #ip = new Listing(async (output) => parseIptables(await output("iptables-save")), []);
  readonly #ip6 = new Listing(async (output) => parseIptables(await output("ip6tables-save")), []);
  /** They take CAP_NET_RAW, which a gate gives up. The rules of the legacy iptables are listed by them alone. */
  readonly #legacyIp = new Listing(async (output) => parseIptables(await output("iptables-legacy-save")), []);
  readonly #legacyIp6 = new Listing(async (output) => parseIptables(await output("ip6tables-legacy-save")), []);

  /** @param tables of the legacy iptables. */
  constructor(tables = legacyTables) {
    this.#tables = tables;
  }

  /** A tool that answered before did not when it was asked last: its rules are those of then. */
  get isStale(): boolean {
    return [this.#nft, this.#ip, this.#ip6].some(({ isStale }) => isStale);
  }

  /** @param isChanged false: only those of the legacy iptables may be others than the last time. */
  async read(isChanged = true): Promise<FilterRules> {
    const legacy = [this.#legacyIp, this.#legacyIp6];
    const lists = this.#tables().length > 0;
    const before = textOf(legacy);
    await Promise.all(legacy.map((listing) => (lists ? listing.read() : listing.clear())));
    // What the legacy iptables changed is in the lists of iptables-save too, where that is the legacy one.
    const isElsewhere = legacy.some(({ isMissing }) => isMissing) || textOf(legacy) !== before;
    if (isChanged || isElsewhere) await Promise.all([this.#nft, this.#ip, this.#ip6].map((listing) => listing.read()));
    return {
      nft: this.#nft.rules,
      ip: distinct([...this.#ip.rules, ...this.#legacyIp.rules]),
      ip6: distinct([...this.#ip6.rules, ...this.#legacyIp6.rules]),
      unread: hasRedirects(this.#tables()) ? legacy.find(({ error }) => error !== undefined)?.error : undefined,
    };
  }
}

/** What a tool tells. */
class Listing<Rules> {
  readonly #list: (output: Output) => Promise<Rules>;
  readonly #none: Rules;
  /** Commands that were answered. */
  #answered: ReadonlySet<string> = new Set();
  rules: Rules;
  isStale = false;
  /** The tool is not installed. */
  isMissing = false;
  /** Why not everything was told. */
  error: string | undefined;

  constructor(list: (output: Output) => Promise<Rules>, none: Rules) {
    this.#list = list;
    this.#none = none;
    this.rules = none;
  }

  /** What a command does not tell now, and did before, holds until it does; one that never did tells of no rules. */
  async read(): Promise<void> {
    const answered = new Set<string>();
    this.isStale = false;
    this.isMissing = false;
    this.error = undefined;
    const rules = await this.#list(async (program, args = []) => {
      const command = [program, ...args].join(" ");
      try {
        const text = await printed(program, args);
        answered.add(command);
        return text;
      } catch (error) {
        this.error ??= messageOf(error);
        if (error instanceof Failure && codeOf(error.cause) === "ENOENT") this.isMissing = true;
        else if (this.#answered.has(command)) this.isStale = true;
        return "";
      }
    });
    if (this.isStale) return;
    this.rules = rules;
    this.#answered = answered;
  }

  clear(): void {
    this.rules = this.#none;
    this.#answered = new Set();
    this.isStale = false;
    this.isMissing = false;
    this.error = undefined;
  }
}

function textOf(listings: readonly Listing<readonly IptablesRule[]>[]): string {
  return listings.flatMap(({ rules }) => rules.map(({ line }) => line)).join("\n");
}

/** Where iptables is the legacy one, both list the same. */
function distinct(rules: readonly IptablesRule[]): readonly IptablesRule[] {
  return [...new Map(rules.map((rule) => [rule.line, rule])).values()];
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

/** Tables in which rules may lead connections elsewhere; the kernel tells nobody that these were changed. */
export function hasLegacyRedirects(): boolean {
  return hasRedirects(legacyTables());
}

function hasRedirects(tables: readonly string[]): boolean {
  return tables.some((table) => table === "nat" || table === "mangle");
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
