// SPDX-License-Identifier: Apache-2.0
// The configuration that a package installs: every key of the options' table with its help and its default, as a
// comment, and the kernel block switched on.
//   default_config.ts >FILE
import process from "node:process";
import { stringify } from "smol-toml";
import { configOf } from "../src/config/load.ts";
import { type OptionDefinition, type OptionName, options } from "../src/config/options.ts";
import { writtenConfig } from "../src/config/written.ts";

const head = `# The configuration of ttgate: ttgate.toml(5). "ttgate config check" says whether it is valid; after a change
# "systemctl reload ttgate", or restart it where a key says so. A line that begins with # is a comment: each key
# below is one, with its default or an example, until you take the # away.
`;

/** What the package sets. */
const set: Partial<Record<OptionName, unknown>> = { "block-map": "ttgate" };

export interface Key {
  readonly name: OptionName;
  readonly help: string;
  readonly reloads: boolean;
  /** As it is written in the file. */
  readonly line: string;
  readonly hasDefault: boolean;
}

export function keys(): readonly Key[] {
  const defaults = writtenConfig(configOf({ file: undefined, flags: {}, top: {}, tables: [] }));
  return Object.entries(options as Readonly<Record<string, OptionDefinition<unknown>>>).map(
    ([key, { help, reloads = false, example }]) => {
      const name = key as OptionName;
      const value = defaults[name] ?? example;
      if (value === undefined)
        throw new Error(`Option "${name}": it has neither a default nor an example, add one in src/config/options.ts`);
      const line = stringify({ [name]: set[name] ?? value }).trim();
      return { name, help, reloads, line, hasDefault: defaults[name] !== undefined };
    },
  );
}

export function defaultConfig(): string {
  const entries = keys().map(({ name, help, reloads, line }) => {
    const effect = reloads ? "" : "\n# (A change takes a restart.)";
    return `# ${help}${effect}\n${set[name] === undefined ? "#" : ""}${line}\n`;
  });
  return [head, ...entries].join("\n");
}

if (import.meta.main) process.stdout.write(defaultConfig());
