// SPDX-License-Identifier: Apache-2.0
// The table that blocks, as commands of libnftables-json(5). Pure. Each prefix length has a hash set of its own,
// whose rule masks the source address: ranges may lie inside one another, and a look-up costs the same however many
// there are. The chain is at the priority "raw", before connection tracking.
import { type Prefix, parsePrefix, prefixFromBytes } from "../../core/address.ts";
import type { Origin } from "../../core/bans/claim.ts";
import type { FenceEntry } from "../../core/bans/fence.ts";
import { reasonHash } from "../../core/bans/reason.ts";
import { bpffsRoot, parseMapPlace } from "../../kernel/bpffs.ts";

export type Command = Readonly<Record<string, unknown>>;

export const family = "inet";
/** What the name of every table begins with. */
export const tablePrefix = "ttgate_";
export const entryChain = "prerouting";
const dropChain = "banned";
/** linux/netfilter_ipv4.h, NF_IP_PRI_RAW: conntrack is at -200. */
export const rawPriority = -300;

/** linux/netfilter/nf_tables.h: 256 with the final zero; enough is left to read. */
const nameLimit = 200;
/** libnftnl/udata.h, NFTNL_UDATA_COMMENT_MAXLEN, with the final zero. */
const commentLimit = 120;

export interface Shape {
  readonly table: string;
  /** Interfaces. */
  readonly places: readonly string[];
  /** Guarded TCP ports; "all": every packet of the source. */
  readonly ports: readonly number[] | "all";
  /** In the order in which they are looked at. */
  readonly sets: readonly string[];
  /** The chain that says whose the table is; undefined: nobody's, who stopped with --keep. */
  readonly owner: string | undefined;
}

/**
 * The table that stands for a block map, so that two gates with two maps do not meet.
 * @throws Failure for a value that can name no map.
 */
export function tableOf(map: string): string {
  const { path } = parseMapPlace(map);
  const name = path.startsWith(`${bpffsRoot}/`) ? path.slice(bpffsRoot.length + 1) : path;
  if (/^\w+$/.test(name) && name.length <= nameLimit) return tablePrefix + name;
  const plain = name.replace(/\W+/g, "_").slice(0, nameLimit);
  return `${tablePrefix}${plain}_${reasonHash(name).toString(16)}`;
}

/** The chain without rules by which a process says that the table is its own. */
export function ownerChain({ pid, ticks, boot }: Owner): string {
  return boot === "" ? `gate_${pid}_${ticks}` : `gate_${pid}_${ticks}_${boot}`;
}

export interface Owner {
  readonly pid: number;
  /** When it was started, since boot; empty where that is not known. */
  readonly ticks: string;
  /** Which boot that was: the beginning of its identity; empty where nobody tells. */
  readonly boot: string;
}

/** @returns undefined for another chain. */
export function ownerOf(chain: string): Owner | undefined {
  const [, pid, ticks = "", boot = ""] = /^gate_(\d+)_(\d*)(?:_([0-9a-f]{8}))?$/.exec(chain) ?? [];
  return pid === undefined ? undefined : { pid: Number(pid), ticks, boot };
}

/** The set that holds a prefix. */
export function setOf({ ipv4, bits }: Pick<Prefix, "ipv4" | "bits">): string {
  return ipv4 ? `ipv4_${bits - 96}` : `ipv6_${bits}`;
}

/** @returns undefined where the set or the value is none of ours. */
export function prefixIn(set: string, value: string): Prefix | undefined {
  const [, ipv4, bits] = /^ipv([46])_(\d{1,3})$/.exec(set) ?? [];
  if (bits === undefined) return undefined;
  const prefix = parsePrefix(ipv4 === "4" && bits === "32" ? value : `${value}/${bits}`);
  return prefix !== undefined && setOf(prefix) === set ? prefix : undefined;
}

/** Who asked, and why, as a person reads it in `nft list table`; and as the next start does. */
function commentOf({ origin, reason }: Pick<FenceEntry, "origin" | "reason">): string {
  return `${origin} ${reason}`.replace(/[^\w :.,/@+-]/g, "_").slice(0, commentLimit);
}

const origins = /^(sniffer|strikes|kernel|operator|server|crowdsec|fail2ban|(list|gate):.+)$/;

/** @param comment of an element, whoever wrote it. */
export function readComment(comment: string | undefined): { readonly origin: Origin; readonly reason: string } {
  const [origin = "", ...reason] = (comment ?? "").split(" ");
  if (!origins.test(origin) || reason.length === 0) return { origin: "map", reason: "unknown" };
  return { origin: origin as Origin, reason: reason.join(" ") };
}

/** Makes table, sets and chains as they are to be. Elements that are there stay, and what was edited is put right. */
export function structure({ table, places, ports, sets, owner }: Shape): Command[] {
  const here = { family, table };
  const chain = (name: string, hook = {}) => ({ add: { chain: { ...here, name, ...hook } } });
  const rule = (name: string, expr: readonly unknown[]) => ({ add: { rule: { ...here, chain: name, expr } } });
  const entry = [
    is({ meta: { key: "iifname" } }, oneOf(places)),
    ...(ports === "all" ? [] : [is({ payload: { protocol: "tcp", field: "dport" } }, oneOf(ports))]),
    { jump: { target: dropChain } },
  ];
  return [
    { add: { table: { family, name: table } } },
    ...sets.map((name) => ({
      add: { set: { ...here, name, type: typeOf(name), flags: ["timeout"], stmt: [{ counter: null }] } },
    })),
    chain(entryChain, { type: "filter", hook: "prerouting", prio: rawPriority, policy: "accept" }),
    chain(dropChain),
    ...(owner === undefined ? [] : [chain(owner)]),
    { flush: { chain: { ...here, name: entryChain } } },
    { flush: { chain: { ...here, name: dropChain } } },
    ...(places.length === 0 || ports.length === 0 ? [] : [rule(entryChain, entry)]),
    ...sets.map((name) => rule(dropChain, [is(maskedSource(name), `@${name}`), { counter: null }, { drop: null }])),
  ];
}

function typeOf(set: string): string {
  return set.startsWith("ipv4") ? "ipv4_addr" : "ipv6_addr";
}

function is(left: unknown, right: unknown): unknown {
  return { match: { op: "==", left, right } };
}

/** As nft itself writes one of a kind. */
function oneOf(values: readonly unknown[]): unknown {
  return values.length === 1 ? values[0] : { set: values };
}

function maskedSource(set: string): unknown {
  const isIpv4 = set.startsWith("ipv4");
  const bits = Number(set.slice(set.indexOf("_") + 1));
  const source = { payload: { protocol: isIpv4 ? "ip" : "ip6", field: "saddr" } };
  if (bits === (isIpv4 ? 32 : 128)) return source;
  const ones = Uint8Array.from({ length: 16 }, (_, index) => (isIpv4 && index < 10 ? 0 : 255));
  const [mask = ""] = prefixFromBytes(ones, isIpv4 ? bits + 96 : bits).text.split("/");
  return { "&": [source, mask] };
}

/** Takes the table away; no error where there is none. */
export function removal(table: string): Command[] {
  return [{ add: { table: { family, name: table } } }, { delete: { table: { family, name: table } } }];
}

/** Takes a chain away, which has to be there. */
export function chainRemoval(table: string, name: string): Command {
  return { delete: { chain: { family, table, name } } };
}

export interface ElementChanges {
  /** Certainly not in the kernel. */
  readonly added: readonly FenceEntry[];
  /** May be there, with another end: kernels before 6.12 keep the end of an element that is added again. */
  readonly replaced: readonly FenceEntry[];
  readonly removed: readonly Prefix[];
}

/** Every element that is to go is added first, since one that is not there any more cannot be deleted. */
export function elementCommands(table: string, changes: ElementChanges, nowMs: number): Command[] {
  const leaving = [...changes.removed, ...changes.replaced.map(({ prefix }) => prefix)];
  const coming = [...changes.added, ...changes.replaced];
  return [
    ...elements("add", table, leaving, (prefix) => prefix, addressIn),
    ...elements("delete", table, leaving, (prefix) => prefix, addressIn),
    ...elements(
      "add",
      table,
      coming,
      ({ prefix }) => prefix,
      (entry) => elementOf(entry, nowMs),
    ),
  ];
}

/** One command for each set. */
function elements<T>(
  verb: "add" | "delete",
  table: string,
  items: readonly T[],
  prefixOf: (item: T) => Prefix,
  element: (item: T) => unknown,
): Command[] {
  const bySet = Map.groupBy(items, (item) => setOf(prefixOf(item)));
  return [...bySet].map(([name, members]) => ({
    [verb]: { element: { family, table, name, elem: members.map(element) } },
  }));
}

function addressIn({ text }: Prefix): string {
  const slash = text.indexOf("/");
  return slash < 0 ? text : text.slice(0, slash);
}

/** Whole seconds are all that nft takes in JSON: never less than the ban has left. */
function elementOf(entry: FenceEntry, nowMs: number): unknown {
  const seconds = Math.max(1, Math.ceil((entry.expiresMs - nowMs) / 1000));
  const timeout = Number.isFinite(entry.expiresMs) ? { timeout: seconds } : {};
  return { elem: { val: addressIn(entry.prefix), ...timeout, comment: commentOf(entry) } };
}
