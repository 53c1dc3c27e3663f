// SPDX-License-Identifier: Apache-2.0
// The configuration file as it stands: its values by key, and where each of them is.
import { existsSync } from "node:fs";
import { parse as parseToml, TomlError } from "smol-toml";
import { codeOf, Failure, messageOf } from "../failure.ts";
import { readSmallText } from "../host/small_file.ts";
import { masked } from "./masked.ts";
import { keyLines } from "./positions.ts";

export const defaultConfigFile = "/etc/ttgate/ttgate.toml";

export interface ConfigFile {
  readonly path: string;
  readonly values: Readonly<Record<string, unknown>>;
  /** Not even a comment is in it. */
  readonly isEmpty: boolean;
  /** Of a key, `timeout` or `gate.0.timeout`; undefined where it cannot be told. */
  lineOf(key: string): number | undefined;
}

/** The file given with --config, or the default one if it is there. */
export function configPath(given: string | undefined): string | undefined {
  return given ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
}

/** @returns undefined without a file. @param path given with --config; else the default file is read if it is there. */
export function findConfigFile(path: string | undefined): ConfigFile | undefined {
  const found = configPath(path);
  return found === undefined ? undefined : readConfigFile(found);
}

/** @throws Failure when it cannot be read, or is no TOML. */
export function readConfigFile(path: string): ConfigFile {
  const content = readText(path);
  let lines: ReadonlyMap<string, number> | undefined;
  return {
    path,
    values: withoutTables(parsed(path, content)),
    isEmpty: content.trim() === "",
    lineOf(key) {
      lines ??= keyLines(content);
      const table = tableNames.find((name) => key === name || key.startsWith(`${name}-`));
      const inTable = table && lines.get(`${table}.${key === table ? "url" : key.slice(table.length + 1)}`);
      if (inTable !== undefined) return inTable;
      const parts = key.split(".");
      // What is not there is missing in its table.
      for (let count = parts.length; count > 0; count--) {
        const line = lines.get(parts.slice(0, count).join("."));
        if (line !== undefined) return line;
      }
      return undefined;
    },
  };
}

/** Options that may stand in a table of their own: its "url" is the key of that name, the others begin with it. */
export const tableNames = ["fleet", "crowdsec"] as const;

/** A table [fleet] says the same as the keys that begin with "fleet-". */
function withoutTables(values: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(values).flatMap(([name, value]) => {
    if (!(tableNames as readonly string[]).includes(name) || !isTable(value)) return [[name, value] as const];
    return Object.entries(value).map(([key, inside]) => [key === "url" ? name : `${name}-${key}`, inside] as const);
  });
  return Object.fromEntries(entries);
}

/** Of a TOML file: lists and dates are objects too. */
export function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function readText(path: string): string {
  try {
    return readSmallText(path);
  } catch (error) {
    const remedy = codeOf(error) === "ENOENT" ? "; name a file that is there" : "";
    throw new Failure(`Cannot read config "${path}": ${messageOf(error)}${remedy}`, { exitCode: 2, cause: error });
  }
}

function parsed(path: string, content: string): Record<string, unknown> {
  try {
    return parseToml(content);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n")[0]?.replace("Invalid TOML document: ", "") ?? "";
    const place = `line ${error.line}, column ${error.column}`;
    const line = content.split("\n")[error.line - 1] ?? "";
    throw new Failure(`Cannot read config "${path}": ${place}: ${reason}${remedyFor(line)}`, {
      exitCode: 2,
      cause: error,
    });
  }
}

/** For a line as other formats have it: `timeout = 10m`, `listen: 5000`. */
function remedyFor(line: string): string {
  const [, key, value = ""] = /^\s*([\w-]+)\s*[=:]\s*([^\s"'[{#][^"'#]*?)\s*(?:#.*)?$/.exec(line) ?? [];
  if (key === undefined || isToml(line)) return "";
  return `; write ${key} = ${/^(true|false)$/.test(value) ? value : masked(JSON.stringify(value))}`;
}

function isToml(text: string): boolean {
  try {
    parseToml(text);
    return true;
  } catch {
    return false;
  }
}
