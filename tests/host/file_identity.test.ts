// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "bun:test";
import { chmodSync, renameSync, writeFileSync } from "node:fs";
import process from "node:process";
import { identityAt, wasRemoved } from "../../src/host/file_identity.ts";
import { describeWith } from "../harness/needs.ts";
import { TempDir } from "../harness/temp_dir.ts";

function written(directory: TempDir, name: string): string {
  const path = directory.file(name);
  writeFileSync(path, name);
  return path;
}

test("what stands there is told from another file, and from nothing", () => {
  using directory = new TempDir();
  const path = written(directory, "one");
  const identity = identityAt(path);
  expect(wasRemoved(path, identity)).toBe(false);
  renameSync(written(directory, "another"), path);
  expect(wasRemoved(path, identity)).toBe(true);
  expect(wasRemoved(directory.file("nothing"), identity)).toBe(true);
});

describeWith("root")("another user than root", () => {
  test("takes a file in a closed directory for one that is there", () => {
    using directory = new TempDir();
    const path = written(directory, "one");
    const identity = identityAt(path);
    chmodSync(directory.path, 0o700);
    process.seteuid?.("nobody");
    try {
      expect(() => identityAt(path)).toThrow("EACCES");
      expect(wasRemoved(path, identity)).toBe(false);
    } finally {
      process.seteuid?.(0);
    }
  });
});
