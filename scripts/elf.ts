// SPDX-License-Identifier: Apache-2.0
// The dynamic section of a 64-bit little-endian ELF file: for which machine a shared object is, its
// SONAME and what it needs (gABI chapters 4 and 5). Reads nothing else and knows no search paths.

export interface SharedObject {
  /** e_machine: 62 is x86-64, 183 AArch64. */
  readonly machine: number;
  readonly soname: string;
  readonly needed: readonly string[];
}

const programLoad = 1;
const programDynamic = 2;
const tagNull = 0;
const tagNeeded = 1;
const tagStringTable = 5;
const tagSoname = 14;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly fileBytes: number;
}

/** @throws Error when it is not a shared object of this kind. */
export function readSharedObject(file: Uint8Array): SharedObject {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 64 || view.getUint32(0) !== 0x7f454c46) throw new Error("Not an ELF file");
  if (file[4] !== 2 || file[5] !== 1) throw new Error("Not a 64-bit little-endian ELF file");
  const segments = readSegments(view);
  const dynamic = segments.find((segment) => segment.type === programDynamic);
  if (dynamic === undefined) throw new Error("Not dynamically linked: no PT_DYNAMIC segment");

  const neededAt: number[] = [];
  let sonameAt: number | undefined;
  let stringsAt: number | undefined;
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.fileBytes; at += 16) {
    const tag = Number(view.getBigInt64(at, true));
    const value = Number(view.getBigUint64(at + 8, true));
    if (tag === tagNull) break;
    if (tag === tagNeeded) neededAt.push(value);
    if (tag === tagSoname) sonameAt = value;
    if (tag === tagStringTable) stringsAt = fileOffset(segments, value);
  }
  if (stringsAt === undefined || sonameAt === undefined) throw new Error("Not a shared library: no DT_SONAME");
  const strings = stringsAt;
  return {
    machine: view.getUint16(18, true),
    soname: textAt(file, strings + sonameAt),
    needed: neededAt.map((offset) => textAt(file, strings + offset)),
  };
}

/** The glibc that files need: the newest of the versions that their symbols are bound to. */
export function neededGlibc(files: readonly Uint8Array[]): string {
  const versions = files.flatMap((file) =>
    [...new TextDecoder("latin1").decode(file).matchAll(/\0GLIBC_(\d+)\.(\d+)/g)].map(
      ([, major, minor]) => [Number(major), Number(minor)] as const,
    ),
  );
  const [newest] = versions.sort(([a, b], [c, d]) => c - a || d - b);
  if (newest === undefined) throw new Error("No symbol is bound to a version of glibc");
  return newest.join(".");
}

function readSegments(view: DataView): Segment[] {
  const tableOffset = Number(view.getBigUint64(32, true));
  const entryBytes = view.getUint16(54, true);
  return Array.from({ length: view.getUint16(56, true) }, (_, index) => {
    const at = tableOffset + index * entryBytes;
    return {
      type: view.getUint32(at, true),
      offset: Number(view.getBigUint64(at + 8, true)),
      address: Number(view.getBigUint64(at + 16, true)),
      fileBytes: Number(view.getBigUint64(at + 32, true)),
    };
  });
}

function fileOffset(segments: readonly Segment[], address: number): number {
  const holder = segments.find(
    ({ type, address: start, fileBytes }) => type === programLoad && address >= start && address < start + fileBytes,
  );
  if (holder === undefined) throw new Error("Damaged ELF file: the string table is in no segment");
  return holder.offset + address - holder.address;
}

function textAt(file: Uint8Array, start: number): string {
  const end = file.indexOf(0, start);
  if (end < 0) throw new Error("Damaged ELF file: a string does not end");
  return new TextDecoder().decode(file.subarray(start, end));
}
