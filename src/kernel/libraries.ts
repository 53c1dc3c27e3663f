// SPDX-License-Identifier: Apache-2.0
// libbpf and the two libraries that it needs, carried by the executable and loaded out of memory: no
// temporary files, nothing to install. They find one another by SONAME among what is loaded already.
// Nothing is opened before the first call, so that help and unit tests need no native library.

import { Unsupported } from "../failure.ts";
import type { Native } from "../runtime/types.ts";
import { type LibbpfCalls, libbpfSymbols } from "./libbpf.ts";
import { type Libc, openLibc } from "./libc.ts";
import { memoryFile } from "./memory_file.ts";

/** One harmless function each: a runtime cannot open a library without naming a symbol. */
const witnesses: Readonly<Record<string, string>> = { "libz.so.1": "zlibVersion", "libelf.so.1": "elf_errno" };

export interface Libraries {
  readonly native: Native;
  readonly libc: Libc;
  readonly bpf: LibbpfCalls;
}

let opened: Promise<Libraries> | undefined;

/** Opened once for the process and never closed: the loader would take a reused path for the same library. */
export function openLibraries(native: Native): Promise<Libraries> {
  opened ??= open(native).catch(async (cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Unsupported(`Cannot load libbpf: ${reason}: ${await remedyOf(reason)}`, { exitCode: 3, cause });
  });
  return opened;
}

async function remedyOf(reason: string): Promise<string> {
  if (!reason.includes("GLIBC_")) return "run a build for this host, under a unit without MemoryDenyWriteExecute=";
  const { neededGlibc } = await import("../generated/native_libraries.ts");
  return `this build's kernel block needs glibc ${neededGlibc} or later: run a build for this host, or leave out -B`;
}

async function open(native: Native): Promise<Libraries> {
  const { nativeLibraries } = await import("../generated/native_libraries.ts");
  const libc = openLibc(native);
  let bpf: LibbpfCalls | undefined;
  for (const { name, base64 } of nativeLibraries) {
    // The descriptor stays open: a later one of the same number would be mistaken for this library.
    const path = `/proc/self/fd/${memoryFile(libc, name, Uint8Array.fromBase64(base64))}`;
    const witness = witnesses[name];
    if (witness === undefined) bpf = native.open(path, libbpfSymbols).calls;
    else native.open(path, { [witness]: [[], "ptr"] });
  }
  if (bpf === undefined) throw new Error("This build carries no libbpf: build it again with make");
  // libbpf would print to stderr on its own; results and the verifier log tell the same.
  bpf.libbpf_set_print(0n);
  return { native, libc, bpf };
}
