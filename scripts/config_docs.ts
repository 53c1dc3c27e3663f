// SPDX-License-Identifier: Apache-2.0
// What the table of options says, where people and editors read it: the tables in docs/configuration.md and
// docs/config.schema.json. With --check it writes nothing and fails where they are not up to date.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { isReloadable } from "../src/config/difference.ts";
import { fileSchema } from "../src/config/gates.ts";
import { configOf } from "../src/config/load.ts";
import { isGateOption, type OptionDefinition, type OptionName, optionNames, options } from "../src/config/options.ts";
import { writtenConfig } from "../src/config/written.ts";

const root = join(import.meta.dirname, "..");
const begin = "<!-- made from src/config/options.ts by scripts/config_docs.ts -->";
const end = "<!-- end -->";

const defaults = writtenConfig(configOf({ file: undefined, flags: {}, top: {}, tables: [] }));

function row(name: OptionName): string {
  const { short, value, help }: OptionDefinition<unknown> = options[name];
  const flag = `${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`;
  const preset = defaults[name] === undefined ? "" : `\`${JSON.stringify(defaults[name])}\``;
  const meaning = help.replace(/ \(default [^)]*\)$/, "");
  const cells = [`\`${name}\``, `\`${flag}\``, preset, isReloadable(name) ? "reload" : "restart", meaning];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function table(names: readonly OptionName[]): string {
  return ["| key | flag | default | takes | meaning |", "|---|---|---|---|---|", ...names.map(row)].join("\n");
}

/** The tables of the process and of a gate, in this order. */
const tables = [optionNames.filter((name) => !isGateOption(name)), optionNames.filter(isGateOption)].map(table);

/** @param document with a place for each table. */
function withTables(document: string): string {
  let index = 0;
  return document.replace(new RegExp(`${begin}[^]*?${end}`, "g"), () => `${begin}\n\n${tables[index++]}\n\n${end}`);
}

/** How JSON is laid out is the formatter's to say. */
function isSame(found: string, wanted: string): boolean {
  return found === wanted || (wanted.startsWith("{") && isDeepStrictEqual(JSON.parse(found), JSON.parse(wanted)));
}

function schemaText(): string {
  return `${JSON.stringify(z.toJSONSchema(fileSchema, { io: "input" }), undefined, 2)}\n`;
}

if (import.meta.main) {
  const isCheck = process.argv.includes("--check");
  const page = join(root, "docs/configuration.md");
  const wanted = {
    [page]: withTables(readFileSync(page, "utf8")),
    [join(root, "docs/config.schema.json")]: schemaText(),
  };
  for (const [path, text] of Object.entries(wanted)) {
    if (!isCheck) writeFileSync(path, text);
    else if (!isSame(readFileSync(path, "utf8"), text)) {
      process.stderr.write(`${path}: is not what src/config/options.ts says: run make docs\n`);
      process.exitCode = 1;
    }
  }
}
