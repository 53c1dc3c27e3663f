// SPDX-License-Identifier: Apache-2.0
// Somebody else's program that reads the documented map: ttgate only manages the entries. Tells where
// that program is attached and notices when it is gone, since then nothing is blocked any more.

import { closeFd } from "../../../kernel/bpffs.ts";
import type { Libraries } from "../../../kernel/libraries.ts";
import { interfaceIndex, queryXdp } from "../../../kernel/xdp_query.ts";
import type { Log } from "../../../log.ts";
import type { KnownPin } from "../known_pin.ts";
import { pinOfMap, replacedPin } from "../maps/integrity.ts";
import type { OutcomeCount } from "../maps/layout.ts";
import type { NamedMap } from "../maps/map_set.ts";
import { describeProgram, isLoaded, type ProgramInfo, programById } from "../programs.ts";
import type { AttachMode, GuardedPlace } from "./attachment.ts";
import type { PacketFilter } from "./packet_filter.ts";

export class ForeignFilter implements PacketFilter {
  readonly #libraries: Libraries;
  readonly #mapFd: number;
  readonly #mapId: number;
  /** A path, or `id:N`. */
  readonly #mapName: string;
  readonly #knownPin: KnownPin;
  #readers: readonly ProgramInfo[];
  readonly #description: string;
  #interfaces: readonly string[];
  readonly #log: Log;
  #gone = false;
  /** Interfaces on which a reader was seen. */
  readonly #held = new Set<string>();

  /** @param map its descriptor is closed with this. */
  constructor(
    libraries: Libraries,
    { fd, info, name }: NamedMap,
    readers: readonly ProgramInfo[],
    interfaces: readonly string[],
    log: Log,
  ) {
    this.#libraries = libraries;
    this.#mapFd = fd;
    this.#mapId = info.id;
    this.#mapName = name;
    this.#knownPin = pinOfMap(libraries, name, info.id);
    this.#readers = readers;
    this.#description = readers.map(({ id }) => describeProgram(libraries, id)).join(", ");
    this.#interfaces = interfaces;
    this.#log = log;
  }

  places(): readonly GuardedPlace[] {
    return this.#interfaces.map((name) => ({ name, ...this.#state(name) }));
  }

  #state(name: string): { readonly attach: AttachMode; readonly reason: string | undefined } {
    if (this.#gone) return { attach: "none", reason: `${this.#description} is gone: start ttgate again` };
    const ifindex = interfaceIndex(this.#libraries, name);
    if (ifindex === 0) return { attach: "none", reason: "the interface is not there" };
    const { programId, mode } = queryXdp(this.#libraries, ifindex);
    if (this.#isReader(programId)) {
      this.#held.add(name);
      return { attach: mode, reason: mode === "native" ? undefined : `${this.#description} is attached as ${mode}` };
    }
    if (this.#held.has(name)) return { attach: "none", reason: `${this.#description} is not attached here any more` };
    if (this.#readers.some(({ kind }) => kind !== "XDP")) {
      return { attach: "tc", reason: `${this.#description} reads the map; where it is attached is not known` };
    }
    return { attach: "none", reason: `${this.#description} reads the map and is not attached here` };
  }

  /** Also one that came later, as a new version of the first does; without CAP_SYS_ADMIN nothing is known of that. */
  #isReader(programId: number): boolean {
    if (this.#readers.some(({ id }) => id === programId)) return true;
    const program = programId === 0 ? undefined : programById(this.#libraries, programId);
    if (program === undefined || !program.mapIds.includes(this.#mapId)) return false;
    this.#readers = [...this.#readers, program];
    return true;
  }

  /** What that program drops, it alone knows. */
  dropped(): OutcomeCount {
    return { packets: 0, bytes: 0 };
  }

  managedBy(): string | undefined {
    return this.#gone ? undefined : this.#description;
  }

  /** That program has its own ports. */
  guard(): void {}

  cover(interfaces: readonly string[]): void {
    this.#interfaces = interfaces;
  }

  proof(): undefined {}

  faults(): readonly string[] {
    if (this.#gone) return [`The block map's reader ${this.#description} is gone: start ttgate again`];
    const remedy = "attach it, and start ttgate again if it is another one";
    const isReplaced = this.#knownPin.standing() === "another";
    const missing = this.places().filter(({ name, attach }) => attach === "none" && this.#held.has(name));
    return [
      ...missing.map(({ name, reason }) => `The block map's reader on interface "${name}": ${reason}: ${remedy}`),
      ...(isReplaced ? [replacedPin(this.#mapName)] : []),
    ];
  }

  pins(): readonly string[] {
    return [];
  }

  prove(): void {}

  /** Nobody knows what its answers mean: its actions are its own. */
  ask(): undefined {}

  tick(): void {
    if (this.#gone || this.#readers.some(({ id }) => isLoaded(this.#libraries, id))) return;
    this.#gone = true;
    this.#log("error", `The block map's reader ${this.#description} is gone, nothing is blocked: start ttgate again`);
  }

  lostPins(): readonly string[] {
    return [];
  }

  unpin(): void {}

  /** Nothing of it was another process's. */
  reclaim(): void {}

  abandon(): void {
    this[Symbol.dispose]();
  }

  detach(keep: boolean): boolean {
    return keep;
  }

  [Symbol.dispose](): void {
    closeFd(this.#libraries, this.#mapFd);
  }
}
