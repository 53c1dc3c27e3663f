// SPDX-License-Identifier: Apache-2.0
// Where the bans are saved, read again at the start, and by which gate: a file for each listener in the state
// directory, and a lock beside it that names the process.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
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
  readonly config: Pick<Config, "state" | "forget" | "listen" | "dry-run">;
  readonly enforcement: () => Enforcement;
  readonly offenders: () => Offenders;
  readonly moment: () => Moment;
  readonly log: Log;
}

/** With the kernel's part about two milliseconds. */
const sliceBans = 1000;

/**
 * Takes the directory. Bans are taken up and saved from `begin` on.
 * @returns undefined where there is no state directory, in a dry run, and with --forget.
 * @throws Failure when the directory that was asked for cannot be used.
 */
export function openState(options: StateOptions): OpenedState | undefined {
  const { config, log } = options;
  const directory = config["dry-run"] ? undefined : directoryOf(config);
  if (directory === undefined) return undefined;
  const name = `bans-${config.listen.host.replaceAll(/[^\w.]/g, "_")}-${config.listen.port}`;
  const path = join(directory, name);
  if (config.forget) {
    for (const file of [path, `${path}.trial`]) rmSync(file, { force: true });
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
  return new OpenedState(directory, path, options);
}

export class OpenedState {
  readonly #directory: string;
  readonly #path: string;
  readonly #options: StateOptions;
  #file: StateFile | undefined;

  constructor(directory: string, path: string, options: StateOptions) {
    this.#directory = directory;
    this.#path = path;
    this.#options = options;
  }

  /** Takes up the bans that were saved, and saves from now on. */
  async begin(): Promise<void> {
    const { moment, log } = this.#options;
    const [enforcement, offenders] = [this.#options.enforcement(), this.#options.offenders()];
    await restore(this.#path, this.#options);
    this.#file = new StateFile({ path: this.#path, bans: enforcement.bans, offenders, moment, log });
    enforcement.follow(this.#file);
    await this.#file.save();
  }

  /** A few times a second. */
  async save(): Promise<void> {
    await this.#file?.save();
  }

  /** Why bans cannot be saved at the moment. */
  get error(): string | undefined {
    return this.#file?.error;
  }

  /** With --user that user goes on writing them. */
  get paths(): readonly string[] {
    return [this.#directory, this.#path, this.#lock, this.trialPath].filter((path) => existsSync(path));
  }

  /** Where a trial of this gate's profile is kept. */
  get trialPath(): string {
    return `${this.#path}.trial`;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    rmSync(this.#lock, { force: true });
  }

  get #lock(): string {
    return `${this.#path}.lock`;
  }
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

async function restore(path: string, { enforcement, offenders, moment, log }: StateOptions): Promise<void> {
  const { sources, damaged, isForeign } = await readState(path, moment());
  if (isForeign) log("warn", `State "${path}" is of another version of ttgate: no ban is taken from it`);
  if (damaged > 0) log("warn", `State "${path}": ${damaged} lines are damaged and were left out`);
  for (let start = 0; start < sources.length; start += sliceBans) {
    const slice = sources.slice(start, start + sliceBans).flatMap(({ source, claims }) => {
      const prefix = parsePrefix(source);
      return prefix === undefined || claims.length === 0 ? [] : [{ prefix, claims }];
    });
    enforcement().restore(slice, moment().nowMs);
    await setImmediate();
  }
  for (const { source, offender } of sources) if (offender !== undefined) offenders().restore(source, offender);
  const banned = sources.filter(({ claims }) => claims.length > 0).length;
  if (banned > 0) log("info", `Took up ${banned} bans from "${path}", with the time that they have left`);
}
