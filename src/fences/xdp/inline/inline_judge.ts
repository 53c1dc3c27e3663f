// SPDX-License-Identifier: Apache-2.0
// User space's part of a program that judges by itself: hands it the signatures, who is never banned and
// how long a ban lasts; fetches what it decided.
import { isIpv4, type Prefix, prefixFromBytes, requirePrefix } from "../../../core/address.ts";
import type { SignatureTable } from "../../../core/signature/table.ts";
import { type BpfMap, openMap, updateAny } from "../../../kernel/bpf_map.ts";
import { check } from "../../../kernel/errno.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import { type Continued, type HandedMap, handedMaps } from "../inherited.ts";
import { indexKey, readCounter } from "../maps/counters.ts";
import { structBytes, writeCidrKey } from "../maps/layout.ts";
import { runOnce } from "../proof/test_run.ts";
import {
  type HiddenKind,
  type InlineEvent,
  type InlineOutcome,
  type InlineSettings,
  type InlineUndecided,
  inlineOutcomes,
  inlineStructBytes,
  mayBeBanned,
  neighbourNeverBanned,
  neverBanned,
  readInlineEvent,
  readSince,
  readUndecided,
  signaturesBytes,
  writeInlineSettings,
} from "./inline_layout.ts";
import type { InlineMap } from "./inline_maps.ts";

const enoent = -2;
/** Entries for one system call. */
const undecidedAtOnce = 256;
const everyIpv4 = requirePrefix("0.0.0.0/0");

export interface InlineOptions {
  readonly table: SignatureTable;
  readonly banMs: number;
  readonly dryRun: boolean;
  readonly bounce: boolean;
  /** What of that which cannot be judged passes; the rest is dropped. */
  readonly passes: readonly HiddenKind[];
  readonly ipv6PrefixBits: number;
  /** From a program in whose place this one comes. */
  readonly inherited?: Pick<Continued, "since" | "neverBan"> | undefined;
}

/** What the program decided about one connection. */
export interface InlineDecision extends Omit<InlineEvent, "owner" | "generation"> {
  readonly protocol: string;
}

export interface InlinePrograms {
  mapFd(name: InlineMap): number;
  readonly beginFd: number;
}

export class InlineJudge {
  readonly #libraries: Libraries;
  readonly #programs: InlinePrograms;
  readonly #ipv6PrefixBits: number;
  readonly #settingsMap: BpfMap;
  readonly #tables: BpfMap;
  readonly #never: BpfMap;
  readonly #counters: BpfMap;
  readonly #undecided: BpfMap;
  readonly #welcome: BpfMap;
  readonly #event = nativeBytes(inlineStructBytes.inline_event);
  /** What the map of protected prefixes holds, by text. */
  #protected = new Map<string, { readonly prefix: Prefix; readonly value: number }>();
  /** By generation of the table. What the program decided by the one before may still be under way. */
  readonly #protocols: (readonly string[])[] = [];
  readonly #isContinued: boolean;
  #settings: InlineSettings;
  #counts: Readonly<Record<InlineOutcome, number>> = zeroCounts;

  constructor(libraries: Libraries, programs: InlinePrograms, options: InlineOptions) {
    this.#libraries = libraries;
    this.#programs = programs;
    this.#ipv6PrefixBits = options.ipv6PrefixBits;
    this.#settingsMap = openMap(libraries, programs.mapFd("ttgate_inline"));
    this.#tables = openMap(libraries, programs.mapFd("ttgate_tables"));
    this.#never = openMap(libraries, programs.mapFd("ttgate_never_ban"));
    this.#counters = openMap(libraries, programs.mapFd("ttgate_inline_counters"));
    this.#undecided = openMap(libraries, programs.mapFd("ttgate_undecided"));
    this.#welcome = openMap(libraries, programs.mapFd("ttgate_welcome"));
    const { banMs, dryRun, bounce, passes, table, inherited } = options;
    this.#settings = { banMs, dryRun, bounce, passes, since: inherited?.since ?? 0n, table: 0, generation: 0 };
    this.#putTable(table);
    // IPv4 lies in ::/64 as well: what is said of that is not said of IPv4.
    this.#putNever(everyIpv4, mayBeBanned);
    this.#isContinued = inherited !== undefined;
    if (inherited === undefined) return;
    // From the first packet on that it sees.
    this.protect(inherited.neverBan);
    this.#write({});
  }

  /**
   * Judges from now on, by what was set. Connections that are open already are left alone: call it when
   * the program sees every packet. @throws KernelError
   */
  begin(): void {
    if (this.#isContinued) return;
    runOnce(this.#libraries, this.#programs.beginFd);
    const begun = this.#settingsMap.lookup(indexKey(0));
    this.#write({ since: begun === undefined ? 0n : readSince(begun) });
  }

  /** Judges by another table or bans for another time, from one packet to the next. @throws KernelError */
  change({ table, banMs }: { readonly table?: SignatureTable; readonly banMs?: number }): void {
    if (table !== undefined) {
      const { generation, table: current } = this.#settings;
      this.#settings = { ...this.#settings, generation: generation + 1, table: 1 - current };
      this.#putTable(table);
    }
    this.#write(banMs === undefined ? {} : { banMs });
  }

  /** Nobody else is protected from now on. @throws KernelError */
  protect(prefixes: readonly Prefix[]): void {
    const wanted = new Map<string, { readonly prefix: Prefix; readonly value: number }>();
    for (const prefix of prefixes) {
      const network = isIpv4(prefix) ? prefix : prefixFromBytes(prefix.bytes, this.#ipv6PrefixBits);
      if (network.bits < prefix.bits && !wanted.has(network.text)) {
        wanted.set(network.text, { prefix: network, value: neighbourNeverBanned });
      }
      wanted.set(prefix.text, { prefix, value: neverBanned });
    }
    for (const [text, { prefix, value }] of wanted) {
      if (this.#protected.get(text)?.value !== value) this.#putNever(prefix, value);
    }
    for (const [text, { prefix }] of this.#protected) if (!wanted.has(text)) this.#dropNever(prefix);
    this.#protected = wanted;
  }

  /** Descriptors of the maps that a program in this one's place goes on with. */
  handed(): Readonly<Record<HandedMap, number>> {
    const entries = handedMaps.map((name) => [name, this.#programs.mapFd(name)]);
    return Object.fromEntries(entries) as Record<HandedMap, number>;
  }

  /** The map of connections whose first bytes the program saw. */
  get seenFd(): number {
    return this.#programs.mapFd("ttgate_seen");
  }

  /** What was decided since the last call, at most `limit`. */
  decisions(limit: number): InlineDecision[] {
    const { bpf } = this.#libraries;
    const fd = this.#programs.mapFd("ttgate_events");
    const found: InlineDecision[] = [];
    while (found.length < limit) {
      const result = bpf.bpf_map_lookup_and_delete_elem(fd, null, this.#event);
      if (result === enoent) break;
      check("Fetch what the kernel decided", result);
      const { owner, generation, ...decision } = readInlineEvent(this.#event);
      found.push({ ...decision, protocol: this.#protocols[generation]?.[owner] ?? "unknown" });
    }
    return found;
  }

  /** Connections whose first bytes were not enough, and what became of them. */
  *undecided(): Generator<InlineUndecided, void, void> {
    for (const { keys, values, count } of this.#undecided.slices(undecidedAtOnce)) {
      for (let index = 0; index < count; index++) {
        const { stream_key: keyBytes, undecided: valueBytes } = inlineStructBytes;
        const key = keys.subarray(index * keyBytes, (index + 1) * keyBytes);
        yield readUndecided(key, values.subarray(index * valueBytes, (index + 1) * valueBytes));
      }
    }
  }

  /** Whether a connection of this address passed lately. */
  isWelcome(address: Prefix): boolean {
    const key = nativeBytes(16);
    key.set(address.bytes);
    return this.#welcome.lookup(key) !== undefined;
  }

  /** Packets by what became of them, as of the last `count()`. */
  get counts(): Readonly<Record<InlineOutcome, number>> {
    return this.#counts;
  }

  count(): void {
    const counted = inlineOutcomes.map((outcome, index) => [outcome, readCounter(this.#counters, index).packets]);
    this.#counts = Object.fromEntries(counted) as Record<InlineOutcome, number>;
  }

  #putTable({ bytes, protocols }: SignatureTable): void {
    const { table, generation } = this.#settings;
    const value = nativeBytes(signaturesBytes);
    value.set(bytes);
    check("Write the signatures", this.#tables.update(indexKey(table), value, updateAny));
    this.#protocols[generation] = protocols;
  }

  #putNever(prefix: Prefix, value: number): void {
    const key = nativeBytes(structBytes.cidr_key);
    writeCidrKey(prefix, key, 0);
    check(`Protect ${prefix.text} from bans in the kernel`, this.#never.update(key, indexKey(value), updateAny));
  }

  #dropNever(prefix: Prefix): void {
    const key = nativeBytes(structBytes.cidr_key);
    writeCidrKey(prefix, key, 0);
    this.#never.delete(key);
  }

  #write(changes: Partial<InlineSettings>): void {
    this.#settings = { ...this.#settings, ...changes };
    const value = nativeBytes(inlineStructBytes.inline_settings);
    writeInlineSettings(this.#settings, value);
    check("Write the inline settings", this.#settingsMap.update(indexKey(0), value, updateAny));
  }
}

export const zeroCounts = Object.fromEntries(inlineOutcomes.map((outcome) => [outcome, 0])) as Record<
  InlineOutcome,
  number
>;
