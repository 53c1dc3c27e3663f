// SPDX-License-Identifier: Apache-2.0
// Whatever ttgate says when something is wrong has an entry in docs/troubleshooting.md, and each entry is one that it
// says. An entry is the beginning of a message; one entry may stand for many.
import { expect, test } from "bun:test";
import { globSync, readFileSync } from "node:fs";
import { messages } from "./messages.ts";

/** No trouble: what was done, what there is, or a part of another message. */
const news = [
  ...[
    "Clients come through ",
    "Did not ban",
    "Exit codes:",
    "Gate ",
    "It is longer than ",
    "Judging ",
    "Learned from ",
  ],
  ...[
    "Lifted ",
    "Linux ",
    "Listening on ",
    "Opened ",
    "The claim on ",
    "The kernel judges first",
    "Took up ",
    "Would ",
  ],
];

/** Code in the first column of a table. */
function entries(): string[] {
  const page = readFileSync("docs/troubleshooting.md", "utf8");
  return [...page.matchAll(/^\| (`[^|]*`) \|/gm)].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, entry = ""]) => entry),
  );
}

/** A message may begin with a value sooner than the entry does. */
function fits(entry: string, head: string): boolean {
  return head.startsWith(entry) || (entry.startsWith(head) && head.length >= entry.length / 2);
}

test("every message has an entry: add the beginning of yours to docs/troubleshooting.md", () => {
  const known = [...entries(), ...news];
  const missing = messages().filter(({ head }) => !known.some((entry) => fits(entry, head)));
  expect(missing).toEqual([]);
});

test("every entry is said somewhere", () => {
  const sources = globSync("src/**/*.ts", { exclude: ["src/generated/**"] }).map((file) => readFileSync(file, "utf8"));
  const all = sources.join("\n").replaceAll('\\"', '"');
  expect(entries().filter((entry) => !all.includes(entry))).toEqual([]);
});
