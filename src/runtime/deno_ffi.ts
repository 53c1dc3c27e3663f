// SPDX-License-Identifier: Apache-2.0
// Native calls on Deno. Needs --allow-ffi without a list: with one, Deno refuses to read memory.
import { checkedLibrary, type RawLibrary } from "./native_call.ts";
import type { Native, NativeType } from "./types.ts";

declare const denoPointer: unique symbol;
interface DenoPointer {
  readonly [denoPointer]: never;
}

/** Own declarations: the compiler that checks for Bun does not know Deno's. */
interface DenoFfi {
  dlopen(
    path: string,
    symbols: Readonly<Record<string, { readonly parameters: readonly string[]; readonly result: string }>>,
  ): RawLibrary;
  readonly UnsafePointer: {
    of(view: Uint8Array): DenoPointer | null;
    create(address: bigint): DenoPointer | null;
    value(pointer: DenoPointer | null): bigint;
  };
  readonly UnsafePointerView: {
    copyInto(pointer: DenoPointer, destination: Uint8Array): void;
    getCString(pointer: DenoPointer): string;
  };
}

const denoTypes = {
  i32: "i32",
  u32: "u32",
  i64: "i64",
  u64: "u64",
  ptr: "u64",
  buf: "buffer",
  void: "void",
} as const satisfies Record<NativeType, string>;

function denoFfi(): DenoFfi {
  return (globalThis as unknown as { readonly Deno: DenoFfi }).Deno;
}

function pointer(address: bigint): DenoPointer {
  const created = denoFfi().UnsafePointer.create(address);
  if (created === null) throw new TypeError("Cannot read native memory at NULL");
  return created;
}

export const native: Native = {
  open(path, symbols) {
    const library = denoFfi().dlopen(
      path,
      Object.fromEntries(
        Object.entries(symbols).map(([name, [args, result]]) => [
          name,
          { parameters: args.map((type) => denoTypes[type]), result: denoTypes[result] },
        ]),
      ),
    );
    return checkedLibrary(path, symbols, library);
  },
  address: (buffer) => denoFfi().UnsafePointer.value(denoFfi().UnsafePointer.of(buffer)),
  read(address, length) {
    const copy = new Uint8Array(new ArrayBuffer(length));
    denoFfi().UnsafePointerView.copyInto(pointer(address), copy);
    return copy;
  },
  text: (address) => denoFfi().UnsafePointerView.getCString(pointer(address)),
};
