// SPDX-License-Identifier: Apache-2.0
// The checks in front of every native call, the same on each runtime: Bun truncates silently what does
// not fit the C type (`i32(undefined)` is 0), Deno throws; Bun gives an empty view a non-null address,
// Deno NULL. Knows no runtime: the adapters hand it the raw function.
import type { NativeCalls, NativeLibrary, NativeSymbols, NativeType } from "./types.ts";

export type NativeArgument = number | bigint | Uint8Array<ArrayBuffer> | null;

export type RawCall = (...args: NativeArgument[]) => unknown;

const ranges = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
  i64: [-(2n ** 63n), 2n ** 63n - 1n],
  u64: [0n, 2n ** 64n - 1n],
  ptr: [0n, 2n ** 64n - 1n],
} as const;

/** A library as a runtime opens it. */
export interface RawLibrary {
  readonly symbols: Readonly<Record<string, RawCall | undefined>>;
  close(): void;
}

/** @throws Error when a symbol is not there. */
export function checkedLibrary<const S extends NativeSymbols>(
  path: string,
  symbols: S,
  library: RawLibrary,
): NativeLibrary<S> {
  const calls = Object.entries(symbols).map(([name, [args]]) => {
    const raw = library.symbols[name];
    if (raw === undefined) throw new Error(`Library "${path}" has no symbol "${name}"`);
    return [name, checkedCall(name, args, raw)];
  });
  return {
    calls: Object.fromEntries(calls) as NativeCalls<NativeSymbols> as NativeCalls<S>,
    [Symbol.dispose]: () => library.close(),
  };
}

/** @throws TypeError when an argument is missing, of another type or out of the C type's range. */
function checkedCall(name: string, types: readonly NativeType[], raw: RawCall): RawCall {
  return (...args) => {
    if (args.length !== types.length) {
      throw new TypeError(`${name} takes ${types.length} arguments, got ${args.length}`);
    }
    for (let index = 0; index < types.length; index++) {
      args[index] = checkedArgument(name, index, types[index] ?? "void", args[index]);
    }
    return raw(...args);
  };
}

function checkedArgument(name: string, index: number, kind: NativeType, value: unknown): NativeArgument {
  switch (kind) {
    case "i32":
    case "u32":
      if (typeof value === "number" && Number.isInteger(value) && value >= ranges[kind][0] && value <= ranges[kind][1])
        return value;
      break;
    case "i64":
    case "u64":
    case "ptr":
      if (typeof value === "bigint" && value >= ranges[kind][0] && value <= ranges[kind][1]) return value;
      break;
    case "buf":
      if (value === null) return value;
      if (value instanceof Uint8Array && value.buffer instanceof ArrayBuffer) {
        return value.byteLength === 0 ? null : (value as Uint8Array<ArrayBuffer>);
      }
      break;
    case "void":
      break;
    default:
      kind satisfies never;
  }
  throw new TypeError(`${name} argument ${index + 1}: not a valid ${kind}: ${String(value)}`);
}
