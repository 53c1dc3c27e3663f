// SPDX-License-Identifier: Apache-2.0
// Takes the names of hostile_names.ts out of a compiled executable:
//   harden.ts PLAIN HARDENED
// The first byte of a name becomes NUL: getenv finds no empty name, and nobody can set a variable that
// starts with NUL, as they could with any other byte. The branch that follows the comparison with the
// prefix's first byte is made unconditional. A name that is not there exactly as often as in the Bun
// that was looked at fails the build: another Bun has to be looked at again.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import process from "node:process";
import { hostileNames, hostilePrefix } from "./hostile_names.ts";
import { guardProc } from "./proc_guard.ts";

const machineAt = 18;

interface BranchForm {
  /** The machine code that compares byte `index` with `byte` and leaves when it differs; undefined: any. */
  readonly compare: (index: number, byte: number) => readonly (number | undefined)[];
  /** Turns the conditional branch of the first comparison into one that is always taken. */
  readonly always: (code: Uint8Array) => void;
}

/** By e_machine. */
const branchForms: Readonly<Record<number, BranchForm>> = {
  // x86-64: cmp byte [r14+index], byte; jne short
  62: {
    compare: (index, byte) =>
      index === 0 ? [0x41, 0x80, 0x3e, byte, 0x75, undefined] : [0x41, 0x80, 0x7e, index, byte, 0x75, undefined],
    always: (code) => {
      code[4] = 0xeb;
    },
  },
  // AArch64: ldrb w10, [x9, index]; cmp w10, byte; b.ne
  183: {
    compare: (index, byte) => [
      ...littleEndian(0x3940012a + (index << 10)),
      ...littleEndian(0x7100015f + (byte << 10)),
      ...[undefined, undefined, undefined, 0x54],
    ],
    always: (code) => {
      const view = new DataView(code.buffer, code.byteOffset);
      const distance = (view.getInt32(8, true) << 8) >> 13;
      view.setUint32(8, 0x14000000 | (distance & 0x03ffffff), true);
    },
  },
};

function littleEndian(word: number): readonly number[] {
  return [word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, word >>> 24];
}

/** Changes the executable in place. @throws Error when it is not laid out as expected. */
export function harden(executable: Buffer): void {
  for (const { name } of hostileNames) {
    executable[once(executable, Buffer.from(`\0${name}\0`), `the name "${name}"`) + 1] = 0;
  }
  const form = branchForms[executable.readUInt16LE(machineAt)];
  if (form === undefined) throw new Error("Hardening: only executables for x86-64 and AArch64 are known");
  const pattern = [...Buffer.from(hostilePrefix)].flatMap((byte, index) => form.compare(index, byte));
  form.always(executable.subarray(oncePattern(executable, pattern)));
}

function once(executable: Buffer, text: Buffer, what: string): number {
  const first = executable.indexOf(text);
  if (first < 0 || executable.indexOf(text, first + 1) >= 0)
    throw unexpected(what, first < 0 ? "not" : "more than once");
  return first;
}

function oncePattern(executable: Buffer, pattern: readonly (number | undefined)[]): number {
  const head = pattern.indexOf(undefined);
  const anchor = Buffer.from(pattern.slice(0, head).map(Number));
  const found: number[] = [];
  for (let at = executable.indexOf(anchor); at >= 0; at = executable.indexOf(anchor, at + 1)) {
    if (pattern.every((byte, index) => byte === undefined || executable[at + index] === byte)) found.push(at);
  }
  const [first] = found;
  if (first === undefined || found.length > 1) {
    throw unexpected(`the comparison with "${hostilePrefix}"`, first === undefined ? "not" : "more than once");
  }
  return first;
}

function unexpected(what: string, howOften: string): Error {
  return new Error(
    `Hardening: ${what} is ${howOften} in the executable of Bun ${Bun.version}: look at this Bun as docs/hardening.md ` +
      "says and bring scripts/hostile_names.ts up to date",
  );
}

function main(plain: string | undefined, hardened: string | undefined): void {
  if (plain === undefined || hardened === undefined) throw new Error("Usage: harden.ts PLAIN HARDENED");
  const executable = readFileSync(plain);
  harden(executable);
  guardProc(executable);
  writeFileSync(`${hardened}.new`, executable, { mode: 0o755 });
  renameSync(`${hardened}.new`, hardened);
}

if (import.meta.main) main(process.argv[2], process.argv[3]);
