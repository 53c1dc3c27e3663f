// SPDX-License-Identifier: Apache-2.0
// docs/limits.md says of each limit on connections its default, the reason, and where it is counted: its options and
// metrics are those that there are, and its figures those of the code.
import { describe, expect, test } from "bun:test";
import { globSync, readFileSync } from "node:fs";
import { type OptionName, options } from "../../src/config/options.ts";

const page = readFileSync("docs/limits.md", "utf8");
const [, connections = ""] = page.split(/^## .*$/m);
const rows = connections
  .split("\n")
  .filter((line) => line.startsWith("| "))
  .slice(1)
  .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, "").trim()));

test("each limit has a default and a reason", () => {
  expect(rows.length).toBeGreaterThan(10);
  for (const [what = "", limit = "", why = ""] of rows) {
    expect({ what, hasLimit: limit.length > 0, hasReason: why.length > 10 }).toEqual({
      ...{ what, hasLimit: true, hasReason: true },
    });
  }
});

test("each metric is one that there is", () => {
  const known = readFileSync("docs/metrics.md", "utf8");
  const named = connections.match(/ttgate_[a-z_]+/g) ?? [];
  expect(named.length).toBeGreaterThan(8);
  expect(named.filter((name) => !known.includes(`\`${name}\``))).toEqual([]);
});

test("each option is one that there is, with the default that its help tells", () => {
  for (const [what = "", limit = "", , changedBy = ""] of rows) {
    const [, name] = /`--([a-z-]+)`/.exec(changedBy) ?? [];
    if (name === undefined) continue;
    expect(Object.keys(options)).toContain(name);
    const [, told = "none"] = /\(default:? ([^)]+)\)/.exec(options[name as OptionName].help) ?? [];
    const isNone = ["0", "no limit", "never", "none"].includes(told);
    if (isNone) expect([what, limit]).toEqual([what, "none"]);
    else if (/^\d/.test(told)) expect([what, limit]).toEqual([what, told.replace(/(?<=\d)(?=[a-z])/, " ")]);
  }
});

describe("a figure of the code", () => {
  test.each([
    ["reservedDescriptors = 128", "less 128"],
    ["connectTimeoutMs = 3500", "3.5 s"],
    ["unansweredLimit = 256", "256"],
    ["heldLimitBytes = 256 * 1024", "256 KiB"],
    ["prefixLimitBytes = 4096", "4096 bytes"],
    ["followersLimit = 16", "16; 64"],
    ["jobsLimit = 64", "16; 64"],
    ["httpIdleSeconds = 60", "60 s"],
  ])("%s", (code, told) => {
    const sources = globSync("src/**/*.ts", { exclude: ["src/generated/**"] });
    expect(sources.filter((file) => readFileSync(file, "utf8").includes(code))).toHaveLength(1);
    expect(connections).toContain(told);
  });
});
