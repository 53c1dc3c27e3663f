// SPDX-License-Identifier: Apache-2.0
// What a schema has against values that a person wrote, a clause each: line, key, value, what is expected.
import type { z } from "zod";
import { closestWord } from "../core/closest.ts";
import { options } from "./options.ts";

/**
 * @param dashes what stands before a key, as its writer typed it.
 * @param lineOf where a key stands; undefined where it is not in a file, or that cannot be told.
 */
export function mistakesIn(
  schema: z.ZodType,
  raw: Readonly<Record<string, unknown>>,
  dashes: string,
  lineOf: (key: string) => number | undefined = () => undefined,
): string[] {
  const result = schema.safeParse(raw);
  if (result.success) return [];
  return result.error.issues.flatMap((issue) => {
    const keys = issue.code === "unrecognized_keys" ? issue.keys : [String(issue.path[0])];
    const line = lineOf(keys[0] ?? "");
    const place = line === undefined ? "" : `line ${line}: `;
    return mistakesOf(issue, raw, dashes).map((mistake) => place + mistake);
  });
}

function mistakesOf(issue: z.core.$ZodIssue, raw: Readonly<Record<string, unknown>>, dashes: string): string[] {
  if (issue.code === "unrecognized_keys") {
    const meant = issue.keys.flatMap((key) => closestWord(key, Object.keys(options)) ?? []);
    const hint = meant.length === 0 ? "" : `did you mean ${meant.map((key) => `"${key}"`).join(", ")}? `;
    return [`Unknown key ${issue.keys.map((key) => `"${key}"`).join(", ")}: ${hint}"ttgate config schema" lists them`];
  }
  const key = String(issue.path[0]);
  const value = raw[key];
  return closest(issue).map((inner) => {
    const index = issue.path[1] ?? inner.path[0];
    const shown = Array.isArray(value) && typeof index === "number" ? value[index] : value;
    if (shown === undefined) return `Missing ${dashes}${key}: ${inner.message}`;
    return `Invalid ${dashes}${key} ${typeof shown === "number" ? shown : JSON.stringify(shown)}: ${inner.message}`;
  });
}

/** What is wrong by that one of the ways to write a value that this one came closest to. */
function closest(issue: z.core.$ZodIssue): readonly z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const inList = issue.errors.find((way) => way.some(({ code, path }) => code !== "invalid_type" || path.length > 0));
  return inList ?? issue.errors[0] ?? [issue];
}
