// SPDX-License-Identifier: Apache-2.0
// Native calls on Bun. The module is asked of the process, not imported: a static import of "bun:ffi"
// stops Deno's type check, and a dynamic one would make opening a library asynchronous.
import process from "node:process";
import { checkedLibrary, type RawLibrary } from "./native_call.ts";
import type { Native, NativeType } from "./types.ts";

interface BunFfi {
  dlopen(
    path: string,
    symbols: Readonly<Record<string, { readonly args: readonly string[]; readonly returns: string }>>,
  ): RawLibrary;
  ptr(view: Uint8Array): number;
  toArrayBuffer(address: number, offset: number, length: number): ArrayBuffer;
  readonly CString: new (address: number) => { toString(): string };
}

/** Opaque pointers as u64: bigint on both runtimes, and never rounded. */
const bunTypes = {
  i32: "i32",
  u32: "u32",
  i64: "i64",
  u64: "u64",
  ptr: "u64",
  buf: "ptr",
  void: "void",
} as const satisfies Record<NativeType, string>;

function bunFfi(): BunFfi {
  const getBuiltinModule: (id: string) => unknown = process.getBuiltinModule;
  return getBuiltinModule("bun:ffi") as BunFfi;
}

export const native: Native = {
  open(path, symbols) {
    const library = bunFfi().dlopen(
      path,
      Object.fromEntries(
        Object.entries(symbols).map(([name, [args, result]]) => [
          name,
          { args: args.map((type) => bunTypes[type]), returns: bunTypes[result] },
        ]),
      ),
    );
    return checkedLibrary(path, symbols, library);
  },
  address: (buffer) => BigInt(bunFfi().ptr(buffer)),
  read(address, length) {
    const copy = new Uint8Array(new ArrayBuffer(length));
    copy.set(new Uint8Array(bunFfi().toArrayBuffer(Number(address), 0, length)));
    return copy;
  },
  text: (address) => new (bunFfi().CString)(Number(address)).toString(),
};
