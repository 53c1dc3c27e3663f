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
  fsync,
  fsyncSync,
  mkdirSync,
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
import { messageOf } from "../../failure.ts";
import { identityOfOpen, wasRemoved } from "../../host/file_identity.ts";
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

const syncFile = promisify(fsync);
const closeFile = promisify(close);

export class StateFile implements BanFollower {
  readonly #options: StateFileOptions;
  readonly #earlier: string[];
  #path: string;
  #fd: number | undefined;
  /** Lines in the file. */
  #lines = 0;
  /** Sources whose last state is not in the file yet. */
  #waiting = new Set<string>();
  /** Too much waits, or the file is not whole: it has to be written anew. */
  #isStale = true;
  /** Of all ends that are written now. */
  #basis: Basis = { wallAtBootMs: 0 };
  #error: string | undefined;
  #busy: Promise<void> | undefined;

  constructor(options: StateFileOptions) {
    this.#options = options;
    this.#path = options.path;
    this.#earlier = [...(options.earlier ?? [])];
  }

  /** Why bans cannot be saved at the moment. */
  get error(): string | undefined {
    return this.#error;
  }

  bansChanged(changes: readonly BanChange[]): void {
    if (this.#isStale) return;
    for (const { ban } of changes) this.#waiting.add(ban.prefix.text);
    if (this.#waiting.size > waitingLimit) this.#isStale = true;
  }

  /** A few times a second. */
  async save(): Promise<void> {
    this.#busy ??= this.#save().finally(() => {
      this.#busy = undefined;
    });
    await this.#busy;
  }

  /**
   * The file is there and says what the table has, in so many lines: what changes is written behind it.
   * @param basis by which clock its last lines were written; of another boot than this one it is said anew.
   */
  goOn(lines: number, basis: Basis | undefined): void {
    const { O_WRONLY, O_APPEND, O_NOFOLLOW } = constants;
    try {
      const fd = openSync(this.#path, O_WRONLY | O_APPEND | O_NOFOLLOW);
      this.#fd = fd;
      fchmodSync(fd, 0o600);
      const now = basisOf(this.#options.moment());
      this.#basis = basis?.boot !== undefined && basis.boot === now.boot ? basis : now;
      if (this.#basis === now) writeSync(fd, basisLine(now));
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
    await this.#busy;
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
      const isGrown = this.#lines > 2 * (bans.size + offenders.size) + slackLines;
      const isGone = this.#fd !== undefined && wasRemoved(this.#path, identityOfOpen(this.#fd));
      if (isGone && this.#error === undefined)
        this.#options.log("warn", `"${this.#path}" was removed, with the bans in it: it is written anew`);
      if (this.#isStale || isGrown || isGone) await this.#rewrite();
      else await this.#append();
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

  async #append(): Promise<void> {
    const fd = this.#fd;
    if (this.#waiting.size === 0 || fd === undefined) return;
    const changed = this.#waiting;
    this.#waiting = new Set();
    this.#lines += await this.#writer(fd).writeOf(changed);
    await syncFile(fd);
  }

  /** Everything that is banned into a new file, then what changed meanwhile, then in the old one's place. */
  async #rewrite(): Promise<void> {
    const path = this.#path;
    const temporary = `${path}.new`;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
    // Deno refuses O_TRUNC with O_APPEND. Nobody else writes to it.
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    let lines: number;
    try {
      chmodSync(temporary, 0o600);
      this.#basis = basisOf(this.#options.moment());
      writeSync(fd, `${journalHead}\n${basisLine(this.#basis)}`);
      this.#waiting.clear();
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
    // The last to have it open: its hundreds of megabytes are given back now, which takes its time.
    if (earlier !== undefined) await closeFile(earlier);
    await this.#append();
  }

  #writer(fd: number): TableWriter {
    return new TableWriter(fd, this.#options, () => {
      const { nowMs } = this.#options.moment();
      return { nowMs, wallMs: nowMs + this.#basis.wallAtBootMs };
    });
  }
}
