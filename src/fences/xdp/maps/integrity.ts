// SPDX-License-Identifier: Apache-2.0
// Watches what other hands can do to ttgate's maps while it runs: a pin that was removed is put back, a
// map that was frozen is told. Knows nothing of what the maps hold.
import { Failure, messageOf } from "../../../failure.ts";
import { type BpfMap, openMap, readMapInfo } from "../../../kernel/bpf_map.ts";
import { pin, prepareDirectory } from "../../../kernel/bpffs.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import type { Log } from "../../../log.ts";
import { KnownPin } from "../known_pin.ts";

export interface WatchedMap {
  readonly fd: number;
  /** Its path, or what else it is called. */
  readonly name: string;
  /** False for a map that somebody else pinned, or did not. */
  readonly isPinned: boolean;
}

interface Watched extends WatchedMap {
  readonly map: BpfMap;
  readonly knownPin: KnownPin;
}

export class Integrity {
  readonly #libraries: Libraries;
  readonly #maps: readonly Watched[];
  readonly #log: Log;
  #frozen: readonly string[] = [];

  constructor(libraries: Libraries, maps: readonly WatchedMap[], log: Log) {
    this.#libraries = libraries;
    this.#maps = maps.map((watched) => {
      const map = openMap(libraries, watched.fd);
      return { ...watched, map, knownPin: pinOfMap(libraries, watched.name, map.info.id) };
    });
    this.#log = log;
  }

  /** Names of the maps that no entry can be written to any more: nothing undoes that. */
  get frozen(): readonly string[] {
    return this.#frozen;
  }

  /** Puts back what can be. @returns what is wrong all the same, a sentence each. */
  check(): readonly string[] {
    this.#frozen = this.#maps.filter(({ map }) => map.isFrozen()).map(({ name }) => name);
    const frozen = this.#frozen.map(
      (name) => `Map "${name}" was frozen by another tool: no ban can be written into it`,
    );
    return [...frozen, ...this.#maps.flatMap((map) => this.#checkPin(map) ?? [])];
  }

  #checkPin({ fd, name, isPinned, knownPin }: Watched): string | undefined {
    const standing = knownPin.standing();
    // A user without rights to the directory cannot look.
    if (standing === "it" || standing === "unknown") return undefined;
    if (!isPinned) return standing === "another" ? replacedPin(name) : undefined;
    if (standing === "another")
      return `Pin "${name}" is another tool's now: a crash would forget the bans; remove it with rm ${name}`;
    try {
      prepareDirectory(this.#libraries, name, (message) => this.#log("warn", message));
      pin(this.#libraries, fd, name);
      this.#log("warn", `Pin "${name}" was removed by another tool: put back`);
      return undefined;
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return `Pin "${name}" was removed and cannot be put back: ${messageOf(error)}; a crash would forget the bans`;
    }
  }
}

export function pinOfMap(libraries: Libraries, name: string, id: number): KnownPin {
  return new KnownPin(libraries, name, ({ kind, fd }) => kind === "map" && readMapInfo(libraries, fd).id === id);
}

/** Somebody put another map at the path of the one that is in use. */
export function replacedPin(name: string): string {
  return `Pin "${name}" is not the map in use any more: what others write there has no effect; start ttgate again`;
}
