// SPDX-License-Identifier: Apache-2.0
// Where the bans are saved, read again at the start, and by which gate: a file in the state directory,
// named after the listener of a gate without a name, and a lock beside it that names the process.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
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
}

/** With the kernel's part about two milliseconds. */
const sliceBans = 1000;

/**
 * Takes the directory. Bans are taken up and saved from `begin` on.
 * @returns undefined where there is no state directory, or --forget.
 * @throws Failure when the directory that was asked for cannot be used.
 */
export function openState(options: StateOptions): OpenedState | undefined {
  const { config, log } = options;
  const directory = directoryOf(config);
  if (directory === undefined) return undefined;
  const path = join(directory, nameOf(config));
  if (config.forget) {
    const trials = config.gates.map(({ name }) => trialPath(path, name));
    for (const file of [path, ...trials]) rmSync(file, { force: true });
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
  #file: StateFile | undefined;
  readonly #directory: string;
  readonly #options: StateOptions;
  #path: string;

  constructor(directory: string, path: string, options: StateOptions) {
    this.#directory = directory;
    this.#path = path;
    this.#options = options;
  }

  /** Takes up the bans that were saved, but for those of gates on trial, and saves from now on. */
  async begin(isOnTrial: (gate: string) => boolean): Promise<void> {
    const { config, enforcement, offenders, moment, log } = this.#options;
    const byListener = namesByListener(config).map((name) => join(this.#directory, name));
    const earlier = existsSync(this.#path) ? [] : byListener.filter((from) => from !== this.#path);
    for (const from of [this.#path, ...earlier]) await restore(from, isOnTrial, this.#options);
    this.#file = new StateFile({ path: this.#path, bans: enforcement.bans, offenders, moment, log });
    enforcement.follow(this.#file);
    await this.#file.save();
    for (const from of earlier) rmSync(from, { force: true });
  }

  /** A few times a second. */
  async save(): Promise<void> {
    await this.#file?.save();
  }

  /** With --user that user goes on writing them. */
  get paths(): readonly string[] {
    return [this.#directory, this.#path, `${this.#path}.lock`];
  }

  /** Where the trial of a gate's profile is kept. */
  trialPath(gate: string): string {
    return trialPath(this.#path, gate);
  }

  /** Where a start by this configuration looks for the bans. */
  async moveFor(config: StateOptions["config"]): Promise<void> {
    const path = join(this.#directory, nameOf(config));
    if (path === this.#path) return;
    try {
      takeLock(`${path}.lock`);
      await this.#file?.move(path);
      const trial = this.trialPath(defaultGateName);
      if (existsSync(trial)) renameSync(trial, trialPath(path, defaultGateName));
    } catch (error) {
      this.#options.log("warn", `Bans go on to be saved in "${this.#path}" and not in "${path}": ${messageOf(error)}`);
      return;
    }
    rmSync(`${this.#path}.lock`, { force: true });
    this.#path = path;
  }

  async close(): Promise<void> {
    await this.#file?.close();
    rmSync(`${this.#path}.lock`, { force: true });
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

async function restore(
  path: string,
  isOnTrial: (gate: string) => boolean,
  { enforcement, offenders, moment, log }: StateOptions,
): Promise<void> {
  const { sources, damaged, isForeign } = await readState(path, moment());
  if (isForeign) log("warn", `State "${path}" is of another version of ttgate: no ban is taken from it`);
  if (damaged > 0) log("warn", `State "${path}": ${damaged} lines are damaged and were left out`);
  for (let start = 0; start < sources.length; start += sliceBans) {
    const slice = sources.slice(start, start + sliceBans).flatMap(({ source, claims: saved }) => {
      const prefix = parsePrefix(source);
      const claims = saved.filter(({ gate }) => gate === undefined || !isOnTrial(gate));
      return prefix === undefined || claims.length === 0 ? [] : [{ prefix, claims }];
    });
    enforcement.restore(slice, moment().nowMs);
    await setImmediate();
  }
  for (const { source, offender } of sources) if (offender !== undefined) offenders.restore(source, offender);
  const banned = sources.filter(({ claims }) => claims.length > 0).length;
  if (banned > 0) log("info", `Took up ${banned} bans from "${path}", with the time that they have left`);
}
