// SPDX-License-Identifier: Apache-2.0
// One list: looks for a new version when it is time, takes it when it is one, and keeps what it took before when it
// is not. Nothing that goes wrong with a list reaches anything else.
import { createHash, type Hash } from "node:crypto";
import { type BlocklistOptions, shownSource } from "../../config/blocklist.ts";
import type { BanChange, BanFollower } from "../../core/bans/change.ts";
import { Entries } from "../../core/lists/entries.ts";
import { messageOf } from "../../failure.ts";
import type { Log } from "../../log.ts";
import type { LineFailure } from "../answer.ts";
import { type Applied, apply, type Table } from "./application.ts";
import { takeIn } from "./intake.ts";
import { fileVersion, openSupply } from "./supply.ts";
import type { BlocklistView } from "./view.ts";

/** Below that a list may lose what it will. */
const smallList = 20;
/**
 * So often it is read whole, also where its server or its file says that nothing has changed: one that says so for ever
 * would be believed for ever.
 */
const wholeEveryMs = 24 * 3_600_000;
/** A list that could not be had is asked for again sooner than it is due. */
const retryMs = 60_000;

/** One that is being written is not waited for any longer. */
const writtenMostMs = 60_000;
const cut =
  "it ends within a line and was written within a minute, so that more of it may come: end it with a newline, or wait";

const none: Applied = { added: 0, removed: 0, neverBanned: 0, noRoom: 0 };

export interface BlocklistParts extends Table {
  readonly ipv6Bits: number;
  readonly log: Log;
  /** From the request for a list to its last byte. */
  readonly fetchMs?: number;
}

const usualFetchMs = 60_000;

export class Blocklist implements BanFollower {
  #options: BlocklistOptions;
  readonly #parts: BlocklistParts;
  readonly #ending = new AbortController();
  #entries: Entries | undefined;
  /** How many there were before, also in an earlier run. */
  #before: number;
  #version: string | undefined;
  /** Of a file, when it was last looked at: one that is being written is waited for. Null: it never was. */
  #seen: string | undefined | null = null;
  #tried: string | undefined;
  #refused = 0;
  /** Lines of what was just read, where they are to be told. */
  #failures: readonly LineFailure[] = [];
  #applied = none;
  readonly #lifted = new Set<string>();
  #readMs: number | undefined;
  #wholeMs = Number.NEGATIVE_INFINITY;
  /** Of the text that was read last. */
  #digest: string | undefined;
  /** When it became what it is: as it was seen here by nowMs, and as its server or file said, since 1970. */
  #changed: { readonly seenMs: number; readonly saidMs: number | undefined } | undefined;
  /** When this version was read. */
  #versionMs = 0;
  #dueMs = 0;
  /** Reloads so far: what is under way when one comes has to be done again. */
  #reloads = 0;
  #error: string | undefined;
  #running: Promise<void> | undefined;

  /** @param before how many sources are banned by it, from an earlier run. */
  constructor(options: BlocklistOptions, before: number, parts: BlocklistParts) {
    this.#options = options;
    this.#before = before;
    this.#parts = parts;
  }

  get options(): BlocklistOptions {
    return this.#options;
  }

  get origin() {
    return `list:${this.options.name}` as const;
  }

  get error(): string | undefined {
    return this.#error;
  }

  get isBusy(): boolean {
    return this.#running !== undefined;
  }

  view(wallMs: number): BlocklistView {
    const { name, source } = this.options;
    const ageMs = this.#readMs === undefined ? undefined : this.#parts.nowMs() - this.#readMs;
    const unchangedMs = this.#unchangedMs(wallMs);
    const { neverBanned, noRoom } = this.#applied;
    return {
      ...{
        name,
        source: shownSource(source),
        entries: this.#entries?.size ?? this.#before,
        refused: this.#refused,
        neverBanned,
        noRoom,
      },
      lifted: this.#lifted.size,
      readAt: ageMs === undefined ? null : new Date(wallMs - ageMs).toISOString(),
      ageSeconds: ageMs === undefined ? null : ageMs / 1000,
      changedAt: unchangedMs === undefined ? null : new Date(wallMs - unchangedMs).toISOString(),
      unchangedSeconds: unchangedMs === undefined ? null : unchangedMs / 1000,
      error: this.#error ?? null,
    };
  }

  #unchangedMs(wallMs: number): number | undefined {
    if (this.#changed === undefined) return undefined;
    const { seenMs, saidMs = wallMs } = this.#changed;
    return Math.max(this.#parts.nowMs() - seenMs, wallMs - saidMs);
  }

  /** What an operator lifts stays lifted, and so does what another tool takes out of the map. */
  bansChanged(changes: readonly BanChange[]): void {
    for (const change of changes) {
      if (change.kind !== "lift" || (change.by !== "operator" && change.by !== "map")) continue;
      const { ban } = change;
      if ([ban, ...ban.others].some(({ origin }) => origin === this.origin)) this.#lifted.add(ban.prefix.text);
    }
  }

  /** Read anew with its next turn, whatever was tried before. */
  reconfigure(options: BlocklistOptions): void {
    // What was refused of the same version may be taken now.
    if (options.wide !== this.#options.wide) this.#version = undefined;
    this.#options = options;
    this.#reloads++;
    this.#dueMs = 0;
    this.#tried = undefined;
  }

  /** About twice a second. */
  tick(nowMs: number): void {
    if (this.#running !== undefined || this.#ending.signal.aborted) return;
    const file = this.#look();
    const isWaitedFor = file === "written" && nowMs < this.#dueMs + writtenMostMs;
    if (file !== "new" && (nowMs < this.#dueMs || isWaitedFor)) return;
    this.#running = this.#refresh().finally(() => {
      this.#running = undefined;
    });
  }

  /** Nothing of it happens afterwards. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  /** It is no list any more: its claims end. */
  async withdraw(): Promise<number> {
    await this.close();
    const { removed } = await apply(this.#parts, this.#wanted(new Entries()), new AbortController().signal);
    return removed;
  }

  /** Of a file: whether there is another one, which does not change any more, or is being written now. */
  #look(): "new" | "written" | undefined {
    const { source } = this.options;
    if (!source.startsWith("/")) return undefined;
    const before = this.#seen;
    this.#seen = fileVersion(source);
    if (this.#seen === undefined || before === null) return undefined;
    if (this.#seen !== before) return "written";
    return this.#seen !== this.#version && this.#seen !== this.#tried ? "new" : undefined;
  }

  async #refresh(): Promise<void> {
    const { nowMs } = this.#parts;
    const { everyMs } = this.options;
    const reloads = this.#reloads;
    let failure: string | undefined;
    try {
      await this.#read();
    } catch (error) {
      failure = this.#reasonOf(error);
    }
    try {
      // What was taken before is put right, and renewed.
      if (this.#entries !== undefined) {
        this.#sayApplied(await apply(this.#parts, this.#wanted(this.#entries), this.#ending.signal));
      }
    } catch (error) {
      failure ??= this.#reasonOf(error);
    }
    const pauseMs = failure === undefined ? spread(everyMs) : Math.min(everyMs, spread(retryMs));
    this.#dueMs = reloads === this.#reloads ? nowMs() + pauseMs : 0;
    if (!this.#ending.signal.aborted) this.#say(failure);
  }

  /** Takes the next version, if it is one. @throws Error that says why not. */
  async #read(): Promise<void> {
    const { source, wide } = this.options;
    const { ipv6Bits, nowMs } = this.#parts;
    const reloads = this.#reloads;
    if (source.startsWith("/")) this.#tried = fileVersion(source);
    const signal = AbortSignal.any([this.#ending.signal, AbortSignal.timeout(this.#fetchMs)]);
    const known = nowMs() - this.#wholeMs < wholeEveryMs ? this.#version : undefined;
    const supply = await openSupply(source, known, signal);
    if (supply.kind === "unchanged") {
      this.#readMs = nowMs();
      return;
    }
    const hash = createHash("sha256");
    const { entries, refused, failures } = await takeIn(hashed(supply.chunks, hash), { ipv6Bits, wide });
    if (this.#before > 0 && supply.isCut()) throw new Error(cut);
    this.#requireWhole(entries.size);
    this.#entries = entries;
    this.#before = entries.size;
    const digest = hash.digest("base64");
    const isSame = supply.version === this.#version && digest === this.#digest;
    // Not of the same text again, but where other lines of it are refused, since it may be wide now or no more.
    if (digest !== this.#digest || refused !== this.#refused) this.#failures = failures;
    const isCurrent = supply.version.trim() !== "" && reloads === this.#reloads;
    this.#version = isCurrent ? supply.version : undefined;
    this.#refused = refused;
    this.#wholeMs = nowMs();
    this.#noteChange(digest, supply.changedMs);
    this.#readMs = nowMs();
    // Times in a list count from when this version came, and not from when it was read whole once more.
    if (!isSame) this.#versionMs = nowMs();
    for (const lifted of this.#lifted) if (!entries.has(lifted)) this.#lifted.delete(lifted);
  }

  #noteChange(digest: string, saidMs: number | undefined): void {
    if (digest === this.#digest) return;
    // What is the first here may have been there for long.
    this.#changed = { seenMs: this.#parts.nowMs(), saidMs: this.#digest === undefined ? saidMs : undefined };
    this.#digest = digest;
  }

  /** @throws Error when most of it is gone. */
  #requireWhole(size: number): void {
    if (this.options.shrinking || this.#before < smallList || size >= this.#before / 2) return;
    throw new Error(
      `it has ${size} entries and had ${this.#before}: if that is meant, write "shrinking" behind it and reload`,
    );
  }

  #wanted(entries: Entries) {
    return {
      ...{ origin: this.origin, entries, forMs: this.options.forMs, readMs: this.#versionMs },
      isLifted: (source: string) => this.#lifted.has(source),
    };
  }

  get #fetchMs(): number {
    return this.#parts.fetchMs ?? usualFetchMs;
  }

  #reasonOf(error: unknown): string {
    const isLate = error instanceof Error && error.name === "TimeoutError";
    return isLate ? `it did not come within ${this.#fetchMs / 1000} s` : messageOf(error);
  }

  #say(failure: string | undefined): void {
    const { log } = this.#parts;
    const { name, source } = this.options;
    if (failure !== undefined && failure !== this.#error) {
      const holds = this.#before > 0 ? `what it had holds (${this.#before} entries)` : "nothing is banned by it";
      log(
        "warn",
        `Cannot take the list "${name}" from ${shownSource(source)}: ${failure}; ${holds}, and it is tried again`,
      );
    }
    if (failure === undefined && this.#error !== undefined) log("info", `The list "${name}" can be taken again`);
    this.#error = failure;
  }

  #sayApplied(applied: Applied): void {
    const failures = this.#failures;
    this.#failures = [];
    const { log } = this.#parts;
    const { name } = this.options;
    const isNews = applied.added > 0 || applied.removed > 0 || failures.length > 0;
    const isShort = applied.noRoom !== this.#applied.noRoom || applied.neverBanned !== this.#applied.neverBanned;
    this.#applied = applied;
    if (!isNews && !isShort) return;
    const { added, removed, neverBanned, noRoom } = applied;
    const parts = [
      `${this.#entries?.size} entries, ${added} added, ${removed} removed`,
      ...(neverBanned === 0 ? [] : [`${neverBanned} never banned`]),
      ...(noRoom === 0 ? [] : [`${noRoom} without room in the table or the map`]),
      ...(failures.length === 0 ? [] : [`${this.#refused} lines refused, ${failures.map(lineText).join("; ")}`]),
    ];
    const level = failures.length > 0 || noRoom > 0 ? "warn" : "info";
    log(level, `List "${name}": ${parts.join(", ")}`, { list: name, added, removed, refused: this.#refused });
  }
}

async function* hashed(chunks: AsyncIterable<string>, hash: Hash): AsyncGenerator<string> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}

function lineText({ line, message }: LineFailure): string {
  return `line ${line}: ${message}`;
}

/** Not all gates at the same moment. */
function spread(durationMs: number): number {
  return durationMs * (0.9 + Math.random() * 0.2);
}
