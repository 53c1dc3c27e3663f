// SPDX-License-Identifier: Apache-2.0
// What `make docs` writes is what stands in docs/.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { defaultConfig } from "../../scripts/default_config.ts";
import { dataPath } from "../../scripts/pictures/data_path.ts";
import { exitCodesLine } from "../../src/cli/exit_codes.ts";
import { commandsDoc } from "../commands/commands_doc.ts";
import { metricsDoc } from "../status/metrics_doc.ts";

test.each([
  ["docs/commands.md", commandsDoc],
  ["docs/metrics.md", metricsDoc],
  ["contrib/ttgate.toml", defaultConfig],
])("%s is current: make docs", async (file, made) => {
  expect(readFileSync(file, "utf8")).toBe(await made());
});

test("docs/images/data_path.svg is current: make picture", () => {
  expect(readFileSync("docs/images/data_path.svg", "utf8")).toBe(dataPath());
});

test("the README has the exit codes in the same words", () => {
  expect(readFileSync("README.md", "utf8").replaceAll(/\s+/g, " ")).toContain(exitCodesLine);
});
