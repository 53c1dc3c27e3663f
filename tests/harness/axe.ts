// SPDX-License-Identifier: Apache-2.0
// What axe finds fault with in a page as a browser shows it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "./browser.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** By all rules, best practices too. */
export async function violations(page: Page): Promise<string[]> {
  await page.value(`${axe}; 0`);
  const found = await page.value<readonly Violation[]>("axe.run(document).then(({ violations }) => violations)");
  return found.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}: ${failureSummary}`));
}

/** How much wider the page is than the window. */
export function overflow(page: Page): Promise<number> {
  return page.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
}
