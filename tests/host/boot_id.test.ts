// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { bootId } from "../../src/host/boot_id.ts";

const path = "/proc/sys/kernel/random/boot_id";

test("what the kernel says counts, in the form in which the service manager writes it", () => {
  const said = readFileSync(path, "utf8").trim().replaceAll("-", "");
  expect(said).toMatch(/^[0-9a-f]{32}$/);
  expect(bootId({})).toBe(said);
  expect(bootId({ TTGATE_BOOT_ID: "0".repeat(32) })).toBe(said);
});

test("where /proc does not tell, the environment does, and nonsense is nothing", () => {
  const hidden = () => {
    throw new Error("ENOENT");
  };
  const id = "0123456789abcdef0123456789abcdef";
  expect(bootId({ TTGATE_BOOT_ID: id }, hidden)).toBe(id);
  for (const nonsense of [undefined, "", "%b", id.slice(1)])
    expect(bootId({ TTGATE_BOOT_ID: nonsense }, hidden)).toBe(undefined);
});
