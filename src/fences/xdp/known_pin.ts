// SPDX-License-Identifier: Apache-2.0
// Whether what stands at the path of a pin is still what was put there. The object is opened and asked for once; as
// long as the same inode stands there, it is the same object.
import { identityAt } from "../../host/file_identity.ts";
import { openPin, type Pin, WatchedPin } from "../../kernel/bpffs.ts";
import type { Libraries } from "../../kernel/libraries.ts";

export class KnownPin implements Disposable {
  readonly #libraries: Libraries;
  readonly #path: string;
  readonly #isIt: (pin: Pin) => boolean;
  /** Of the inode that was found to be it. */
  #identity: string | undefined;
  readonly #watched: WatchedPin;

  constructor(libraries: Libraries, path: string, isIt: (pin: Pin) => boolean) {
    this.#libraries = libraries;
    this.#path = path;
    this.#isIt = isIt;
    this.#watched = new WatchedPin(libraries, path);
  }

  /** "unknown": this user may not look. "gone": nor put it back, and it was removed. @throws KernelError */
  standing(): "it" | "another" | "nothing" | "unknown" | "gone" {
    const identity = identityOf(this.#path);
    if (identity !== undefined && identity === this.#identity) return "it";
    const found = openPin(this.#libraries, this.#path);
    if (found === undefined) return "nothing";
    if (typeof found === "number") return this.#watched.isGone ? "gone" : "unknown";
    using pin = found;
    // Its path is enough; what is watched keeps the file system from being unmounted.
    this[Symbol.dispose]();
    if (!this.#isIt(pin)) return "another";
    this.#identity = identity;
    return "it";
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#watched[Symbol.dispose]();
  }
}

/** Undefined also where it cannot be told: then the pin is opened each time. */
function identityOf(path: string): string | undefined {
  try {
    return identityAt(path);
  } catch {
    return undefined;
  }
}
