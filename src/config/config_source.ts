// SPDX-License-Identifier: Apache-2.0
// Where the configuration of a process that runs comes from. A reload must not take a file that is gone, or that a
// full disk has emptied, for the wish to go on with the defaults: another profile would ban the clients of this one.
import { Failure } from "../failure.ts";
import { configPath } from "./config_file.ts";
import { configOf, type RawOptions, readRaw } from "./load.ts";
import type { Config } from "./options.ts";

export class ConfigSource {
  readonly #flags: RawOptions;
  /** From the first time that there was one. */
  #path: string | undefined;
  #wasWritten = false;

  /** @param flags as typed. @param path given with --config. */
  constructor(flags: RawOptions, path: string | undefined) {
    this.#flags = flags;
    this.#path = path;
  }

  /** As it is written now. @throws Failure with every mistake in it */
  read(): Config {
    this.#path = configPath(this.#path);
    const raw = readRaw(this.#flags, this.#path);
    if (raw.file !== undefined && this.#wasWritten && raw.file.isEmpty) {
      const remedy = "write what it is to hold, or a comment if the defaults are meant";
      throw new Failure(`Cannot use config "${raw.file.path}": it is empty, and was not before; ${remedy}`, {
        exitCode: 2,
      });
    }
    const config = configOf(raw);
    this.#wasWritten = raw.file?.isEmpty === false;
    return config;
  }
}
