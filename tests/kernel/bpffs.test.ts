// SPDX-License-Identifier: Apache-2.0
import { afterEach, expect, test } from "bun:test";
import process from "node:process";
import { writablePath } from "../../src/kernel/bpffs.ts";

const before = process.env["TTGATE_BPFFS"];
afterEach(() => {
  if (before === undefined) delete process.env["TTGATE_BPFFS"];
  else process.env["TTGATE_BPFFS"] = before;
});

test("what is under the usual root is written where the environment says, and nothing else is", () => {
  const paths = ["/sys/fs/bpf", "/sys/fs/bpf/ttgate", "/sys/fs/bpf/site/ttgate", "/sys/fs/bpfs", "/mnt/bpf/ttgate"];
  process.env["TTGATE_BPFFS"] = "/run/ttgate-bpf";
  expect(paths.map(writablePath)).toEqual([
    ...["/run/ttgate-bpf", "/run/ttgate-bpf/ttgate", "/run/ttgate-bpf/site/ttgate"],
    ...["/sys/fs/bpfs", "/mnt/bpf/ttgate"],
  ]);
  for (const nothing of ["", undefined]) {
    if (nothing === undefined) delete process.env["TTGATE_BPFFS"];
    else process.env["TTGATE_BPFFS"] = nothing;
    expect(paths.map(writablePath)).toEqual(paths);
  }
});
