// SPDX-License-Identifier: Apache-2.0
// `ttgate config check|schema|show`: look at the configuration without running anything.
import { existsSync } from "node:fs";
import { z } from "zod";
import { flagHelp, parseCommandLine } from "../cli.ts";
import { defaultConfigFile, loadConfig } from "../config/load.ts";
import { configSchema, formatStatus } from "../config/options.ts";
import { loadSniffer } from "../config/profile.ts";
import { formatEndpoint } from "../core/address.ts";
import { spellDuration } from "../core/duration.ts";
import { Failure } from "../failure.ts";
import { runFlags } from "./run.ts";

const about = `Usage: ttgate config check [-c FILE]   is the file right, the profile with it?
       ttgate config show  [-c FILE] [options]   what the gate would run by
       ttgate config schema   JSON Schema of the file

Keys of the file (TOML, default ${defaultConfigFile}) are the long options.`;

export const configFlags = { ...runFlags, json: { help: "print JSON" } } as const;

export async function config(args: readonly string[]): Promise<number> {
  const { flags, positionals } = parseCommandLine(args, configFlags, "config ");
  const { config: file, json, help, ...given } = flags;
  const path = typeof file === "string" ? file : undefined;
  if (help === true) {
    console.log(`${about}\n\nOptions:\n${flagHelp(configFlags)}`);
    return 0;
  }
  const [verb, ...others] = positionals;
  if (others.length > 0) {
    throw new Failure(`Unknown operand "${others.join(" ")}": see "ttgate config --help"`, { exitCode: 2 });
  }
  switch (verb) {
    case "check": {
      loadSniffer(loadConfig(given, path).profile);
      const read = path ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
      const text = read === undefined ? `There is no ${defaultConfigFile}: the defaults are right` : `${read} is right`;
      console.log(json === true ? JSON.stringify({ valid: true, file: read ?? null }) : text);
      return 0;
    }
    case "show":
      console.log(shown(loadConfig(given, path), json === true));
      return 0;
    case "schema":
      console.log(JSON.stringify(z.toJSONSchema(configSchema, { io: "input" }), undefined, 2));
      return 0;
    default:
      throw new Failure(`Unknown "config ${verb ?? ""}": expected check, show or schema`, { exitCode: 2 });
  }
}

function shown(loaded: ReturnType<typeof loadConfig>, json: boolean): string {
  const written: Record<string, unknown> = {
    ...loaded,
    listen: formatEndpoint({ address: loaded.listen.host, port: loaded.listen.port }),
    upstream: loaded.upstream.map(({ host, port }) => formatEndpoint({ address: host, port })),
    allow: loaded.allow.map(({ text }) => text),
    status: formatStatus(loaded.status),
    timeout: spellDuration(loaded.timeout),
    "first-packet": spellDuration(loaded["first-packet"]),
  };
  if (json) return JSON.stringify(written);
  return Object.entries(written)
    .map(([key, value]) => `${key} = ${JSON.stringify(value)}`)
    .join("\n");
}
