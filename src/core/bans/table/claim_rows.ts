// SPDX-License-Identifier: Apache-2.0
// Bans in rows: one for each claim, the leading one first, the others linked to it. A row takes 65 bytes, where
// an object with its strings took 350. What is read is a copy: it stays as it is whatever becomes of the row.
import { type Prefix, type PrefixKey, prefixFromWords, sameHead } from "../../address.ts";
import type { Ban, Claim } from "../claim.ts";
import { EvidenceRows } from "./evidence_rows.ts";
import { type Kind, Kinds } from "./kinds.ts";
import { none, offsetOf, rowsInChunk, Slab } from "./slab.ts";

class ClaimColumns {
  readonly words = new Uint32Array(4 * rowsInChunk);
  readonly bits = new Uint8Array(rowsInChunk);
  readonly kind = new Uint32Array(rowsInChunk);
  readonly since = new Float64Array(rowsInChunk);
  readonly until = new Float64Array(rowsInChunk);
  readonly evidence = new Uint32Array(rowsInChunk);
  readonly next = new Uint32Array(rowsInChunk);
  /** Of a leading claim: kept for `Bans`, `PrefixIndex`, `Endings` and `Arrivals`. */
  readonly place = new Uint8Array(rowsInChunk);
  readonly hash = new Uint32Array(rowsInChunk);
  readonly ending = new Uint32Array(rowsInChunk);
  readonly ticket = new Float64Array(rowsInChunk);
  readonly met = new Uint8Array(rowsInChunk);
}

const noOthers: readonly Claim[] = [];

export class ClaimRows {
  readonly #slab = new Slab(() => new ClaimColumns());
  readonly #evidence = new EvidenceRows();
  readonly #kinds = new Kinds();

  /** The columns that a row is in, at `offsetOf(row)`. */
  columns(row: number): ClaimColumns {
    return this.#slab.columns(row);
  }

  /** @returns the row of a new ban. */
  add(ban: Ban): number {
    const row = this.#slab.take();
    const { words, bits } = this.#slab.columns(row);
    const at = 4 * offsetOf(row);
    [words[at], words[at + 1], words[at + 2], words[at + 3]] = ban.prefix.words;
    bits[offsetOf(row)] = ban.prefix.bits;
    this.#write(row, ban, this.#link(ban.others));
    return row;
  }

  /** Other claims of the same ban. */
  replace(row: number, ban: Ban): void {
    this.#clear(row);
    this.#write(row, ban, this.#link(ban.others));
  }

  release(row: number): void {
    this.#clear(row);
    this.#slab.release(row);
  }

  /** @param standsIn the name of its place. */
  read(row: number, standsIn: string | undefined): Ban {
    const { origin, reason, sinceMs, untilMs, evidence, gate, isLocal } = this.#claim(row);
    const [prefix, others] = [this.prefix(row), this.#others(row)];
    return { prefix, origin, reason, sinceMs, untilMs, evidence, gate, isLocal, others, standsIn };
  }

  prefix(row: number): Prefix {
    const { words, bits } = this.#slab.columns(row);
    const at = 4 * offsetOf(row);
    const word = (index: number) => words[at + index] ?? 0;
    return prefixFromWords([word(0), word(1), word(2), word(3)], bits[offsetOf(row)]);
  }

  is(row: number, { words, bits }: PrefixKey): boolean {
    const columns = this.#slab.columns(row);
    const at = 4 * offsetOf(row);
    for (let index = 3; index >= 0; index--) if (columns.words[at + index] !== words[index]) return false;
    return columns.bits[offsetOf(row)] === bits;
  }

  /** Whether its prefix is inside of another, or that one. */
  isWithin(row: number, { words, bits, ipv4 }: Prefix): boolean {
    const columns = this.#slab.columns(row);
    const at = 4 * offsetOf(row);
    if ((columns.bits[offsetOf(row)] ?? 0) < bits || !sameHead(words, columns.words, bits, at)) return false;
    return this.prefix(row).ipv4 === ipv4;
  }

  untilMs(row: number): number {
    return this.#slab.columns(row).until[offsetOf(row)] ?? 0;
  }

  /** Whether a claim that runs is of such a kind: without a copy of anything. */
  hasKind(row: number, nowMs: number, isWanted: (kind: Kind) => boolean): boolean {
    if (isWanted(this.kind(row))) return true;
    for (let next = this.#next(row); next !== none; next = this.#next(next)) {
      if (this.untilMs(next) > nowMs && isWanted(this.kind(next))) return true;
    }
    return false;
  }

  kind(row: number): Kind {
    return this.#kinds.get(this.#slab.columns(row).kind[offsetOf(row)] ?? 0);
  }

  #claim(row: number): Claim {
    const { since, until, evidence } = this.#slab.columns(row);
    const at = offsetOf(row);
    const { origin, reason, gate, isLocal } = this.kind(row);
    const sinceMs = since[at] ?? 0;
    const untilMs = until[at] ?? 0;
    return { origin, reason, sinceMs, untilMs, evidence: this.#evidence.read(evidence[at] ?? none), gate, isLocal };
  }

  #others(row: number): readonly Claim[] {
    let next = this.#next(row);
    if (next === none) return noOthers;
    const others: Claim[] = [];
    for (; next !== none; next = this.#next(next)) others.push(this.#claim(next));
    return others;
  }

  #next(row: number): number {
    return this.#slab.columns(row).next[offsetOf(row)] ?? none;
  }

  #link(others: readonly Claim[]): number {
    return others.reduceRight((next, claim) => {
      const row = this.#slab.take();
      this.#write(row, claim, next);
      return row;
    }, none);
  }

  #write(row: number, claim: Claim, next: number): void {
    const columns = this.#slab.columns(row);
    const at = offsetOf(row);
    columns.evidence[at] = this.#evidence.write(claim.evidence);
    columns.kind[at] = this.#kinds.take(claim);
    columns.since[at] = claim.sinceMs;
    columns.until[at] = claim.untilMs;
    columns.next[at] = next;
  }

  /** Everything but the row itself is given back. */
  #clear(row: number): void {
    const columns = this.#slab.columns(row);
    const at = offsetOf(row);
    const next = columns.next[at] ?? none;
    if (next !== none) this.release(next);
    this.#evidence.release(columns.evidence[at] ?? none);
    this.#kinds.release(columns.kind[at] ?? 0);
  }
}
