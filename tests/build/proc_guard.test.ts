// SPDX-License-Identifier: Apache-2.0
// The executable where /proc is not mounted: one line that says so, and not the report of a bug in Bun.
import { expect, test } from "bun:test";
import process from "node:process";
import { guardProc } from "../../scripts/proc_guard.ts";
import { run } from "../harness/child.ts";
import { executable } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";

const isX86 = process.arch === "x64";

describeWith("namespaces", "executable")("without /proc", () => {
  test.skipIf(!isX86).each(["version", "run -l 127.0.0.1:5977", "doctor"])(
    "ttgate %s says what is missing",
    async (args) => {
      const script = 'mount -t tmpfs none /proc && exec "$@"';
      expect(await run(["unshare", "-m", "sh", "-c", script, "sh", executable, ...args.split(" ")])).toMatchObject({
        code: 3,
        stdout: "",
        stderr: "ttgate: Cannot start: /proc is not mounted: mount -t proc proc /proc\n",
      });
    },
  );
});

/** ELF header and one program header of an executable whose code begins so far into its page. */
function elf(codeAt: number): Buffer {
  const file = Buffer.alloc(codeAt + 16);
  file.writeUInt32BE(0x7f454c46);
  file.writeUInt16LE(62, 18);
  file.writeBigUInt64LE(BigInt(0x400000 + codeAt), 24);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt32LE(1, 64);
  file.writeUInt32LE(5, 68);
  file.writeBigUInt64LE(BigInt(codeAt), 72);
  file.writeBigUInt64LE(BigInt(0x400000 + codeAt), 80);
  return file;
}

test("the entry is moved before the code, and the code is left alone", () => {
  const file = elf(0x1800);
  file.fill(0x90, 0x1800);
  guardProc(file);
  const entry = Number(file.readBigUInt64LE(24)) - 0x400000;
  expect(entry).toBeWithin(0x1700, 0x1800);
  expect(file.subarray(entry, 0x1800).includes("/proc/self/maps\0")).toBe(true);
  expect([...file.subarray(0x1800)]).toEqual(new Array(16).fill(0x90));
});

test.each([
  ["is not mapped", elf(0x1010)],
  ["is in use", Buffer.from(elf(0x1800).fill(1, 0x17f0, 0x1800))],
])("room before the code that %s is not taken", (_name, file) => {
  expect(() => guardProc(file)).toThrow("Hardening: there is no room before the code");
});

test("another processor's executable stays as it is", () => {
  const file = elf(0x1800);
  file.writeUInt16LE(183, 18);
  const before = Buffer.from(file);
  guardProc(file);
  expect(file.equals(before)).toBe(true);
});
