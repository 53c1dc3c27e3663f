// SPDX-License-Identifier: Apache-2.0
// The beginnings of what ttgate says when something is wrong: lines of the log at "warn" and "error", failures of
// commands, answers of the status endpoint that refuse, and reasons of /readyz. Read from the sources, up to the
// first value that stands in them.
import { globSync, readFileSync } from "node:fs";

export interface Message {
  /** Fixed text that it begins with. */
  readonly head: string;
  readonly file: string;
}

/** What the name of a gate stands before, or nothing. */
const prefix = String.raw`(?:\$\{[^}]*gatePrefix\([^}]*\})?`;
const text = String.raw`\s*(["'${"`"}])${prefix}((?:\\.|(?!\1|\$\{)[^\\])*)`;
/** What stands before such a text. */
const said = new RegExp(
  String.raw`(?:new (?:Failure|Unsupported)\(|"(?:warn|error)",|\b(?:error|message|problem|fault|told)(?::| =)|(?:aults|roblems)(?:\.push\(| = \[))${text}`,
  "g",
);
/** What is put together before it is said. Much else looks like that where people are answered and things are listed. */
const prepared = new RegExp(String.raw`(?:\breturn| \?| :| =|\[)${text}`, "g");

/** Below this a beginning is a name. */
const shortest = 5;
/** `core` never speaks by itself; the page and the screen of top show, and refuse nothing. */
const silent = ["src/generated/**", "src/core/**", "src/status/page/**", "src/cli/top/**"];

export function messages(): Message[] {
  return globSync("src/**/*.ts", { exclude: silent })
    .sort()
    .flatMap((file) => {
      const source = readFileSync(file, "utf8");
      const isAnswer = /^src\/(commands|learning|status)\//.test(file);
      const heads = [
        ...headsOf(source, said, /^[A-Z]/),
        ...(isAnswer ? [] : headsOf(source, prepared, /^[A-Z][a-z]* /)),
      ];
      return [...new Set(heads)].map((head) => ({ head, file }));
    });
}

function headsOf(source: string, pattern: RegExp, form: RegExp): string[] {
  return [...source.matchAll(pattern)].flatMap(([, , written = ""]) => {
    const head = written.replaceAll('\\"', '"');
    return head.length >= shortest && form.test(head) ? [head] : [];
  });
}
