// SPDX-License-Identifier: Apache-2.0
// Every link from a page to a file of this repository, or to a heading in it, leads somewhere.
import { expect, test } from "bun:test";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** As GitHub makes a heading's anchor. */
function anchorsOf(page: string): string[] {
  return [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

function broken(file: string): string[] {
  const page = readFileSync(file, "utf8");
  const links = [...page.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g)];
  return links.flatMap(([link, path = "", anchor]) => {
    const target = path === "" ? file : join(dirname(file), path);
    if (!existsSync(target)) return [`${file}: ${link}`];
    const isThere = anchor === undefined || anchorsOf(readFileSync(target, "utf8")).includes(anchor);
    return isThere ? [] : [`${file}: ${link}`];
  });
}

test("no link of a page leads nowhere", () => {
  expect(["README.md", ...globSync("docs/**/*.md")].flatMap(broken)).toEqual([]);
});

test("docs/index.md names every page", () => {
  const index = readFileSync("docs/index.md", "utf8");
  const pages = globSync("docs/**/*.md").map((file) => file.slice("docs/".length));
  expect(pages.filter((page) => page !== "index.md" && !index.includes(`(${page}`))).toEqual([]);
});
