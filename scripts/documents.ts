// SPDX-License-Identifier: Apache-2.0
// Writes what a package has beside the executable, all of it from the tables that help is made from: the manual
// pages ttgate(1) and ttgate.toml(5), the default configuration and the completions.
//   documents.ts DIRECTORY DATE
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { bashCompletion } from "../src/cli/completion/bash.ts";
import { completionsOf } from "../src/cli/completion/completion.ts";
import { fishCompletion } from "../src/cli/completion/fish.ts";
import { zshCompletion } from "../src/cli/completion/zsh.ts";
import { loadAll } from "../src/cli/program.ts";
import { commands } from "../src/main.ts";
import { defaultConfig } from "./default_config.ts";
import { commandManual, configManual } from "./manual.ts";

/** Files by name. @param date of the manual, as 2026-01-31. */
export async function documents(date: string): Promise<Readonly<Record<string, string>>> {
  const all = await loadAll(commands);
  const completions = completionsOf(all);
  return {
    "ttgate.1": commandManual(all, date),
    "ttgate.toml.5": configManual(date),
    "ttgate.toml": defaultConfig(),
    "ttgate.bash": bashCompletion(completions),
    "ttgate.fish": fishCompletion(completions),
    _ttgate: zshCompletion(completions),
  };
}

if (import.meta.main) {
  const [directory, date] = process.argv.slice(2);
  if (directory === undefined || date === undefined) throw new Error("Usage: documents.ts DIRECTORY DATE");
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of Object.entries(await documents(date))) writeFileSync(join(directory, name), text);
}
