// SPDX-License-Identifier: Apache-2.0
// Watches what other hands can do to ttgate's maps while it runs: a pin that was removed is put back, a
// map that was frozen is told. Knows nothing of what the maps hold.
import { Failure, messageOf } from "../../../failure.ts";
import { isFrozen, openMap, readMapInfo } from "../../../kernel/bpf_map.ts";
import { closedDirectory, openPin, pin, prepareDirectory, WatchedPin } from "../../../kernel/bpffs.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import type { Log } from "../../../log.ts";

export interface WatchedMap {
  readonly fd: number;
  /** Its path, or what else it is called. */
  readonly name: string;
  /** False for a map that somebody else pinned, or did not. */
  readonly isPinned: boolean;
}

interface Watched extends WatchedMap {
  readonly id: number;
  pin: WatchedPin;
}

export class Integrity implements Disposable {
  readonly #libraries: Libraries;
  readonly #maps: readonly Watched[];
  readonly #log: Log;
  #frozen: readonly string[] = [];

  constructor(libraries: Libraries, maps: readonly WatchedMap[], log: Log) {
    this.#libraries = libraries;
    this.#maps = maps.map((map) => ({
      ...{ ...map, id: openMap(libraries, map.fd).info.id },
      pin: new WatchedPin(libraries, map.name),
    }));
    this.#log = log;
  }

  /** Names of the maps that no entry can be written to any more: nothing undoes that. */
  get frozen(): readonly string[] {
    return this.#frozen;
  }

  /** Puts back what can be. @returns what is wrong all the same, a sentence each. */
  check(): readonly string[] {
    this.#frozen = this.#maps.filter(({ fd }) => isFrozen(this.#libraries, fd)).map(({ name }) => name);
    const frozen = this.#frozen.map(
      (name) => `Map "${name}" was frozen by another tool: no ban can be written into it`,
    );
    return [...frozen, ...this.#maps.flatMap((map) => this.#checkPin(map) ?? [])];
  }

  #checkPin(map: Watched): string | undefined {
    const libraries = this.#libraries;
    const { fd, name, id, isPinned } = map;
    if (!isPinned) return replacedPin(libraries, name, id);
    const found = openPin(libraries, name);
    // A user without rights to the directory cannot look.
    if (typeof found === "number") return map.pin.isGone ? notPutBack(name, closedDirectory(name)) : undefined;
    if (found !== undefined) {
      using pinned = found;
      if (pinned.kind === "map" && readMapInfo(libraries, pinned.fd).id === id) return undefined;
      return `Pin "${name}" is another tool's now: a crash would forget the bans; remove it with rm ${name}`;
    }
    try {
      prepareDirectory(libraries, name, (message) => this.#log("warn", message));
      pin(libraries, fd, name);
      map.pin[Symbol.dispose]();
      map.pin = new WatchedPin(libraries, name);
      this.#log("warn", `Pin "${name}" was removed by another tool: put back`);
      return undefined;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return notPutBack(name, messageOf(error));
    }
  }

  [Symbol.dispose](): void {
    for (const map of this.#maps) map.pin[Symbol.dispose]();
  }
}

function notPutBack(name: string, why: string): string {
  return `Pin "${name}" was removed and cannot be put back: ${why}; a crash would forget the bans; start ttgate again`;
}

/** Whether somebody put another map at the path of the one that is in use. @returns what is wrong then. */
export function replacedPin(libraries: Libraries, name: string, id: number): string | undefined {
  const found = openPin(libraries, name);
  if (found === undefined || typeof found === "number") return undefined;
  using pinned = found;
  if (pinned.kind === "map" && readMapInfo(libraries, pinned.fd).id === id) return undefined;
  return `Pin "${name}" is not the map in use any more: what others write there has no effect; start ttgate again`;
}
