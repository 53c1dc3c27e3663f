// SPDX-License-Identifier: Apache-2.0
// What is done when a kernel map is full: where most of 256 neighbours are banned, one prefix in the map
// of ranges stands for all of them, which frees their places. The table keeps every single ban; a fold
// is a matter of the kernel only, and lasts no longer than the neighbours are dense.
import { contains, isIpv4, type Prefix, type PrefixKey, prefixFromBytes } from "../address.ts";
import type { Bans } from "./bans.ts";
import { type Ban, everywhere } from "./claim.ts";
import type { Fence } from "./fence.ts";
import type { NeverBan } from "./never_ban.ts";

/** A neighbourhood is this much shorter than a source: a /24 of IPv4, a /56 of /64s. */
const neighbourhoodBits = 8;
const neighbours = 2 ** neighbourhoodBits;
/** Half of the neighbours: fewer would block more who did nothing than who did. */
const dense = neighbours / 2;
/** A fold is looked at again this long before it ends. */
const renewMs = 2000;
/** Neighbourhoods that were counted and found thin; forgotten together when they are too many. */
const thinLimit = 65_536;
/**
 * Looked at before a neighbourhood is counted: in a full map each of a million strangers may be the first of its own.
 * Where this few of them are banned, all are counted once as many more have come.
 */
const sample = 8;
const fewInSample = 1;
/** Odd, and near the golden ratio of all neighbours: in a sample are neighbours near and far, even and odd. */
const sampleStep = 157;

interface Fold {
  readonly prefix: Prefix;
  readonly expiresMs: number;
}

export class Folding {
  readonly #bans: Bans;
  readonly #neverBan: NeverBan;
  readonly #fence: Fence;
  readonly #folds = new Map<string, Fold>();
  /** How many more bans a neighbourhood needs before it is worth counting again. */
  readonly #thin = new Map<string, number>();
  /** Somebody was let out of here by command: it is not folded again. */
  readonly #barred = new Set<string>();

  constructor(bans: Bans, neverBan: NeverBan, fence: Fence) {
    this.#bans = bans;
    this.#neverBan = neverBan;
    this.#fence = fence;
  }

  get size(): number {
    return this.#folds.size;
  }

  /** The fold that blocks a source or, itself a fold, stands in the kernel. */
  covering(prefix: Prefix): Prefix | undefined {
    if (this.#folds.size === 0) return undefined;
    const own = this.#folds.get(prefix.text);
    return (own ?? this.#folds.get(neighbourhoodOf(prefix, prefix.bits).text))?.prefix;
  }

  /**
   * Folds the neighbourhood of a ban that found the map full.
   * @returns the bans that the fold now stands for; undefined when their neighbourhood is not dense.
   */
  fold(ban: Ban, nowMs: number): readonly Ban[] | undefined {
    if (!this.#bans.isSource(ban.prefix)) return undefined;
    const prefix = neighbourhoodOf(ban.prefix, ban.prefix.bits);
    if (this.#barred.has(prefix.text) || this.#bans.get(prefix) !== undefined || !this.#isWorthCounting(prefix)) {
      return undefined;
    }
    if (this.#looksThin(prefix, ban.prefix.bits, nowMs)) {
      this.#thin.set(prefix.text, sample);
      return undefined;
    }
    const members = this.#membersOf(prefix, ban.prefix.bits, nowMs);
    if (members.length < dense || this.#neverBan.conflict(prefix) !== undefined) {
      this.#thin.set(prefix.text, Math.max(1, dense - members.length));
      return undefined;
    }
    return this.#put(prefix, members) ? members : undefined;
  }

  /**
   * Ends the folds around a prefix and inside it; one that it takes a part out of, for good.
   * @returns the bans that have to stand for themselves again.
   */
  unfold(prefix: Prefix, nowMs: number): readonly Ban[] {
    return this.#touchedBy(prefix).flatMap((fold) => {
      if (prefix.bits >= fold.bits) this.#barred.add(fold.text);
      return this.#end(fold, nowMs);
    });
  }

  #touchedBy(prefix: Prefix): readonly Prefix[] {
    if (this.#folds.size === 0) return [];
    const around = this.covering(prefix);
    if (around !== undefined) return [around];
    if (this.#bans.isSource(prefix)) return [];
    const folds = [...this.#folds.values()].map((fold) => fold.prefix);
    return folds.filter((fold) => contains(prefix, fold) || contains(fold, prefix));
  }

  /** Renews folds that are about to end. @returns the bans of those that are not dense any more. */
  tick(nowMs: number): readonly Ban[] {
    const released: Ban[] = [];
    for (const { prefix, expiresMs } of this.#folds.values()) {
      if (expiresMs > nowMs + renewMs) continue;
      const members = this.#membersOf(prefix, prefix.bits + neighbourhoodBits, nowMs + renewMs);
      if (members.length < dense || !this.#put(prefix, members)) released.push(...this.#end(prefix, nowMs));
    }
    return released;
  }

  #isWorthCounting(prefix: Prefix): boolean {
    const missing = this.#thin.get(prefix.text) ?? 0;
    if (missing <= 1) return true;
    if (this.#thin.size > thinLimit) this.#thin.clear();
    this.#thin.set(prefix.text, missing - 1);
    return false;
  }

  /** It ends when so many of its members have ended that the others are not dense any more. */
  #put(prefix: Prefix, members: readonly Ban[]): boolean {
    const ends = members.map((ban) => everywhere(ban)?.untilMs ?? 0).sort((a, b) => a - b);
    const expiresMs = ends[ends.length - dense] ?? 0;
    if (this.#fence.put({ prefix, expiresMs, reason: foldReason, origin: "map" }).kind !== "enforced") return false;
    this.#folds.set(prefix.text, { prefix, expiresMs });
    return true;
  }

  #end(prefix: Prefix, nowMs: number): readonly Ban[] {
    this.#folds.delete(prefix.text);
    this.#fence.drop(prefix);
    return this.#membersOf(prefix, prefix.bits + neighbourhoodBits, nowMs);
  }

  #looksThin(prefix: Prefix, sourceBits: number, nowMs: number): boolean {
    // Others each time.
    const first = Math.floor(nowMs);
    let found = 0;
    for (let turn = 0; turn < sample; turn++) {
      const key = neighbourAt(prefix, sourceBits, (first + turn * sampleStep) % neighbours);
      if ((this.#bans.fencedUntilMs(key) ?? 0) > nowMs) found++;
    }
    return found <= fewInSample;
  }

  #membersOf(prefix: Prefix, sourceBits: number, nowMs: number): Ban[] {
    const members: Ban[] = [];
    for (let index = 0; index < neighbours; index++) {
      const ban = this.#bans.get(neighbourAt(prefix, sourceBits, index));
      if (ban !== undefined && (everywhere(ban)?.untilMs ?? 0) > nowMs) members.push(ban);
    }
    return members;
  }
}

/** The reason that a fold's entry carries. */
const foldReason = "folded";

function neighbourhoodOf(prefix: Prefix, sourceBits: number): Prefix {
  return prefixFromBytes(prefix.bytes, Math.max(isIpv4(prefix) ? 96 : 0, sourceBits - neighbourhoodBits));
}

/** @param bits of a source; the last eight of them number it among its neighbours, perhaps in two words. */
function neighbourAt({ words }: Prefix, bits: number, index: number): PrefixKey {
  const last = (bits - 1) >> 5;
  const shift = 31 - ((bits - 1) & 31);
  const word = (at: number) => {
    const part = at === last ? index << shift : at === last - 1 && shift > 0 ? index >>> (32 - shift) : 0;
    return ((words[at] ?? 0) | part) >>> 0;
  };
  return { words: [word(0), word(1), word(2), word(3)], bits };
}
