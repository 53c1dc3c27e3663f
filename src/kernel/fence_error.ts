// SPDX-License-Identifier: Apache-2.0
// Why the kernel block can not be had, in the words that a person sees. `configuration`: what was asked
// for can not work on this host as it is (exit 2); `runtime`: the kernel refused what should work (exit 3).

export type FenceErrorKind = "configuration" | "runtime";

export class FenceError extends Error {
  readonly kind: FenceErrorKind;

  constructor(message: string, options: { readonly kind?: FenceErrorKind; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "FenceError";
    this.kind = options.kind ?? "configuration";
  }
}
