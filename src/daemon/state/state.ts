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
  readonly config: Pick<Config, "state" | "forget" | "listen">;
  readonly enforcement: Enforcement;
  readonly offenders: Offenders;
  readonly moment: () => Moment;
  readonly log: Log;
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
  const name = `bans-${config.listen.host.replaceAll(/[^\w.]/g, "_")}-${config.listen.port}`;
  const path = join(directory, name);
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
    await restore(path, options);
    const file = new StateFile({
      path,
      bans: options.enforcement.bans,
      offenders: options.offenders,
      moment: options.moment,
      log,
    });
    options.enforcement.follow(file);
    await file.save();
    return new OpenedState(file, [directory, path, `${path}.lock`], `${path}.lock`);
  } catch (error) {
    rmSync(`${path}.lock`, { force: true });
    throw error;
  }
}

export class OpenedState {
  readonly file: StateFile;
  /** With --user that user goes on writing them. */
  readonly paths: readonly string[];
  readonly #lock: string;

  constructor(file: StateFile, paths: readonly string[], lock: string) {
    this.file = file;
    this.paths = paths;
    this.#lock = lock;
  }

  async close(): Promise<void> {
    await this.file.close();
    rmSync(this.#lock, { force: true });
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
    enforcement.restore(slice, moment().nowMs);
    await setImmediate();
  }
  for (const { source, offender } of sources) if (offender !== undefined) offenders.restore(source, offender);
  const banned = sources.filter(({ claims }) => claims.length > 0).length;
  if (banned > 0) log("info", `Took up ${banned} bans from "${path}", with the time that they have left`);
}
