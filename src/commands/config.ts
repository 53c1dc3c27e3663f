// SPDX-License-Identifier: Apache-2.0
// `ttgate config check|schema|show`: looks at the configuration and runs nothing.
import { existsSync } from "node:fs";
import { z } from "zod";
import { type Command, helpText, jsonFlag } from "../cli/command.ts";
import { configFlags } from "../cli/config_flags.ts";
import { defaultConfigFile, loadConfig } from "../config/load.ts";
import { type Config, configSchema } from "../config/options.ts";
import { loadSniffer } from "../config/profile.ts";
import { writtenConfig } from "../config/written.ts";
import { Failure } from "../failure.ts";

const head = `Usage: ttgate config check [-c FILE]             is the file valid, and its profile too?
       ttgate config show  [-c FILE] [options]   the configuration that the gate would use
       ttgate config schema                      JSON Schema of the file

Keys of the file (TOML, default ${defaultConfigFile}) are the long options.`;

const flags = { ...configFlags, json: jsonFlag } as const;

export const config: Command = {
  name: "config",
  usage: "check|schema|show",
  about: "check or show the configuration",
  flags,
  help: helpText(head, flags, { 2: "usage error, or the configuration is not valid" }),
  async run({ flags: { config: file, json, help: _help, ...given }, positionals }, { stdout }) {
    const path = typeof file === "string" ? file : undefined;
    const [verb, ...others] = positionals;
    if (others.length > 0) {
      throw new Failure(`Unknown operand "${others.join(" ")}": see "ttgate config --help"`, { exitCode: 2 });
    }
    switch (verb) {
      case "check": {
        loadSniffer(loadConfig(given, path).profile);
        const read = path ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
        const text =
          read === undefined ? `There is no ${defaultConfigFile}: the defaults are valid` : `${read} is valid`;
        stdout.line(json === true ? JSON.stringify({ valid: true, file: read ?? null }) : text);
        return 0;
      }
      case "show":
        stdout.line(rendered(loadConfig(given, path), json === true));
        return 0;
      case "schema":
        stdout.line(JSON.stringify(z.toJSONSchema(configSchema, { io: "input" }), undefined, 2));
        return 0;
      default:
        throw new Failure(`Unknown "config ${verb ?? ""}": expected check, show or schema`, { exitCode: 2 });
    }
  },
};

function rendered(loaded: Config, json: boolean): string {
  const written = writtenConfig(loaded);
  if (json) return JSON.stringify(written);
  return Object.entries(written)
    .map(([key, value]) => `${key} = ${JSON.stringify(value)}`)
    .join("\n");
}
