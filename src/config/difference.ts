// SPDX-License-Identifier: Apache-2.0
// Two configurations compared: which options differ, and which of them a gate that runs can take over.
import { type Config, type OptionDefinition, type OptionName, options } from "./options.ts";
import { writtenConfig } from "./written.ts";

export interface Difference {
  readonly option: OptionName;
  /** As they would be written into the file. */
  readonly before: unknown;
  readonly after: unknown;
}

export interface Differences {
  /** Taken over by a gate that runs. */
  readonly applied: readonly Difference[];
  /** Wait for the next start. */
  readonly waiting: readonly Difference[];
  /** What the gate runs by from now on. */
  readonly config: Config;
}

export function differencesOf(before: Config, after: Config): Differences {
  const writtenBefore = writtenConfig(before);
  const writtenAfter = writtenConfig(after);
  const names = Object.keys(options) as OptionName[];
  const differences = names
    .map((option) => ({ option, before: writtenBefore[option], after: writtenAfter[option] }))
    .filter((difference) => JSON.stringify(difference.before) !== JSON.stringify(difference.after));
  const applied = differences.filter(({ option }) => isReloadable(option));
  const taken = Object.fromEntries(applied.map(({ option }) => [option, after[option]]));
  return {
    applied,
    waiting: differences.filter(({ option }) => !isReloadable(option)),
    config: { ...before, ...taken },
  };
}

function isReloadable(option: OptionName): boolean {
  const definition: OptionDefinition<unknown> = options[option];
  return definition.reloads === true;
}
