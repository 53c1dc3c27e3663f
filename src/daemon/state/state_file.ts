// SPDX-License-Identifier: Apache-2.0
// Keeps the bans in a file, so that they outlive a stop, a restart and a reboot. Changes are appended a few
// times a second; when the file has grown far beyond what it holds, it is written anew beside itself, a slice
// at a time, and takes the old one's place in one step. What cannot be written now is written later, and told.
import {
  chmodSync,
  close,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Bans } from "../../core/bans/bans.ts";
import type { BanChange, BanFollower } from "../../core/bans/change.ts";
import type { Offenders } from "../../core/bans/offenders.ts";
import { OneAtATime } from "../../core/one_at_a_time.ts";
import { codeOf, messageOf } from "../../failure.ts";
import { identityOfOpen, wasRemoved } from "../../host/file_identity.ts";
import { makeDirectory } from "../../host/own_directory.ts";
import type { Log } from "../../log.ts";
import { type Basis, basisLine, basisOf, journalHead, type Moment, stepMs, wallAtBootMs } from "./journal.ts";
import { TableWriter } from "./lines.ts";

export interface StateFileOptions {
  readonly path: string;
  /** Files whose bans are in the table: they go when this one is written. */
  readonly earlier?: readonly string[];
  readonly bans: Bans;
  readonly offenders: Offenders;
  readonly moment: () => Moment;
  readonly log: Log;
}

/** Lines beyond twice what is held, before the file is written anew. */
const slackLines = 10_000;
/** A change that waits for a disk is remembered by its source; more than these are found in the table. */
const waitingLimit = 100_000;
/** To write a million bans in vain takes seconds of CPU and disk: it is tried again after so many times as long. */
const restFactor = 20;

const syncFile = promisify(fsync);
const closeFile = promisify(close);

export class StateFile implements BanFollower {
  readonly #options: StateFileOptions;
  readonly #earlier: string[];
  #path: string;
  #fd: number | undefined;
  /** Lines in the file. */
  #lines = 0;
  /** Of the file, as it was left. */
  #bytes = 0;
  /** Sources whose last state is not in the file yet. */
  #waiting = new Set<string>();
  /** Too much waits, or the file is not whole: it has to be written anew. */
  #isStale = true;
  /** Of all ends that are written now. */
  #basis: Basis = { wallAtBootMs: 0 };
  #error: string | undefined;
  #growth: string | undefined;
  /** By `performance.now`: not written anew before. */
  #triedAgainMs = 0;
  readonly #saving = new OneAtATime(() => this.#save());

  constructor(options: StateFileOptions) {
    this.#options = options;
    this.#path = options.path;
    this.#earlier = [...(options.earlier ?? [])];
  }

  /** Why bans cannot be saved at the moment. */
  get error(): string | undefined {
    return this.#error;
  }

  /** Why the file can only grow, other than for want of room, which is told when it is out; bans are saved in it all the same. */
  get growth(): string | undefined {
    return this.#growth;
  }

  bansChanged(changes: readonly BanChange[]): void {
    if (this.#isStale) return;
    for (const { ban } of changes) this.#waiting.add(ban.prefix.text);
    if (this.#waiting.size > waitingLimit) this.#isStale = true;
  }

  /** A few times a second. */
  save(): Promise<void> {
    return this.#saving.run();
  }

  /** What was changed until now is in the file, or it is said why it cannot be. */
  saved(): Promise<void> {
    return this.#saving.runAnew();
  }

  /**
   * The file is there and says what the table has, in so many lines: what changes is written behind it.
   * @param basis by which clock its last lines were written; of another boot than this one it is said anew.
   */
  goOn(lines: number, basis: Basis | undefined): void {
    const { O_WRONLY, O_APPEND, O_NOFOLLOW } = constants;
    try {
      // Of a process that was killed while it wrote the file anew.
      rmSync(`${this.#path}.new`, { force: true });
      const fd = openSync(this.#path, O_WRONLY | O_APPEND | O_NOFOLLOW);
      this.#fd = fd;
      fchmodSync(fd, 0o600);
      const now = basisOf(this.#options.moment());
      this.#basis = basis?.boot !== undefined && basis.boot === now.boot ? basis : now;
      if (this.#basis === now) writeSync(fd, basisLine(now));
      this.#bytes = fstatSync(fd).size;
    } catch {
      // It is written anew, and told where that fails too.
      return;
    }
    this.#lines = lines;
    this.#isStale = false;
  }

  /** Goes on under another name. @throws Error when it cannot be had. */
  async move(path: string): Promise<void> {
    await this.save();
    renameSync(this.#path, path);
    this.#path = path;
  }

  /** Begins once more, after `close`: another process may have written meanwhile. */
  reopen(): void {
    this.#isStale = true;
  }

  /** Writes what waits. */
  async close(): Promise<void> {
    await this.#saving.idle();
    this.#triedAgainMs = 0;
    await this.save();
    if (this.#fd === undefined) return;
    try {
      fsyncSync(this.#fd);
    } catch {
      // Told when it was written, or it will be at the next start.
    }
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  async #save(): Promise<void> {
    try {
      const { bans, offenders } = this.#options;
      if (Math.abs(wallAtBootMs(this.#options.moment()) - this.#basis.wallAtBootMs) > stepMs) this.#isStale = true;
      const harm = this.#harm();
      if (harm !== undefined) {
        this.#isStale = true;
        if (this.#error === undefined) this.#options.log("warn", `"${this.#path}" ${harm}: it is written anew`);
      }
      const isGrown = this.#lines > 2 * (bans.size + offenders.size) + slackLines;
      const isDue = performance.now() >= this.#triedAgainMs;
      if (this.#isStale && !isDue) return;
      if (this.#isStale) await this.#rewrite();
      else if (!isGrown || !isDue || !(await this.#compact())) await this.#append();
      if (this.#error !== undefined) this.#options.log("info", "Bans are saved again");
      this.#error = undefined;
    } catch (error) {
      // Half a line may be in the file: it is left out when read, and the whole is written anew.
      this.#isStale = true;
      const reason = messageOf(error);
      if (this.#error !== reason) {
        const told = `Cannot save bans to "${this.#path}": ${reason}; it is tried again`;
        this.#options.log("error", told);
      }
      this.#error = reason;
    }
  }

  /** What somebody else did to the file. */
  #harm(): string | undefined {
    const fd = this.#fd;
    if (fd === undefined) return undefined;
    if (wasRemoved(this.#path, identityOfOpen(fd))) return "was removed, with the bans in it";
    return fstatSync(fd).size === this.#bytes ? undefined : "was changed by another program";
  }

  /** @returns false where there can be no second file, be it for want of room: what changes is written behind the first. */
  async #compact(): Promise<boolean> {
    try {
      await this.#rewrite();
      return true;
    } catch (error) {
      const code = codeOf(error);
      if (code === "ENOSPC" || code === "EDQUOT") return false;
      if (this.#growth === undefined) {
        const told = `Cannot write "${this.#path}" anew: ${messageOf(error)}; it grows until that is mended`;
        this.#options.log("warn", told);
      }
      this.#growth = messageOf(error);
      return false;
    }
  }

  async #append(): Promise<void> {
    const fd = this.#fd;
    if (this.#waiting.size === 0 || fd === undefined) return;
    const changed = this.#waiting;
    this.#waiting = new Set();
    this.#lines += await this.#writer(fd).writeOf(changed);
    await syncFile(fd);
    this.#bytes = fstatSync(fd).size;
  }

  async #rewrite(): Promise<void> {
    const begunMs = performance.now();
    const [basis, waited] = [this.#basis, this.#waiting];
    try {
      await this.#replace();
    } catch (error) {
      this.#basis = basis;
      for (const source of waited) this.#waiting.add(source);
      const nowMs = performance.now();
      this.#triedAgainMs = nowMs + restFactor * (nowMs - begunMs);
      throw error;
    }
    await this.#append();
  }

  /** Everything that is banned into a new file, then what changed meanwhile, then in the old one's place. */
  async #replace(): Promise<void> {
    const path = this.#path;
    const temporary = `${path}.new`;
    makeDirectory(dirname(path));
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
    // Deno refuses O_TRUNC with O_APPEND. Nobody else writes to it.
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    let lines: number;
    try {
      chmodSync(temporary, 0o600);
      this.#basis = basisOf(this.#options.moment());
      writeSync(fd, `${journalHead}\n${basisLine(this.#basis)}`);
      this.#waiting = new Set();
      this.#isStale = false;
      lines = await this.#writer(fd).writeAll();
      await syncFile(fd);
      renameSync(temporary, path);
      for (const from of this.#earlier.splice(0)) rmSync(from, { force: true });
    } catch (error) {
      closeSync(fd);
      rmSync(temporary, { force: true });
      throw error;
    }
    const earlier = this.#fd;
    this.#fd = fd;
    this.#lines = lines;
    this.#growth = undefined;
    this.#bytes = fstatSync(fd).size;
    // The last to have it open: its hundreds of megabytes are given back now, which takes its time.
    if (earlier !== undefined) await closeFile(earlier);
    await syncDirectory(dirname(path));
  }

  #writer(fd: number): TableWriter {
    return new TableWriter(fd, this.#options, () => {
      const { nowMs } = this.#options.moment();
      return { nowMs, wallMs: nowMs + this.#basis.wallAtBootMs };
    });
  }
}

/** A loss of power must not bring back the file that was there before: what is written behind the new one would be lost. */
async function syncDirectory(path: string): Promise<void> {
  const fd = openSync(path, constants.O_RDONLY);
  try {
    await syncFile(fd);
  } finally {
    await closeFile(fd);
  }
}
