// SPDX-License-Identifier: Apache-2.0
// Where the bans are saved, read again at the start, and by which gate: a file in the state directory,
// named after the listener of a gate without a name, and a lock beside it that names the process.
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { defaultGateName } from "../../config/gates.ts";
import type { Config } from "../../config/options.ts";
import type { Claim } from "../../core/bans/claim.ts";
import type { Enforcement } from "../../core/bans/enforcement.ts";
import type { Offenders } from "../../core/bans/offenders.ts";
import { Failure, messageOf } from "../../failure.ts";
import { FileLock } from "../../host/file_lock.ts";
import { makeDirectory } from "../../host/own_directory.ts";
import { startTicks } from "../../host/start_ticks.ts";
import type { Libc } from "../../kernel/libc.ts";
import type { Log } from "../../log.ts";
import type { Moment } from "./journal.ts";
import { type ReadState, readState } from "./read_state.ts";
import { StateFile } from "./state_file.ts";

/** By the file hierarchy standard; made by a package or by hand. */
const usualDirectory = "/var/lib/ttgate";

/** And not what stands beside it: `bans-__-5000.trial`. */
const isStateFile = /^bans(?:-[\w.]+-\d+)?$/;

export interface StateOptions {
  readonly config: Pick<Config, "state" | "forget" | "gates">;
  readonly enforcement: Enforcement;
  readonly offenders: Offenders;
  readonly libc: Libc;
  readonly moment: () => Moment;
  readonly log: Log;
  /** A process has it that lets go of it before `begin`. */
  readonly isLocked?: boolean;
}

/**
 * Takes the directory. Bans are taken up and saved from `begin` on.
 * @returns undefined where there is no state directory, or --forget.
 * @throws Failure when the directory that was asked for cannot be used.
 */
export function openState(options: StateOptions): OpenedState | undefined {
  const { config, log } = options;
  const directory = stateDirectoryOf(config);
  if (directory === undefined) return undefined;
  const path = join(directory, nameOf(config));
  let lock: FileLock | undefined;
  if (config.forget) {
    const trials = config.gates.map(({ name }) => trialPath(path, name));
    for (const file of [path, ...trials]) rmSync(file, { force: true });
    return undefined;
  }
  try {
    // Said, since it is news where bans of an earlier run should be: an empty place for a disk that is not mounted.
    if (makeDirectory(directory)) log("info", `Made the state directory "${directory}": no earlier bans are in it`);
    if (options.isLocked !== true) lock = takeLock(options.libc, path);
  } catch (error) {
    const problem = `Cannot keep bans in "${directory}": ${messageOf(error)}`;
    if (askedFor(config) !== undefined) throw new Failure(problem, { cause: error });
    log("warn", `${problem}; bans are forgotten when ttgate stops`);
    return undefined;
  }
  return new OpenedState(directory, path, lock, options);
}

export class OpenedState {
  #file: StateFile | undefined;
  readonly #directory: string;
  readonly #options: StateOptions;
  #path: string;
  /** Undefined: it is another's. */
  #lock: FileLock | undefined;

  constructor(directory: string, path: string, lock: FileLock | undefined, options: StateOptions) {
    this.#directory = directory;
    this.#path = path;
    this.#lock = lock;
    this.#options = options;
  }

  /**
   * Takes up the bans that were saved, but for those of gates on trial, and saves from now on.
   * @param isTaken the table has come from the process before, which has written the file for the last time.
   * @throws Failure when what was saved cannot be read at the moment: it is left for the next start.
   */
  async begin(isOnTrial: (gate: string) => boolean, isTaken = false): Promise<void> {
    const { config, enforcement, offenders, libc, moment, log } = this.#options;
    this.#lock ??= takeLock(libc, this.#path);
    if (!isTaken && !existsSync(this.#path)) this.#tellOfOthers();
    const byListener = namesByListener(config).map((name) => join(this.#directory, name));
    const earlier = existsSync(this.#path) ? [] : byListener.filter((from) => from !== this.#path);
    const read = isTaken ? undefined : await restore(this.#path, isOnTrial, this.#options);
    if (!isTaken) for (const from of earlier) await restore(from, isOnTrial, this.#options);
    this.#file = new StateFile({ path: this.#path, earlier, bans: enforcement.bans, offenders, moment, log });
    if (read?.isComplete === true) this.#file.goOn(read.lines, read.basis);
    enforcement.follow(this.#file);
    // What is in the file of a table that was taken over is of a moment ago, and is written anew with the first turn.
    if (!isTaken) await this.#file.save();
  }

  /** Bans of a gate that listened elsewhere, or had a name, are not taken up: it may be about to start again. */
  #tellOfOthers(): void {
    const read = namesByListener(this.#options.config);
    for (const name of readdirSync(this.#directory)) {
      const path = join(this.#directory, name);
      if (!isStateFile.test(name) || read.includes(name) || path === this.#path) continue;
      if (mayBeInUse(this.#options.libc, path)) continue;
      const remedy = `stop this gate, mv ${path} ${this.#path}, and start it again`;
      const told = `State "${path}" is of a gate with another listener or name: its bans are not taken up`;
      this.#options.log("warn", `${told}; if it was this one, ${remedy}`);
    }
  }

  /** A few times a second. @throws Error when the lock was removed and another process has it. */
  async save(): Promise<void> {
    await this.#file?.save();
    if (this.#lock === undefined || this.error !== undefined || !this.#lock.isLost) return;
    const removed = this.#lock;
    this.#lock = takeLock(this.#options.libc, this.#path);
    removed.abandon();
  }

  /** What was changed until now is saved, as far as the disk can. */
  async saved(): Promise<void> {
    if (this.#lock === undefined || this.#file === undefined) return;
    await this.#file.saved();
  }

  /** Why bans cannot be saved at the moment. */
  get error(): string | undefined {
    return this.#file?.error;
  }

  /** Why the file can only grow; bans are saved in it all the same. */
  get growth(): string | undefined {
    return this.#file?.growth;
  }

  /** With --user that user goes on writing them. */
  get paths(): readonly string[] {
    return [this.#directory, this.#path, lockPath(this.#path)];
  }

  /** What a fleet keeps beside the bans, by the name that they had at the start. */
  get endingsPath(): string {
    return `${this.#path}.lifts`;
  }

  /** Where the trial of a gate's profile is kept. */
  trialPath(gate: string): string {
    return trialPath(this.#path, gate);
  }

  /** Where a start by this configuration looks for the bans. */
  async moveFor(config: StateOptions["config"]): Promise<void> {
    const path = join(this.#directory, nameOf(config));
    if (path === this.#path) return;
    let lock: FileLock | undefined;
    try {
      lock = takeLock(this.#options.libc, path);
      await this.#file?.move(path);
      const trial = this.trialPath(defaultGateName);
      if (existsSync(trial)) renameSync(trial, trialPath(path, defaultGateName));
    } catch (error) {
      lock?.release();
      this.#options.log("warn", `Bans go on to be saved in "${this.#path}" and not in "${path}": ${messageOf(error)}`);
      return;
    }
    this.#lock?.release();
    this.#lock = lock;
    this.#path = path;
  }

  /** Goes on after `close`. @throws Error when a process that lives has the lock. */
  reopen(): void {
    this.#lock ??= takeLock(this.#options.libc, this.#path);
    this.#file?.reopen();
  }

  /** Idempotent: the lock may be another's by now. */
  async close(): Promise<void> {
    const lock = this.#lock;
    this.#lock = undefined;
    if (lock === undefined) return;
    await this.#file?.close();
    lock.release();
  }
}

function trialPath(path: string, gate: string): string {
  return gate === defaultGateName ? `${path}.trial` : `${path}.${gate}.trial`;
}

/** By what stays the same when a gate is added or listens elsewhere. */
function nameOf(config: StateOptions["config"]): string {
  const [byListener = ""] = namesByListener(config);
  return config.gates.every(({ name }) => name === defaultGateName) ? byListener : "bans";
}

/** Of processes that have one gate and no name for it. */
function namesByListener({ gates }: StateOptions["config"]): string[] {
  return gates.map(({ listen: { host, port } }) => `bans-${host.replaceAll(/[^\w.]/g, "_")}-${port}`);
}

/** Where bans are kept; undefined: nowhere. */
export function stateDirectoryOf({ state }: Pick<Config, "state">): string | undefined {
  return askedFor({ state }) ?? (existsSync(usualDirectory) ? usualDirectory : undefined);
}

function askedFor({ state }: Pick<Config, "state">): string | undefined {
  // systemd gives several with colons between them.
  const given = state ?? process.env["STATE_DIRECTORY"]?.split(":")[0];
  return given === "" ? undefined : given;
}

function lockPath(path: string): string {
  return `${path}.lock`;
}

/** Who says in the lock that they have it. */
function holderOf(path: string): { readonly pid: string; readonly isSeen: boolean } {
  const at = lockPath(path);
  const [pid = "", ticks = ""] = existsSync(at) ? readFileSync(at, "utf8").trim().split(" ") : [];
  return { pid, isSeen: pid !== "" && Number(pid) !== process.pid && startTicks(Number(pid)) === ticks };
}

/** Also where it cannot be told: it is another gate's, and no reason for this one not to start. */
function mayBeInUse(libc: Libc, path: string): boolean {
  try {
    return holderOf(path).isSeen || FileLock.isHeld(libc, lockPath(path));
  } catch {
    return true;
  }
}

/** @throws Error when a process that lives has it. */
function takeLock(libc: Libc, path: string): FileLock {
  const { pid, isSeen } = holderOf(path);
  const lock = isSeen ? undefined : FileLock.take(libc, lockPath(path));
  if (lock === undefined) {
    const where = isSeen ? "" : ", in another container,";
    throw new Error(`the gate with pid ${pid}${where} is using it; give each gate a --state of its own`);
  }
  lock.write(`${process.pid} ${startTicks(process.pid) ?? ""}\n`);
  return lock;
}

async function restore(path: string, isOnTrial: (gate: string) => boolean, options: StateOptions): Promise<TakenUp> {
  const { log } = options;
  const read = await takeUp(path, options, isOnTrial).catch((error: unknown) => {
    const problem = `Cannot read state "${path}": ${messageOf(error)}: a start without its bans would lose them`;
    throw new Failure(problem, { exitCode: 3, cause: error });
  });
  const { taken, lines, damaged, isHeadForeign, error } = read;
  if (error !== undefined) {
    const told = taken === 0 ? "no ban is taken from it" : `${taken} bans are taken from its beginning`;
    log("error", `Cannot read state "${path}": ${error}: ${told}, and it is kept as "${keep(path, log)}"`);
    return read;
  }
  if (lines === 0 && (isHeadForeign || damaged > 0)) {
    const told = "is damaged or of another version of ttgate: no ban is taken from it";
    log("warn", `State "${path}" ${told}, and it is kept as "${keep(path, log)}"`);
  } else if (isHeadForeign || damaged > 0) {
    const head = isHeadForeign ? "its head and " : "";
    log("warn", `State "${path}": ${head}${damaged} lines are damaged and were left out`);
  }
  if (taken > 0) log("info", `Took up ${taken} bans from "${path}", with the time that they have left`);
  return read;
}

/** Under another name, since the bans of now are written in its place. @returns that name; no other file has it. */
function keep(path: string, log: Log): string {
  let kept = `${path}.unread`;
  for (let number = 2; existsSync(kept); number++) kept = `${path}.unread-${number}`;
  try {
    renameSync(path, kept);
  } catch (error) {
    log("error", `Cannot keep bans in "${path}": ${messageOf(error)}`);
  }
  return kept;
}

interface TakenUp extends ReadState {
  /** Bans. */
  readonly taken: number;
  /** Nothing of the file was left out: it can be written on. */
  readonly isComplete: boolean;
  /** Why no more of it could be read. */
  readonly error: string | undefined;
}

/** Bans that were saved become bans of the table, a piece of the file at a time. */
export async function takeUp(
  path: string,
  { enforcement, offenders, moment }: Pick<StateOptions, "enforcement" | "offenders" | "moment">,
  isOnTrial: (gate: string) => boolean = () => false,
): Promise<TakenUp> {
  const before = enforcement.bans.size;
  const isTaken = ({ gate }: Claim) => gate === undefined || !isOnTrial(gate);
  let isAll = true;
  const read = await readState(path, moment, (saved) => {
    const taken = saved.map((one) =>
      one.claims.every(isTaken) ? one : { ...one, claims: one.claims.filter(isTaken) },
    );
    if (taken.some((one, index) => one !== saved[index])) isAll = false;
    if (!enforcement.replace(taken, moment().nowMs)) isAll = false;
    for (const { prefix, offender } of saved) offenders.restore(prefix, offender);
  });
  const isComplete = isAll && read.isWhole && read.damaged === 0 && !read.isHeadForeign && read.error === undefined;
  return { ...read, taken: enforcement.bans.size - before, isComplete };
}
