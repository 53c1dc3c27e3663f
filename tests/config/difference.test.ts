// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { changeText } from "../../src/config/difference.ts";

const many = Array.from({ length: 100_000 }, (_, index) => `entry ${index}`);

test("a value is shown as it was and as it is, a long list by what came and went", () => {
  expect(changeText("1h", null)).toBe('"1h" is now null');
  expect(changeText(["a"], ["a", "b"])).toBe('["a"] is now ["a","b"]');
  expect(changeText(["a", ...many.slice(0, 50)], many.slice(0, 52))).toBe(
    '2 came ("entry 50", "entry 51"), 1 went ("a")',
  );
  expect(changeText([], many)).toMatch(/^100000 came \("entry 0", .*"entry 9", 99990 more\)$/);
});
