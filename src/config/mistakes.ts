// SPDX-License-Identifier: Apache-2.0
// What a schema has against values that a person wrote, a clause each: line, key, value, what is expected.
import { z } from "zod";
import { closestWord } from "../core/closest.ts";
import { tableNames } from "./config_file.ts";
import { masked } from "./masked.ts";
import { options } from "./options.ts";

/**
 * @param dashes what stands before a key, as its writer typed it.
 * @param lineOf where a key stands; undefined where it is not in a file, or that cannot be told.
 */
export function mistakesIn(
  schema: z.ZodObject,
  raw: Readonly<Record<string, unknown>>,
  dashes: string,
  lineOf: (key: string) => number | undefined = () => undefined,
): string[] {
  const result = schema.safeParse(raw);
  if (result.success) return [];
  const place = (key: string) => {
    const line = lineOf(key);
    return line === undefined ? "" : `line ${line}: `;
  };
  return result.error.issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys") return issue.keys.map((key) => place(key) + unknownKey(key));
    const key = String(issue.path[0]);
    if (lacksQuotes(schema, key, raw[key]))
      return [`${place(key)}Invalid ${key} ${raw[key]}: expected text in quotes, "${raw[key]}"`];
    return mistakesOf(issue, key, raw, dashes).map((mistake) => place(key) + mistake);
  });
}

/** Such as `listen = 5000`. */
function lacksQuotes(schema: z.ZodObject, key: string, value: unknown): boolean {
  return typeof value === "number" && z.safeParse(schema.shape[key] ?? z.never(), String(value)).success;
}

function unknownKey(key: string): string {
  const shown = JSON.stringify(key);
  // Of a [[gate]] table, which has not all of them.
  if (Object.hasOwn(options, key)) return `Key ${shown} is for all gates: move it above the first [[gate]]`;
  const meant = closestWord(key, [...Object.keys(options), ...tableNames, "gate"]);
  const hint = meant === undefined ? "" : `did you mean "${meant}"? `;
  return `Unknown key ${shown}: ${hint}"ttgate config schema" lists them`;
}

function mistakesOf(
  issue: z.core.$ZodIssue,
  key: string,
  raw: Readonly<Record<string, unknown>>,
  dashes: string,
): string[] {
  const value = raw[key];
  return closest(issue).map((inner) => {
    const index = issue.path[1] ?? inner.path[0];
    const shown = Array.isArray(value) && typeof index === "number" ? value[index] : value;
    if (shown === undefined) return `Missing ${dashes}${key}: ${inner.message}`;
    return `Invalid ${dashes}${key} ${typeof shown === "number" ? shown : masked(JSON.stringify(shown))}: ${inner.message}`;
  });
}

/** What is wrong by that one of the ways to write a value that this one came closest to. */
function closest(issue: z.core.$ZodIssue): readonly z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const inList = issue.errors.find((way) => way.some(({ code, path }) => code !== "invalid_type" || path.length > 0));
  return inList ?? issue.errors[0] ?? [issue];
}
