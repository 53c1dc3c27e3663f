// SPDX-License-Identifier: Apache-2.0
// Where the bans are saved, read again at the start, and by which gate: a file in the state directory,
// named after the listener of a gate without a name, and a lock beside it that names the process.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { defaultGateName } from "../../config/gates.ts";
import type { Config } from "../../config/options.ts";
import { parsePrefix } from "../../core/address.ts";
import type { Enforcement } from "../../core/bans/enforcement.ts";
import type { Offenders } from "../../core/bans/offenders.ts";
import { Failure, messageOf } from "../../failure.ts";
import type { Log } from "../../log.ts";
import { startTicks } from "../instance.ts";
import type { Moment } from "./journal.ts";
import { readState } from "./read_state.ts";
import { StateFile } from "./state_file.ts";

/** By the file hierarchy standard; made by a package or by hand. */
const usualDirectory = "/var/lib/ttgate";

export interface StateOptions {
  readonly config: Pick<Config, "state" | "forget" | "gates">;
  readonly enforcement: Enforcement;
  readonly offenders: Offenders;
  readonly moment: () => Moment;
  readonly log: Log;
  /** The table has come from the process before, which has written the file for the last time. */
  readonly isTaken?: boolean;
}

/** With the kernel's part about two milliseconds. */
const sliceBans = 1000;

/**
 * Takes up the bans that were saved, and saves from now on.
 * @returns undefined where there is no state directory, or --forget.
 * @throws Failure when the directory that was asked for cannot be used.
 */
export async function openState(options: StateOptions): Promise<OpenedState | undefined> {
  const { config, log } = options;
  const directory = directoryOf(config);
  if (directory === undefined) return undefined;
  const path = join(directory, nameOf(config));
  if (config.forget) {
    rmSync(path, { force: true });
    return undefined;
  }
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    takeLock(`${path}.lock`);
  } catch (error) {
    const problem = `Cannot keep bans in "${directory}": ${messageOf(error)}`;
    if (config.state !== undefined)
      throw new Failure(`${problem}; give each gate a --state of its own`, { cause: error });
    log("warn", `${problem}; bans are forgotten when ttgate stops`);
    return undefined;
  }
  try {
    const { enforcement, offenders, moment, isTaken } = options;
    const byListener = namesByListener(config).map((name) => join(directory, name));
    const earlier = existsSync(path) ? [] : byListener.filter((from) => from !== path);
    if (isTaken !== true) for (const from of [path, ...earlier]) await restore(from, options);
    const file = new StateFile({ path, earlier, bans: enforcement.bans, offenders, moment, log });
    enforcement.follow(file);
    // What is in the file of a table that was taken over is of a moment ago, and is written anew with the first turn.
    if (isTaken !== true) await file.save();
    return new OpenedState(file, directory, path, log);
  } catch (error) {
    rmSync(`${path}.lock`, { force: true });
    throw error;
  }
}

export class OpenedState {
  readonly file: StateFile;
  readonly #directory: string;
  readonly #log: Log;
  #path: string;
  #isClosed = false;

  constructor(file: StateFile, directory: string, path: string, log: Log) {
    this.file = file;
    this.#directory = directory;
    this.#path = path;
    this.#log = log;
  }

  /** With --user that user goes on writing them. */
  get paths(): readonly string[] {
    return [this.#directory, this.#path, `${this.#path}.lock`];
  }

  /** Where a start by this configuration looks for the bans. */
  async moveFor(config: StateOptions["config"]): Promise<void> {
    const path = join(this.#directory, nameOf(config));
    if (path === this.#path) return;
    try {
      takeLock(`${path}.lock`);
      await this.file.move(path);
    } catch (error) {
      this.#log("warn", `Bans go on to be saved in "${this.#path}" and not in "${path}": ${messageOf(error)}`);
      return;
    }
    rmSync(`${this.#path}.lock`, { force: true });
    this.#path = path;
  }

  /** Goes on after `close`. @throws Error when a process that lives has the lock. */
  reopen(): void {
    takeLock(`${this.#path}.lock`);
    this.file.reopen();
    this.#isClosed = false;
  }

  /** Idempotent: the lock may be another's by now. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.file.close();
    rmSync(`${this.#path}.lock`, { force: true });
  }
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

function directoryOf({ state }: StateOptions["config"]): string | undefined {
  // systemd gives several with colons between them.
  const given = state ?? process.env["STATE_DIRECTORY"]?.split(":")[0];
  if (given !== undefined && given !== "") return given;
  return existsSync(usualDirectory) ? usualDirectory : undefined;
}

/** @throws Error when a process that lives has it. */
function takeLock(path: string): void {
  const [pid = "", ticks = ""] = existsSync(path) ? readFileSync(path, "utf8").trim().split(" ") : [];
  if (pid !== "" && Number(pid) !== process.pid && startTicks(Number(pid)) === ticks) {
    throw new Error(`the gate with pid ${pid} is using it`);
  }
  rmSync(path, { force: true });
  writeFileSync(path, `${process.pid} ${startTicks(process.pid) ?? ""}\n`, { mode: 0o600, flag: "wx" });
}

async function restore(path: string, options: StateOptions): Promise<void> {
  const { log } = options;
  const { taken, damaged, isForeign } = await takeUp(path, options);
  if (isForeign) log("warn", `State "${path}" is of another version of ttgate: no ban is taken from it`);
  if (damaged > 0) log("warn", `State "${path}": ${damaged} lines are damaged and were left out`);
  if (taken > 0) log("info", `Took up ${taken} bans from "${path}", with the time that they have left`);
}

/** Bans that were saved become bans of the table, a slice at a time. */
export async function takeUp(
  path: string,
  { enforcement, offenders, moment }: Pick<StateOptions, "enforcement" | "offenders" | "moment">,
): Promise<{ readonly taken: number; readonly damaged: number; readonly isForeign: boolean }> {
  const { sources, damaged, isForeign } = await readState(path, moment());
  for (let start = 0; start < sources.length; start += sliceBans) {
    const slice = sources.slice(start, start + sliceBans).flatMap(({ source, claims }) => {
      const prefix = parsePrefix(source);
      return prefix === undefined || claims.length === 0 ? [] : [{ prefix, claims }];
    });
    enforcement.restore(slice, moment().nowMs);
    await setImmediate();
  }
  for (const { source, offender } of sources) if (offender !== undefined) offenders.restore(source, offender);
  return { taken: sources.filter(({ claims }) => claims.length > 0).length, damaged, isForeign };
}
