// SPDX-License-Identifier: Apache-2.0
// The environment variables by which somebody else could take a compiled executable over, found in
// Bun 1.4.5 and tried one by one (docs/hardening.md). Each name is in the executable once as a C string,
// for getenv. scripts/harden.ts takes them out.

export interface HostileName {
  readonly name: string;
  /** What the variable makes an executable do that nobody took it out of. */
  readonly effect: string;
}

export const hostileNames: readonly HostileName[] = [
  { name: "BUN_BE_BUN", effect: "is the bun command: runs any script, reads ./bunfig.toml" },
  { name: "BUN_OPTIONS", effect: "takes bun's options: --preload runs a script first, --cpu-prof writes files" },
  { name: "BUN_INSPECT", effect: "listens for a debugger, which runs code" },
  { name: "BUN_INSPECT_CONNECT_TO", effect: "connects to a debugger, which runs code" },
  { name: "BUN_BYTECODE_ORDER_OUT", effect: "writes a file on exit" },
  { name: "BUN_BYTECODE_DIGEST_OUT", effect: "writes a file on exit" },
  { name: "BUN_ENABLE_CRASH_REPORTING", effect: "runs curl from PATH after a crash" },
  { name: "JSC_SIGNAL_FOR_GC", effect: "takes any signal away from the program: SIGTERM does nothing any more" },
  { name: "JavaScriptCoreUseJIT", effect: "switches the JIT off and with it the calls to libbpf" },
];

/**
 * BUN_JSC_* hands the rest of the name to the engine: functionOverrides=FILE replaces functions with
 * the file's code, jitDumpDirectory=DIR writes there. It is no string: the code compares byte by byte.
 */
export const hostilePrefix = "BUN_JSC_";
