// SPDX-License-Identifier: Apache-2.0
// The bans that stand in one kernel map. Counts them without walking: every change here looks first, and
// a finished walk sets right what other tools did meanwhile. Knows codecs, not what reads the map.
import { nameOf, type Prefix, prefixOf } from "../../../core/address.ts";
import type { EntryTest, FenceEntry, FenceOutcome, FenceRecord } from "../../../core/bans/fence.ts";
import { type BpfMap, mapTypes, updateAny, updateOnlyNew } from "../../../kernel/bpf_map.ts";
import { errnoName } from "../../../kernel/errno.ts";
import type { MapSlice } from "../../../kernel/map_batch.ts";
import { nativeBytes } from "../../../kernel/native_bytes.ts";
import type { NativeBuffer } from "../../../runtime/types.ts";
import type { BanCodec } from "./ban_codec.ts";

/** Entries in one system call: half a millisecond, so that a caller can stop in time. */
const sliceEntries = 512;
const batchEntries = 4096;
/** A full trie is read in some 20 ms: not more often than this. */
const rangesReadMs = 1000;
/** A list is loaded in many calls: this close together they are one load. */
const loadPauseMs = 1000;
/** Fewer at once are no load. */
const loadedAtOnce = 50;
/** The first ones of a load are looked up each: that is cheaper than to look through a map of a million places. */
const lookedUpFirst = 500;
/** Fewer entries than these are read before a load, so that not each of a million is looked up. */
const knownLimit = 4096;

const e2big = -7;
const enospc = -28;

const enforced: FenceOutcome = { kind: "enforced" };
const full: FenceOutcome = { kind: "full" };

export class BanStore {
  /** What the map is called in messages: its path. */
  readonly name: string;
  readonly #map: BpfMap;
  readonly #codec: BanCodec;
  /** An LRU map: the kernel drops entries by itself to make room. */
  readonly evicts: boolean;
  readonly #key: NativeBuffer;
  readonly #value: NativeBuffer;
  readonly #keys: NativeBuffer;
  readonly #values: NativeBuffer;
  #entries = 0;
  #ended = 0;
  /** A walk during which nothing was changed here has counted right. */
  #changes = 0;
  /** Of a trie: the ranges that are in it, since a lookup does not tell a range from a wider one. */
  #ranges = new Set<number | string>();
  #rangesReadMs = Number.NEGATIVE_INFINITY;
  /** What stood here early in a load; undefined before that, and where it is too much to know by heart. */
  #beforeLoad: ReadonlySet<number | string> | undefined;
  #loaded = 0;
  #loadedMs = Number.NEGATIVE_INFINITY;

  constructor(name: string, map: BpfMap, codec: BanCodec) {
    this.name = name;
    this.#map = map;
    this.#codec = codec;
    this.evicts = (mapTypes[map.info.type] ?? "").startsWith("lru");
    this.#key = nativeBytes(codec.keyBytes);
    this.#value = nativeBytes(codec.valueBytes);
    this.#keys = nativeBytes(codec.keyBytes * batchEntries);
    this.#values = nativeBytes(codec.valueBytes * batchEntries);
  }

  get capacity(): number {
    return this.#map.info.maxEntries;
  }

  get entries(): number {
    return this.#entries;
  }

  /** How many entries `records` has taken out so far. */
  get ended(): number {
    return this.#ended;
  }

  get isEmpty(): boolean {
    return this.#map.isEmpty();
  }

  put(entry: FenceEntry): FenceOutcome {
    const there = this.#prepare(entry, this.#key, this.#value, 0, false);
    if (there === "foreign") return enforced;
    if (there === "absent" && this.#wouldEvict(1)) return full;
    const result = this.#map.update(this.#key, this.#value, updateAny);
    if (result === 0 && there === "absent") this.#added(entry.prefix);
    return this.#outcome(result);
  }

  putMany(entries: readonly FenceEntry[]): FenceOutcome[] {
    const outcomes: FenceOutcome[] = [];
    for (let start = 0; start < entries.length; start += batchEntries) {
      this.#putBatch(entries.slice(start, start + batchEntries), outcomes);
    }
    return outcomes;
  }

  #putBatch(entries: readonly FenceEntry[], outcomes: FenceOutcome[]): void {
    // Which entry stands in which place of the batch; the others have their outcome already.
    const written: number[] = [];
    const added: (Prefix | undefined)[] = [];
    let addedCount = 0;
    const base = outcomes.length;
    const before = entries.length < loadedAtOnce ? undefined : this.#knownInLoad(entries.length);
    let index = -1;
    for (const entry of entries) {
      index++;
      const place = written.length;
      const isNew = before !== undefined && (before.size === 0 || !before.has(nameOf(entry.prefix)));
      const there = this.#prepare(entry, this.#keys, this.#values, place, isNew);
      const evicting = there === "absent" && this.#wouldEvict(addedCount + 1);
      outcomes.push(evicting ? full : enforced);
      if (there === "foreign" || evicting) continue;
      written.push(index);
      added.push(there === "absent" ? entry.prefix : undefined);
      if (there === "absent") addedCount++;
    }
    const failures = this.#map.updateMany(this.#keys, this.#values, written.length);
    for (const [place, result] of failures) {
      added[place] = undefined;
      outcomes[base + (written[place] ?? 0)] = this.#outcome(result);
    }
    for (const prefix of added) if (prefix !== undefined) this.#added(prefix);
  }

  /** Writes key and value at a place of the buffers, with the counts of the entry that is there. */
  #prepare(
    entry: FenceEntry,
    keys: NativeBuffer,
    values: NativeBuffer,
    place: number,
    isNew: boolean,
  ): "absent" | "there" | "foreign" {
    const { keyBytes, valueBytes } = this.#codec;
    const keyAt = place * keyBytes;
    const valueAt = place * valueBytes;
    this.#codec.writeKey(entry.prefix, keys, keyAt);
    const found = isNew ? undefined : this.#find(entry.prefix, keys.subarray(keyAt, keyAt + keyBytes));
    if (found === undefined) values.fill(0, valueAt, valueAt + valueBytes);
    else values.set(found, valueAt);
    if (found !== undefined && this.#codec.isForeign(found, 0)) return "foreign";
    this.#codec.writeValue(entry, values, valueAt);
    return found === undefined ? "absent" : "there";
  }

  /**
   * Only for maps whose entries are all of this layout: in the documented one each has to be looked at.
   * An entry that comes twice in one load is counted twice until the next walk has gone round.
   */
  #knownInLoad(count: number): ReadonlySet<number | string> | undefined {
    if (this.#codec.mayBeForeign) return undefined;
    const now = performance.now();
    if (now - this.#loadedMs >= loadPauseMs) {
      this.#loaded = 0;
      this.#beforeLoad = undefined;
    }
    const before = this.#loaded;
    this.#loadedMs = now;
    this.#loaded += count;
    if (before < lookedUpFirst && this.#loaded >= lookedUpFirst) this.#beforeLoad = this.#readPrefixes(knownLimit);
    return this.#beforeLoad;
  }

  /** Undefined when there are more. */
  #readPrefixes(limit: number): Set<number | string> | undefined {
    const prefixes = new Set<number | string>();
    for (const { keys, count } of this.#map.slices(sliceEntries)) {
      for (let index = 0; index < count; index++) {
        prefixes.add(nameOf(prefixOf(this.#codec.keyAt(keys, index * this.#codec.keyBytes))));
      }
      if (prefixes.size > limit) return undefined;
    }
    return prefixes;
  }

  /** A map that evicts never says that it is full: somebody else's ban would end unseen. */
  #wouldEvict(more: number): boolean {
    return this.evicts && this.#entries + more > this.capacity;
  }

  #outcome(result: number): FenceOutcome {
    if (result >= 0) return enforced;
    if (result === e2big || result === enospc) return full;
    return { kind: "failed", message: `Write to map "${this.name}": ${errnoName(-result)}` };
  }

  /** True when the entry was there and could be taken out; a foreign one stays. */
  drop(prefix: Prefix): boolean {
    this.#codec.writeKey(prefix, this.#key, 0);
    if (this.#holdsForeign(this.#key) || !this.#map.delete(this.#key)) return false;
    this.#ranges.delete(nameOf(prefix));
    this.#changed(-1);
    return true;
  }

  #holdsForeign(key: NativeBuffer): boolean {
    if (!this.#codec.mayBeForeign) return false;
    const found = this.#map.lookup(key);
    return found !== undefined && this.#codec.isForeign(found, 0);
  }

  #added(prefix: Prefix): void {
    if (!this.#codec.exactLookup) this.#ranges.add(nameOf(prefix));
    this.#changed(1);
  }

  #changed(by: number): void {
    this.#entries += by;
    if (by !== 0) this.#changes++;
  }

  dropMany(prefixes: readonly Prefix[]): number {
    const { keyBytes } = this.#codec;
    let dropped = 0;
    let filled = 0;
    const flush = () => {
      dropped += this.#map.deleteMany(this.#keys, filled);
      filled = 0;
    };
    for (const prefix of prefixes) {
      const key = this.#keys.subarray(filled * keyBytes, (filled + 1) * keyBytes);
      this.#codec.writeKey(prefix, key, 0);
      if (this.#holdsForeign(key)) continue;
      if (!this.#codec.exactLookup) this.#ranges.delete(nameOf(prefix));
      if (++filled === batchEntries) flush();
    }
    flush();
    this.#changed(-dropped);
    return dropped;
  }

  record(prefix: Prefix): FenceRecord | undefined {
    this.#codec.writeKey(prefix, this.#key, 0);
    const found = this.#find(prefix, this.#key);
    return found === undefined ? undefined : this.#codec.readRecord(prefix, found, 0);
  }

  /** True when an entry covers the prefix, be it a wider one. */
  covers(prefix: Prefix): boolean {
    this.#codec.writeKey(prefix, this.#key, 0);
    return this.#map.lookup(this.#key) !== undefined;
  }

  /** The value of this very prefix. What another tool has put into a trie is noticed once a second. */
  #find(prefix: Prefix, key: NativeBuffer): NativeBuffer | undefined {
    const found = this.#map.lookup(key);
    if (found === undefined || this.#codec.exactLookup || this.#ranges.has(nameOf(prefix))) return found;
    const now = performance.now();
    if (now - this.#rangesReadMs < rangesReadMs) return undefined;
    this.#rangesReadMs = now;
    this.#ranges = this.#readPrefixes(this.capacity) ?? this.#ranges;
    return this.#ranges.has(nameOf(prefix)) ? this.#map.lookup(key) : undefined;
  }

  /**
   * Every entry, a slice at a time. What is over is taken out on the way, whoever wrote it.
   * @param isWanted of the others there is no record.
   */
  *records(nowMs: () => number, isWanted: EntryTest = () => true): Generator<readonly FenceRecord[], void, void> {
    let seen = 0;
    const changes = this.#changes;
    for (const slice of this.#map.slices(sliceEntries)) {
      const { records, gone } = this.#sort(slice, nowMs(), isWanted);
      const deleted = gone === 0 ? 0 : this.#map.deleteMany(this.#keys, gone);
      this.#entries -= deleted;
      this.#ended += deleted;
      seen += slice.count - deleted;
      yield records;
    }
    if (this.#changes === changes) this.#entries = seen;
  }

  /** @returns what stays, and how many keys to delete are in the buffer. */
  #sort(
    { keys, values, count }: MapSlice,
    nowMs: number,
    isWanted: EntryTest,
  ): { readonly records: FenceRecord[]; readonly gone: number } {
    const codec = this.#codec;
    const { keyBytes, valueBytes } = codec;
    const records: FenceRecord[] = [];
    let gone = 0;
    for (let index = 0; index < count; index++) {
      const [keyAt, valueAt] = [index * keyBytes, index * valueBytes];
      const proper = codec.properKey(keys, keyAt);
      const expiresMs = codec.readExpiresMs(values, valueAt);
      if (proper !== undefined) this.#move(proper, values, valueAt);
      else if (expiresMs > nowMs) {
        const key = codec.keyAt(keys, keyAt);
        if (isWanted(key, expiresMs, codec.readPackets(values, valueAt))) {
          records.push(codec.readRecord(prefixOf(key), values, valueAt));
        }
        continue;
      }
      this.#keys.set(keys.subarray(keyAt, keyAt + keyBytes), gone * keyBytes);
      gone++;
    }
    return { records, gone };
  }

  /** Another tool wrote a key that is never looked up: its entry goes where it is found. */
  #move(key: NativeBuffer, values: NativeBuffer, valueAt: number): void {
    this.#value.set(values.subarray(valueAt, valueAt + this.#codec.valueBytes));
    if (this.#map.update(key, this.#value, updateOnlyNew) === 0) this.#changed(1);
  }
}
