// SPDX-License-Identifier: Apache-2.0
// The import layers of src/: a room imports from itself and from rooms below it. Cycles between files are
// biome's to find (noImportCycles); what core, kernel and runtime may import from outside is in biome.json.
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import process from "node:process";

/** From the bottom up. */
export const rooms = [
  "core",
  "generated",
  "runtime",
  "kernel",
  "host",
  "config",
  "fences",
  "recording",
  "sources",
  "gate",
  "learning",
  "status",
  "daemon",
  "cli",
  "commands",
] as const;

/** The words that every room but core may use; they import nothing of ttgate. */
const words: ReadonlySet<string> = new Set(["src/log.ts", "src/failure.ts"]);
const entry = "src/main.ts";

/** `from "x"`, `import "x"`, `import("x")`. */
const importPattern = /(?:\bfrom|\bimport)\s*\(?\s*["'](\.{1,2}\/[^"']+)["']/g;

/** What is wrong with a file's imports, one line each; empty when nothing is. */
export function misplaced(file: string, source: string): string[] {
  return [...source.matchAll(importPattern)].flatMap(([, path = ""]) => {
    const target = normalize(join(dirname(file), path));
    const reason = reasonAgainst(file, target);
    return reason === undefined ? [] : [`${file}: imports ${target}: ${reason}`];
  });
}

function reasonAgainst(file: string, target: string): string | undefined {
  if (!target.startsWith("src/")) return "src/ imports nothing outside of src/";
  if (target === entry) return "nothing imports the entry";
  if (words.has(file)) return "log.ts and failure.ts import nothing of ttgate";
  const from = levelOf(file);
  if (words.has(target)) return from === 0 ? "core is pure" : undefined;
  const to = levelOf(target);
  if (from < 0) return `it is in no room: ${rooms.join(", ")}`;
  if (to < 0) return "its target is in no room";
  return to <= from ? undefined : `${rooms[to]} stands above ${rooms[from]}`;
}

function levelOf(file: string): number {
  if (file === entry) return rooms.length;
  const [, room = ""] = file.split("/");
  return (rooms as readonly string[]).indexOf(room);
}

/** A file that is in no room has no layer. */
function homeless(file: string): string[] {
  return levelOf(file) >= 0 || words.has(file) ? [] : [`${file}: is in no room: ${rooms.join(", ")}`];
}

if (import.meta.main) {
  const problems = process.argv
    .slice(2)
    .flatMap((file) => [...homeless(file), ...misplaced(file, readFileSync(file, "utf8"))]);
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
