// SPDX-License-Identifier: Apache-2.0
// `make plots`: writes docs/performance.md, its plots and its tables from docs/performance/baseline.json. With --check it
// writes nothing and fails where they are not up to date.
import { globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { readBaseline } from "../baseline.ts";
import { pagesOf } from "./pages.ts";

const isCheck = process.argv.includes("--check");
const pages = await pagesOf(readBaseline());
const stale = Object.entries(pages).filter(([path, text]) => readText(path) !== text);
const left = globSync("docs/performance/*.svg").filter((path) => !(path in pages));

if (isCheck) {
  for (const path of [...stale.map(([path]) => path), ...left])
    console.error(`"${path}" is not what docs/performance/baseline.json says: run make plots`);
  if (stale.length + left.length > 0) process.exitCode = 1;
} else {
  for (const [path, text] of stale) writeFileSync(path, text);
  for (const path of left) rmSync(path);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
