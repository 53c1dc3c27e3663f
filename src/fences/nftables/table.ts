// SPDX-License-Identifier: Apache-2.0
// The table in the kernel: written, looked at, and put right when another tool had its hands in it. One nft at a time;
// what comes meanwhile goes into the next one. Whoever puts bans waits for none of it.
import { OneAtATime } from "../../core/one_at_a_time.ts";
import { Failure, messageOf } from "../../failure.ts";
import type { Libc } from "../../kernel/libc.ts";
import type { Log } from "../../log.ts";
import type { Differences, Entries } from "./entries.ts";
import { type Listing, ListingReader } from "./listing.ts";
import { look, stands } from "./look.ts";
import { apply, nft } from "./nft.ts";
import { chainRemoval, elementCommands, family, removal, type Shape, structure } from "./ruleset.ts";

/** A command of so many elements takes about 50 ms, and its text is made in 5. */
const batchSize = 5000;
/** How soon a change by another tool is seen. */
const lookMs = 1000;
/** Listing every element, or every rule of the host, may take this share of one CPU. */
const listingShare = 1 / 20;
const retryMs = 2000;
/** The longest listing of a full table takes some seconds. */
const hangsMs = 15_000;
/** A stop waits no longer for what is under way, and for each that it still has to do. */
const stopMs = 3000;
const lastMs = 5000;

export interface TableParts {
  readonly libc: Libc;
  readonly entries: Entries;
  /** As it is to be. */
  readonly shape: () => Shape;
  /** Told how long a ban took to get into the kernel. */
  readonly onEnforced: (milliseconds: number) => void;
  readonly nowMs: () => number;
  readonly log: Log;
}

export class Table {
  readonly #parts: TableParts;
  readonly #name: string;
  readonly #working = new OneAtATime(() => this.#work());
  #isClosed = false;
  readonly #ending = new AbortController();
  /** Sets, chains and rules have to be written. */
  #isShapeDue = true;
  /** As it was read back after it was written; undefined: not read yet. */
  #fingerprint: string | undefined;
  /** The table is to be taken away first: what is there is in the way. */
  #isAnewDue = false;
  /** How many prefix lengths are in the kernel; they only become more. */
  #writtenSets = 0;
  /** Since it was last found as it should be. */
  #failures = 0;
  #retryAtMs = 0;
  #isProven = false;
  #fault: string | undefined;
  /** What another tool did; said when it is put right. */
  #damage: string | undefined;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #rulesMs = Number.NEGATIVE_INFINITY;
  #rulesTookMs = 0;
  #listedMs = Number.NEGATIVE_INFINITY;
  #listingTookMs = 0;
  #before = { packets: 0, bytes: 0 };
  #read = { packets: 0, bytes: 0 };
  /** Chains of processes that had it. */
  #formerOwners: readonly string[];
  #successor: string | undefined;

  /** @param before what was there: whose it was, and whether its elements are not wanted. */
  constructor(parts: TableParts, before: { readonly owners: readonly string[]; readonly isEmptied: boolean }) {
    this.#parts = parts;
    this.#name = parts.shape().table;
    this.#formerOwners = before.owners;
    this.#isAnewDue = before.isEmptied;
  }

  /** Why it is not as it should be; undefined when it is. */
  get fault(): string | undefined {
    if (this.#successor !== undefined) {
      return `Another gate has taken the nftables table "${this.#name}" over: bans made here are not in it`;
    }
    return this.#fault;
  }

  /** When it was last read back, it was as it was written. */
  get isProven(): boolean {
    return this.fault === undefined && this.#isProven;
  }

  get lookedMs(): number {
    return this.#lookedMs;
  }

  /** Packets that all rules dropped. */
  get dropped(): { readonly packets: number; readonly bytes: number } {
    const { packets, bytes } = this.#read;
    return { packets: this.#before.packets + packets, bytes: this.#before.bytes + bytes };
  }

  /** Ports, interfaces or prefix lengths are others now. */
  reshape(): void {
    this.#isShapeDue = true;
    this.go();
  }

  /** All of it anew, whatever is there. */
  rewrite(): void {
    this.#successor = undefined;
    this.#parts.entries.rewrite(() => false);
    this.reshape();
  }

  /** Goes on with what there is to do; once more when it is at it. */
  go(): void {
    void this.#working.run();
  }

  /** The first writing, waited for; the rest follows by itself. @throws Failure when nft refuses. */
  async begin(): Promise<void> {
    try {
      await this.#write();
    } catch {
      this.#isAnewDue = true;
      await this.#write();
    }
    await this.#look(false);
    this.go();
  }

  /** Touches nothing from here on. @returns when no nft runs any more. */
  async stop(): Promise<void> {
    this.#isClosed = true;
    const late = setTimeout(() => this.#ending.abort(), stopMs);
    await this.#working.idle();
    clearTimeout(late);
  }

  /** @param keep the table goes on without this process. */
  async close(keep: boolean): Promise<void> {
    await this.stop();
    if (this.#successor !== undefined) return;
    const { entries, shape, log } = this.#parts;
    try {
      const { owner, table } = shape();
      while (keep && !entries.isWritten) await this.#write();
      const commands = !keep ? removal(table) : owner === undefined ? [] : [chainRemoval(table, owner)];
      if (commands.length > 0) await apply(this.#parts.libc, commands, { limitMs: lastMs });
    } catch (error) {
      const remedy = keep ? "" : `: remove it with nft delete table ${family} ${this.#name}`;
      log(
        "warn",
        `The nftables table "${this.#name}" cannot be ${keep ? "left" : "removed"} (${messageOf(error)})${remedy}`,
      );
    }
  }

  async #work(): Promise<void> {
    // What is asked for in one go is written in one go.
    await Promise.resolve();
    for (;;) {
      const nowMs = this.#parts.nowMs();
      if (this.#isClosed || nowMs < this.#retryAtMs) return;
      const isMine = this.#successor === undefined;
      const isWriteDue = isMine && (this.#isShapeDue || !this.#parts.entries.isWritten);
      if (!isWriteDue && nowMs - this.#lookedMs < lookMs) return;
      const patience = setTimeout(() => this.#say(`nft has not ended after ${hangsMs / 1000} s`), hangsMs);
      try {
        if (isWriteDue) await this.#write();
        else await this.#look(isMine && nowMs - this.#listedMs >= Math.max(lookMs, this.#listingTookMs / listingShare));
      } catch (error) {
        if (!(error instanceof Failure)) this.#damage ??= "it could not be listed";
        this.#failed(messageOf(error));
      } finally {
        clearTimeout(patience);
      }
    }
  }

  /** The next try writes sets and chains once more, the one after that takes the table away first. */
  #failed(message: string): void {
    this.#failures++;
    this.#isShapeDue = true;
    this.#isAnewDue ||= this.#failures >= 2;
    if (this.#failures < 3) return;
    this.#say(message);
    this.#retryAtMs = this.#parts.nowMs() + retryMs;
  }

  #say(message: string): void {
    const fault = `The nftables table "${this.#name}" cannot be written: ${message}`;
    if (fault !== this.#fault) this.#parts.log("error", `${fault}; user space goes on refusing`);
    this.#fault = fault;
  }

  async #write(): Promise<void> {
    const { libc, entries, shape, onEnforced, nowMs, log } = this.#parts;
    const wanted = shape();
    const isAnew = this.#isAnewDue;
    const isShapeDue = isAnew || this.#isShapeDue || wanted.sets.length !== this.#writtenSets;
    this.#isShapeDue = false;
    if (isAnew) entries.rewrite(() => true);
    const batch = entries.next(batchSize, nowMs());
    try {
      await apply(
        libc,
        [
          ...(isAnew ? removal(wanted.table) : []),
          ...(isShapeDue ? structure(wanted) : []),
          ...(isAnew ? [] : this.#formerOwners.map((chain) => chainRemoval(wanted.table, chain))),
          ...elementCommands(wanted.table, batch.changes, nowMs()),
        ],
        this.#isClosed ? { limitMs: lastMs } : { signal: this.#ending.signal },
      );
    } catch (error) {
      entries.failed(batch);
      this.#isShapeDue ||= isShapeDue;
      throw error;
    }
    this.#isAnewDue = false;
    this.#formerOwners = [];
    if (isShapeDue) {
      this.#writtenSets = wanted.sets.length;
      this.#fingerprint = undefined;
      this.#lookedMs = Number.NEGATIVE_INFINITY;
    }
    for (const milliseconds of entries.settled(batch, nowMs())) onEnforced(milliseconds);
    if (this.#damage === undefined || !entries.isWritten) return;
    log("warn", `The nftables table "${this.#name}" was changed by another tool (${this.#damage}): put right`);
    this.#damage = undefined;
    this.#lookedMs = Number.NEGATIVE_INFINITY;
  }

  /** @param isWhole every element too. */
  async #look(isWhole: boolean): Promise<void> {
    const { entries, nowMs, shape } = this.#parts;
    const startMs = nowMs();
    this.#lookedMs = startMs;
    const { signal } = this.#ending;
    if (!isWhole) {
      const isRecent = this.#isProven && startMs - this.#rulesMs < this.#rulesTookMs / listingShare - lookMs;
      if (isRecent && (await stands(this.#name, signal))) return;
      const listing = await look(this.#name, signal);
      this.#rulesMs = startMs;
      this.#rulesTookMs = nowMs() - startMs;
      this.#compare(listing, shape());
      return;
    }
    const reader = new ListingReader(this.#name, (element) => entries.listed(element, nowMs()));
    this.#listedMs = startMs;
    entries.beginListing(startMs);
    try {
      await nft(["--json", "list", "table", family, this.#name], { onText: (text) => reader.push(text), signal });
    } catch {
      // Most likely it is gone: the next look tells.
      this.#lookedMs = Number.NEGATIVE_INFINITY;
      return;
    }
    const listing = reader.end();
    this.#listingTookMs = nowMs() - startMs;
    if (!this.#compare(listing, shape())) return;
    this.#mend(entries.endListing(nowMs()));
  }

  /** @returns whether the table is as it was written. */
  #compare(listing: Listing, { sets, owner, places, ports }: Shape): boolean {
    const { isThere, fingerprint, rules, isHooked, owners } = listing;
    const other = owners.find((name) => name !== owner);
    if (other !== undefined && owner !== undefined && !owners.includes(owner)) {
      this.#successor = other;
      return false;
    }
    if (this.#successor !== undefined) {
      // It has gone, and left no table or one that is nobody's.
      this.rewrite();
      return false;
    }
    if (listing.packets < this.#read.packets) this.#before = this.dropped;
    this.#read = { packets: listing.packets, bytes: listing.bytes };
    // Nothing can be said of what is about to be written.
    if (this.#isShapeDue || sets.length !== this.#writtenSets) return false;
    const gone = sets.filter((name) => !listing.sets.includes(name));
    const expectedRules = sets.length + (places.length === 0 || ports.length === 0 ? 0 : 1);
    const isWhole = isThere && gone.length === 0 && isHooked && rules === expectedRules;
    if (isWhole && (this.#fingerprint ?? fingerprint) === fingerprint) {
      this.#fingerprint = fingerprint;
      this.#asItShould();
      return true;
    }
    this.#isShapeDue = true;
    this.#isProven = false;
    if (gone.length > 0) this.#parts.entries.rewrite((set) => gone.includes(set));
    const found = !isThere
      ? "it was gone"
      : gone.length > 0
        ? `set ${gone.join(", ")} was gone`
        : "the table or a chain was edited";
    if (this.#fingerprint === undefined) throw new Failure(`what was just written is not what is there: ${found}`);
    this.#damage = found;
    // What was added, or is of another kind, goes with the table alone.
    const known = new Set(this.#fingerprint.split("\n"));
    this.#isAnewDue ||= listing.objects.some((object) => !known.has(object));
    return false;
  }

  #asItShould(): void {
    this.#failures = 0;
    this.#isProven = true;
    if (this.#fault !== undefined)
      this.#parts.log("info", `The nftables table "${this.#name}" is as it should be again`);
    this.#fault = undefined;
  }

  #mend({ missing, altered, strange }: Differences): void {
    const told = [
      [missing, "elements were gone"],
      [altered, "elements had another end"],
      [strange, "elements were not ttgate's"],
    ] as const;
    const damage = told.flatMap(([count, text]) => (count > 0 ? [`${count} ${text}`] : []));
    if (damage.length === 0) return;
    this.#damage = damage.join(", ");
    this.#isProven = false;
  }
}
