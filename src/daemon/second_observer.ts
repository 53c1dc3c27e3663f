// SPDX-License-Identifier: Apache-2.0
// The second observer of inline mode: has the kernel's sockets followed beside the program that judges, and
// says of each connection that got by unjudged why that is, as far as it can be told.
import { statSync } from "node:fs";
import { isWildcard, type Prefix, parsePrefix } from "../core/address.ts";
import type { FencePlace } from "../core/bans/fence.ts";
import { messageOf } from "../failure.ts";
import type { InlineJudge } from "../fences/xdp/inline/inline_judge.ts";
import type { SocketWatch } from "../fences/xdp/observer/socket_watch.ts";
import type { UnseenConnection } from "../fences/xdp/observer/watch_layout.ts";
import type { Log } from "../log.ts";
import type { Native } from "../runtime/types.ts";
import type { UnseenConnections } from "./unseen.ts";

/** A flood of them does not hold up what else there is to do. */
const fetchedAtOnce = 256;

export interface SecondObserverParts {
  readonly native: Native;
  /** The one that is in place now, where the kernel alone judges. */
  readonly judge: () => InlineJudge | undefined;
  readonly listen: () => { readonly host: string; readonly port: number };
  /** Loopback is guarded too. */
  readonly loopback: () => boolean;
  readonly unseen: UnseenConnections;
  readonly places: () => readonly FencePlace[];
  readonly log: Log;
  readonly nowMs: () => number;
}

export class SecondObserver implements Disposable {
  readonly #parts: SecondObserverParts;
  #watch: SocketWatch | undefined;
  #nameOf: (index: number) => string | undefined = () => undefined;
  #followed = "";
  #choosers: () => readonly string[] = () => [];
  /** What it cannot see: programs that may lead other ports' connections to the server's socket. */
  notes: readonly string[] = [];
  /** Why there is none; undefined while there is. */
  absence: string | undefined;
  /** Connections that had no room in the queue, of those that were counted. */
  #untold = 0;
  /** Connections since the observer began whose first bytes were accounted for, or are waited for. */
  followed = 0;

  constructor(parts: SecondObserverParts) {
    this.#parts = parts;
  }

  /** What it follows has changed, perhaps. */
  async renew(): Promise<void> {
    if (this.#followed !== this.#toFollow()) await this.begin();
  }

  /** When the judge has begun, also by new maps. Where it is not allowed, that is said and nothing observed. */
  async begin(): Promise<void> {
    this[Symbol.dispose]();
    this.#untold = 0;
    this.#followed = this.#toFollow();
    const { native, judge, listen, loopback, log, nowMs } = this.#parts;
    const seenFd = judge()?.seenFd;
    if (seenFd === undefined) return;
    try {
      const { SocketWatch } = await import("../fences/xdp/observer/socket_watch.ts");
      const { interfaceName } = await import("../kernel/xdp_query.ts");
      const { openLibraries } = await import("../kernel/libraries.ts");
      const libraries = await openLibraries(native);
      this.#nameOf = (index) => interfaceName(libraries, index);
      const { describeProgram, socketChoosers } = await import("../fences/xdp/programs.ts");
      this.#choosers = () => socketChoosers(libraries).map((id) => describeProgram(libraries, id));
      this.#watch = await SocketWatch.open({
        ...{ native, seenFd, loopback: loopback() },
        netns: statSync("/proc/self/ns/net").ino,
        ports: [listen().port],
        address: guardedAddress(listen().host),
        nowMs: nowMs(),
      });
      this.absence = undefined;
    } catch (error) {
      this.absence = messageOf(error);
      log("warn", `Connections that get by the kernel's judge are not counted: ${this.absence}`);
    }
  }

  /** Twice a second. @throws KernelError */
  tick(nowMs: number): void {
    const { unseen } = this.#parts;
    this.#lookForChoosers();
    this.#watch?.look();
    const counts = this.#watch?.counts();
    if (counts !== undefined) {
      this.followed = counts.followed;
      unseen.addUntold(counts.untold - this.#untold);
      this.#untold = counts.untold;
    }
    for (const found of this.#watch?.fetch(fetchedAtOnce) ?? []) this.#tell(found, nowMs);
  }

  #lookForChoosers(): void {
    const { listen, log } = this.#parts;
    const { port } = listen();
    const before = this.notes;
    this.notes = this.#choosers().map(
      (program) =>
        `Connections to the server of port ${port} may not be judged: ${program} may lead those to other ports there (sk_lookup): bpftool link; take it off if it is not meant to`,
    );
    for (const note of this.notes) if (!before.includes(note)) log("warn", note);
  }

  #toFollow(): string {
    const { listen, loopback } = this.#parts;
    const { host, port } = listen();
    return `${host} ${port} ${loopback()}`;
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
  }

  #tell(found: UnseenConnection, nowMs: number): void {
    const { source, sourcePort, port, interfaceIndex } = found;
    const interfaceName = interfaceIndex === 0 ? undefined : this.#nameOf(interfaceIndex);
    const why = whyUnseen(this.#parts.places(), interfaceName, nowMs);
    this.#parts.unseen.add({ missed: "judged", source: source.text, sourcePort, port, interfaceName, why }, nowMs);
  }
}

/** Why the kernel program did not see what came by an interface, and what to do; a clause. */
export function whyUnseen(places: readonly FencePlace[], interfaceName: string | undefined, nowMs: number): string {
  if (interfaceName === undefined) return "it is not known by which way it came; ttgate doctor lists redirects";
  const place = places.find(({ name }) => name === interfaceName);
  if (place === undefined) return `this interface is not guarded: add --interface ${interfaceName}`;
  if (place.attach === "none") return `this interface is not guarded: ${place.reason ?? "nothing is attached"}`;
  if (nowMs - (place.sinceMs ?? Number.NEGATIVE_INFINITY) < justGuardedMs)
    return "it was not guarded until a moment ago";
  return changedBehind;
}

/** What came before is told within a second. */
const justGuardedMs = 2000;

const changedBehind =
  "the interface is guarded, but the packets did not look like this there (a redirect to the port, a tunnel, or fragments with --fragments pass): ttgate doctor lists redirects";

/** Undefined where all addresses of this host are guarded. */
function guardedAddress(host: string): Prefix | undefined {
  return isWildcard(host) ? undefined : parsePrefix(host);
}
