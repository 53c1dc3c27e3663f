// SPDX-License-Identifier: Apache-2.0
// `ttgate config check|schema|show`: looks at the configuration and runs nothing.
import { existsSync } from "node:fs";
import { z } from "zod";
import { type Command, helpText, jsonFlag } from "../cli/command.ts";
import { requireNoOperand } from "../cli/command_line.ts";
import { configFlags } from "../cli/config_flags.ts";
import type { Env } from "../cli/env.ts";
import { adviceOn } from "../config/advice.ts";
import { defaultConfigFile } from "../config/config_file.ts";
import { fileSchema, isJudgedInKernel } from "../config/gates.ts";
import { configOf, loadConfig, type RawConfig, readRaw } from "../config/load.ts";
import type { Config } from "../config/options.ts";
import { type ShownConfig, type ShownValue, shownConfig } from "../config/origins.ts";
import { loadSignatureTable, loadSniffer } from "../config/profile.ts";
import { writtenConfig } from "../config/written.ts";
import { Failure } from "../failure.ts";

const head = `Usage: ttgate config check [-c FILE]             is the file valid, its profiles too, and is it wise?
       ttgate config show  [-c FILE] [options]   what the gate would use, and where each value comes from
       ttgate config schema                      JSON Schema of the file

Keys of the file (TOML, default ${defaultConfigFile}) are the long options. Several gates are [[gate]]
tables, each with a name and the options of one gate; docs/configuration.md has them all.`;

const flags = {
  ...configFlags,
  json: jsonFlag,
  origins: { help: "with show --json: also where each value comes from" },
} as const;

/** Origins stand one below the other, but for lines that are longer than this. */
const longestAligned = 44;

export const config: Command = {
  name: "config",
  usage: "check|schema|show",
  about: "check or show the configuration",
  flags,
  help: helpText(head, flags, { 2: "usage error, or the configuration is not valid" }),
  async run({ flags: { config: file, json, origins, help: _help, ...given }, positionals }, env) {
    const path = typeof file === "string" ? file : undefined;
    const [verb, ...others] = positionals;
    requireNoOperand(others, `config ${verb}`);
    switch (verb) {
      case "check":
        return check(loadConfig(given, path), path, json === true, env);
      case "show":
        return show(readRaw(given, path), { json: json === true, origins: origins === true }, env);
      case "schema":
        env.stdout.line(JSON.stringify(z.toJSONSchema(fileSchema, { io: "input" }), undefined, 2));
        return 0;
      default:
        throw new Failure(
          `${verb === undefined ? "Missing verb" : `Unknown "config ${verb}"`}: expected check, show or schema`,
          { exitCode: 2 },
        );
    }
  },
};

/** What is unwise is told, and no reason to fail. */
function check(loaded: Config, path: string | undefined, json: boolean, { stdout, stderr }: Env): number {
  for (const gate of loaded.gates) {
    loadSniffer(gate.profile);
    if (isJudgedInKernel(gate)) loadSignatureTable(gate.profile);
  }
  const warnings = adviceOn(loaded);
  for (const warning of warnings) stderr.line(`ttgate: Warning: ${warning}`);
  const read = path ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
  const text = read === undefined ? `There is no ${defaultConfigFile}: the defaults are valid` : `${read} is valid`;
  stdout.line(json ? JSON.stringify({ valid: true, file: read ?? null, warnings }) : text);
  return 0;
}

interface ShowOptions {
  readonly json: boolean;
  readonly origins: boolean;
}

function show(raw: RawConfig, { json, origins }: ShowOptions, { stdout, variables }: Env): number {
  const shown = shownConfig(raw, variables);
  if (!json) stdout.line(rendered(shown));
  else stdout.line(JSON.stringify(origins ? shown : writtenConfig(configOf(raw))));
  return 0;
}

/** TOML that gives the same configuration. */
function rendered({ top, gates }: ShownConfig): string {
  return [...linesOf(top), ...gates.flatMap((gate) => ["", "[[gate]]", ...linesOf(gate)])].join("\n");
}

function linesOf(values: readonly ShownValue[]): string[] {
  const lines = values.map(({ key, value, origin }) =>
    value === undefined
      ? ([`# ${key} is not set`, ""] as const)
      : ([`${key} = ${JSON.stringify(value)}`, origin] as const),
  );
  const width = Math.min(longestAligned, Math.max(...lines.map(([line]) => line.length)));
  return lines.map(([line, origin]) => (origin === "" ? line : `${line.padEnd(width)}  # ${origin}`));
}
