// SPDX-License-Identifier: Apache-2.0
// User space's part of a program that judges by itself: hands it the signatures, for each port, who is never
// banned and how long a ban lasts; fetches what it decided.
import { Buffer } from "node:buffer";
import { type Prefix, requirePrefix } from "../../../core/address.ts";
import { sourceOf } from "../../../core/client.ts";
import type { SignatureTable } from "../../../core/signature/table.ts";
import { type BpfMap, openMap, updateAny } from "../../../kernel/bpf_map.ts";
import { check } from "../../../kernel/errno.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";
import type { Guarded } from "../guarded.ts";
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
  type Judging,
  mayBeBanned,
  neighbourNeverBanned,
  neverBanned,
  readInlineEvent,
  readSince,
  readUndecided,
  signaturesBytes,
  unreadSlot,
  writeInlineSettings,
} from "./inline_layout.ts";
import type { InlineMap } from "./inline_maps.ts";

const enoent = -2;
/** Entries for one system call. */
const undecidedAtOnce = 256;
/** Of a port that is not judged. */
const noSettings = nativeBytes(inlineStructBytes.inline_settings);
const everyIpv4 = requirePrefix("0.0.0.0/0");

/** A port that the program judges, and how. */
export interface InlineGate {
  readonly port: number;
  readonly table: SignatureTable;
  readonly banMs: number;
  readonly bounce: boolean;
  readonly judging: Judging;
  /** What of that which cannot be judged passes; the rest is dropped. */
  readonly passes: readonly HiddenKind[];
}

export interface InlineOptions {
  readonly gates: readonly InlineGate[];
  readonly ipv6PrefixBits: number;
  /** From a program in whose place this one comes. */
  readonly inherited?: Pick<Continued, "since" | "neverBan"> | undefined;
}

export type InlineCounts = Readonly<Record<InlineOutcome, number>>;

/** One port's place in the maps. */
interface Place {
  readonly slot: number;
  table: SignatureTable;
  settings: InlineSettings;
  /** What the program had counted there before this port had it. */
  readonly before: InlineCounts;
  counts: InlineCounts;
}

/** What the program decided about one connection. */
export interface InlineDecision extends Omit<InlineEvent, "owner" | "generation"> {
  /** Of a stranger; undefined: a near miss. */
  readonly protocol: string | undefined;
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
  readonly #guarded: Guarded;
  /** By generation of the table. What the program decided by the one before may still be under way. */
  readonly #protocols: (readonly string[])[] = [];
  /** By port. */
  readonly #places = new Map<number, Place>();
  #unreadCounts: InlineCounts = zeroCounts;
  /** As they were last written. */
  #unreadSettings = noSettings;

  /** @param guarded where each port has its place. */
  constructor(libraries: Libraries, programs: InlinePrograms, guarded: Guarded, options: InlineOptions) {
    this.#libraries = libraries;
    this.#programs = programs;
    this.#guarded = guarded;
    this.#ipv6PrefixBits = options.ipv6PrefixBits;
    this.#settingsMap = openMap(libraries, programs.mapFd("ttgate_inline"));
    this.#tables = openMap(libraries, programs.mapFd("ttgate_tables"));
    this.#never = openMap(libraries, programs.mapFd("ttgate_never_ban"));
    this.#counters = openMap(libraries, programs.mapFd("ttgate_inline_counters"));
    this.#undecided = openMap(libraries, programs.mapFd("ttgate_undecided"));
    this.#welcome = openMap(libraries, programs.mapFd("ttgate_welcome"));
    for (const gate of options.gates) this.open(gate);
    // IPv4 lies in ::/64 as well: what is said of that is not said of IPv4.
    this.#putNever(everyIpv4, mayBeBanned);
    if (options.inherited !== undefined) this.#continue(options.inherited);
  }

  /** From the first packet on that it sees. Ports that were not judged wait for `begin`. */
  #continue({ since, neverBan }: Pick<Continued, "since" | "neverBan">): void {
    this.protect(neverBan);
    for (const [port, place] of this.#places) {
      const begun = since.get(port);
      if (begun !== undefined) this.#write(place, { since: begun });
    }
    this.#writeUnread();
  }

  /**
   * One more port; it is judged after the next `begin`.
   * @param carried what was counted of the gate at another port.
   * @throws Failure when there is no place for it, KernelError
   */
  open({ port, table, banMs, bounce, judging, passes }: InlineGate, carried: InlineCounts = zeroCounts): void {
    const slot = this.#guarded.slotOf(port);
    const settings = { port, banMs, bounce, passes, judging, since: 0n, table: 2 * slot, generation: -1 };
    const before = combined(this.#read(slot), carried, (now, earlier) => now - earlier);
    const place = { slot, table, settings, before, counts: carried };
    this.#places.set(port, place);
    this.#putTable(place, table);
  }

  /** The port is judged no more. @throws KernelError */
  close(port: number): void {
    const place = this.#places.get(port);
    if (place === undefined) return;
    this.#places.delete(port);
    this.#writeTo(place.slot, noSettings);
    this.#writeUnread();
  }

  /**
   * Judges from now on, by what was set. Connections that are open already are left alone: call it when
   * the program sees every packet. @throws KernelError
   */
  begin(): void {
    runOnce(this.#libraries, this.#programs.beginFd);
    for (const place of this.#places.values()) {
      const begun = this.#settingsMap.lookup(indexKey(place.slot));
      this.#write(place, { since: begun === undefined ? 0n : readSince(begun) });
    }
    this.#writeUnread();
  }

  /** A port is judged by other words from now on, from one packet to the next. @throws KernelError */
  change(port: number, { table, ...changes }: Partial<Omit<InlineGate, "port">>): void {
    const place = this.#places.get(port);
    if (place === undefined) return;
    if (table !== undefined && table !== place.table) this.#putTable(place, table);
    this.#write(place, changes);
    this.#writeUnread();
  }

  /** Nobody else is protected from now on. @throws KernelError */
  protect(prefixes: readonly Prefix[]): void {
    const wanted = new Map<string, { readonly prefix: Prefix; readonly value: number }>();
    for (const prefix of prefixes) {
      const network = sourceOf(prefix, this.#ipv6PrefixBits);
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

  /**
   * Puts back settings and signatures that another tool wrote over.
   * @returns false when all was as it should be. @throws KernelError
   */
  restore(): boolean {
    const begun = [...this.#places.values()].filter(({ settings }) => settings.since !== 0n);
    const damaged = begun.filter((place) => !this.#stands(place));
    const isUnread = !isWritten(this.#settingsMap, unreadSlot, this.#unreadSettings);
    for (const place of damaged) {
      this.#writeTable(place.settings.table, place.table);
      this.#write(place, {});
    }
    if (isUnread) this.#writeUnread();
    return damaged.length > 0 || isUnread;
  }

  #stands({ slot, settings, table }: Place): boolean {
    return (
      isWritten(this.#settingsMap, slot, settingsBytes(settings)) &&
      isWritten(this.#tables, settings.table, table.bytes)
    );
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
      const protocol = owner === undefined ? undefined : (this.#protocols[generation]?.[owner] ?? "unknown");
      found.push({ ...decision, protocol });
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

  /** Packets by what became of them, as of the last `count()`; those without a port too. */
  get counts(): InlineCounts {
    return [...this.#places.values()].reduce((sum, { counts }) => combined(sum, counts, add), this.#unreadCounts);
  }

  countsOf(port: number): InlineCounts {
    return this.#places.get(port)?.counts ?? zeroCounts;
  }

  count(): void {
    for (const place of this.#places.values()) {
      place.counts = combined(this.#read(place.slot), place.before, (now, before) => now - before);
    }
    this.#unreadCounts = this.#read(unreadSlot);
  }

  #read(slot: number): InlineCounts {
    const at = slot * inlineOutcomes.length;
    const counted = inlineOutcomes.map((outcome, index) => [outcome, readCounter(this.#counters, at + index).packets]);
    return Object.fromEntries(counted) as InlineCounts;
  }

  /** Into the one of the port's two tables that is not in use. */
  #putTable(place: Place, signatures: SignatureTable): void {
    const { slot, settings } = place;
    const table = 4 * slot + 1 - settings.table;
    this.#writeTable(table, signatures);
    place.table = signatures;
    place.settings = { ...settings, table, generation: this.#protocols.length };
    this.#protocols.push(signatures.protocols);
  }

  #writeTable(index: number, { bytes }: SignatureTable): void {
    const value = nativeBytes(signaturesBytes);
    value.set(bytes);
    check("Write the signatures", this.#tables.update(indexKey(index), value, updateAny));
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

  #write(place: Place, changes: Partial<InlineSettings>): void {
    place.settings = { ...place.settings, ...changes };
    this.#writeTo(place.slot, settingsBytes(place.settings));
  }

  /** Of packets whose port is not read passes what every gate that judges lets pass; one that bans nobody, all. */
  #writeUnread(): void {
    const all = [...this.#places.values()].map(({ settings }) => settings);
    const enforcing = all.filter(({ judging }) => judging === "enforce");
    const [first, ...others] = enforcing.length === 0 ? all : enforcing;
    const passes = first?.passes.filter((kind) => others.every((other) => other.passes.includes(kind))) ?? [];
    this.#unreadSettings = first === undefined ? noSettings : settingsBytes({ ...first, passes, port: 0 });
    this.#writeTo(unreadSlot, this.#unreadSettings);
  }

  #writeTo(slot: number, value: NativeBuffer): void {
    check("Write the inline settings", this.#settingsMap.update(indexKey(slot), value, updateAny));
  }
}

function settingsBytes(settings: InlineSettings): NativeBuffer {
  const value = nativeBytes(inlineStructBytes.inline_settings);
  writeInlineSettings(settings, value);
  return value;
}

/** @param wanted what the value begins with. */
function isWritten(map: BpfMap, index: number, wanted: Uint8Array): boolean {
  const found = map.lookup(indexKey(index));
  return found !== undefined && Buffer.compare(found.subarray(0, wanted.length), wanted) === 0;
}

export const zeroCounts = Object.fromEntries(inlineOutcomes.map((outcome) => [outcome, 0])) as InlineCounts;

function combined(a: InlineCounts, b: InlineCounts, how: (a: number, b: number) => number): InlineCounts {
  return Object.fromEntries(inlineOutcomes.map((outcome) => [outcome, how(a[outcome], b[outcome])])) as InlineCounts;
}

function add(a: number, b: number): number {
  return a + b;
}
