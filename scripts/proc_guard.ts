// SPDX-License-Identifier: Apache-2.0
// Puts a few instructions before the entry of a compiled executable: without /proc the JavaScript engine
// aborts before any code of ttgate runs, with the report of a bug in Bun. They look for what it reads, say
// what is missing, and end with exit code 3. x86-64 only; elsewhere the executable stays as it is.

const entryAt = 24;
const machineAt = 18;
const machineX86 = 62;
const loadSegment = 1;
const executableFlag = 1;
const pageBytes = 4096;

const path = "/proc/self/maps";
const message = "ttgate: Cannot start: /proc is not mounted: mount -t proc proc /proc\n";

/** Changes the executable in place. @throws Error when there is no room for the instructions. */
export function guardProc(executable: Buffer): void {
  if (executable.readUInt16LE(machineAt) !== machineX86) return;
  const entry = executable.readBigUInt64LE(entryAt);
  const text = codeSegment(executable);
  const at = text.offset - roundUp(guardOf(0n, 0n).length);
  // The page in which the code begins is mapped from its start; what lies before the code is padding.
  const isRoom =
    at >= text.offset - (text.offset % pageBytes) && executable.subarray(at, text.offset).every((byte) => byte === 0);
  if (!isRoom)
    throw new Error("Hardening: there is no room before the code for the look at /proc: see scripts/proc_guard.ts");
  const address = text.address - BigInt(text.offset - at);
  executable.set(guardOf(address, entry), at);
  executable.writeBigUInt64LE(address, entryAt);
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 16) * 16;
}

function codeSegment(executable: Buffer): { readonly offset: number; readonly address: bigint } {
  const table = Number(executable.readBigUInt64LE(32));
  const entryBytes = executable.readUInt16LE(54);
  for (let index = 0; index < executable.readUInt16LE(56); index++) {
    const at = table + index * entryBytes;
    const isCode = (executable.readUInt32LE(at + 4) & executableFlag) !== 0;
    if (executable.readUInt32LE(at) !== loadSegment || !isCode) continue;
    return { offset: Number(executable.readBigUInt64LE(at + 8)), address: executable.readBigUInt64LE(at + 16) };
  }
  throw new Error("Hardening: the executable has no segment with code");
}

/** System calls leave rdx alone, which holds what the program runs at its end (psABI 3.4.1). */
function guardOf(address: bigint, entry: bigint): Buffer {
  const pathText = Buffer.from(`${path}\0`);
  const messageText = Buffer.from(message);
  const refuse = Buffer.concat(
    [
      ...[[0xbf], word(2)], // mov edi, 2
      ...[[0x48, 0x8d, 0x35], word(5 + 5 + 2 + 5 + 5 + 2 + pathText.length)], // lea rsi, [message]
      ...[[0xba], word(messageText.length)], // mov edx, length
      ...[[0xb8], word(1)], // mov eax, write
      ...[[0x0f, 0x05]], // syscall
      ...[[0xbf], word(3)], // mov edi, 3
      ...[[0xb8], word(231)], // mov eax, exit_group
      ...[[0x0f, 0x05]], // syscall
    ].map((part) => Buffer.from(part)),
  );
  const look = Buffer.concat(
    [
      ...[[0x48, 0x8d, 0x3d], word(5 + 5 + 2 + 2 + 2 + 5 + refuse.length)], // lea rdi, [path]
      ...[[0xbe], word(4)], // mov esi, R_OK
      ...[[0xb8], word(21)], // mov eax, access
      ...[[0x0f, 0x05]], // syscall
      ...[[0x85, 0xc0]], // test eax, eax
      ...[[0x78, 5]], // js refuse
    ].map((part) => Buffer.from(part)),
  );
  const next = address + BigInt(look.length + 5);
  const leave = Buffer.from([0xe9, ...word(Number(entry - next))]); // jmp entry
  return Buffer.concat([look, leave, refuse, pathText, messageText]);
}

/** 32 bits, little-endian. */
function word(value: number): readonly number[] {
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff];
}
