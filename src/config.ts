// SPDX-License-Identifier: Apache-2.0
// The configuration: defaults, then the file, then flags. Reports every mistake at once, each with the
// key, the value and what is expected.
import { existsSync, readFileSync } from "node:fs";
import { parse as parseToml, TomlError } from "smol-toml";
import type { z } from "zod";
import { Failure, messageOf } from "./failure.ts";
import { type Config, configSchema, type OptionName, options } from "./options.ts";

export const defaultConfigFile = "/etc/ttgate/ttgate.toml";

/** Values as they were typed, by option name. */
export type RawOptions = Partial<Record<OptionName, unknown>>;

/**
 * @param flags as typed on the command line; they win over the file.
 * @param file given with --config; without it the default file is read if it is there.
 */
export function loadConfig(flags: RawOptions, file: string | undefined): Config {
  const path = file ?? (existsSync(defaultConfigFile) ? defaultConfigFile : undefined);
  const fromFile = path === undefined ? {} : readConfigFile(path);
  checked(fromFile, path);
  return checked({ ...fromFile, ...flags }, undefined);
}

export function readConfigFile(path: string): Record<string, unknown> {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (error) {
    throw new Failure(`Cannot read config "${path}": ${messageOf(error)}`, { exitCode: 2, cause: error });
  }
  try {
    return parseToml(content);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split("\n")[0]?.replace("Invalid TOML document: ", "") ?? "";
    throw new Failure(`Cannot read config "${path}": line ${error.line}, column ${error.column}: ${reason}`, {
      exitCode: 2,
      cause: error,
    });
  }
}

function checked(raw: Record<string, unknown>, file: string | undefined): Config {
  const result = configSchema.safeParse(raw);
  if (result.success) return result.data;
  const mistakes = result.error.issues.map((issue) => mistake(issue, raw, file !== undefined));
  const where = file === undefined ? "" : `Cannot use config "${file}": `;
  throw new Failure(where + mistakes.join("; "), { exitCode: 2 });
}

function mistake(issue: z.core.$ZodIssue, raw: Record<string, unknown>, inFile: boolean): string {
  if (issue.code === "unrecognized_keys") {
    return `Unknown key ${issue.keys.map((key) => `"${key}"`).join(", ")}: "ttgate config schema" lists them`;
  }
  const key = String(issue.path[0]);
  const inner = issue.code === "invalid_union" ? deepest(issue) : issue;
  const index = issue.path[1] ?? inner.path[0];
  const value = raw[key];
  const shown = Array.isArray(value) && typeof index === "number" ? value[index] : value;
  const label = inFile ? key : `--${key}`;
  return `Invalid ${label} ${JSON.stringify(shown)}: ${remedy(inner, key)}`;
}

/** Of the ways in which a value could have been right, the one that it came closest to. */
function deepest(issue: z.core.$ZodIssueInvalidUnion): z.core.$ZodIssue {
  const all = issue.errors.flat();
  return all.find((one) => one.code === "custom") ?? all[0] ?? issue;
}

function remedy(issue: z.core.$ZodIssue, key: string): string {
  if (issue.code !== "invalid_type") return issue.message;
  const definition = Object.entries(options).find(([name]) => name === key)?.[1];
  return definition !== undefined && "repeats" in definition
    ? "expected a text or a list of texts"
    : `expected ${issue.expected}`;
}
