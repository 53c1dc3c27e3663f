// SPDX-License-Identifier: Apache-2.0
// Whether the fence has proof for the way that a source comes: the interface is guarded, and the program on it
// answers its test frames as it should. Which interface that is, is taken from the route back to the source,
// where not all of them are guarded.
import type { Prefix } from "../core/address.ts";
import { type Ban, everywhere } from "../core/bans/claim.ts";
import type { FencePlace, FenceStatus } from "../core/bans/fence.ts";
import type { Refusal } from "../core/bans/refusal.ts";
import { messageOf } from "../failure.ts";
import { interfaceNames } from "../host/addresses.ts";
import type { Log } from "../log.ts";
import type { Native } from "../runtime/types.ts";

export type Way =
  /** The kernel drops what comes from there. */
  | { readonly kind: "proven" }
  /** Another program reads the map; nothing is known of how well. */
  | { readonly kind: "managed"; readonly by: string }
  | { readonly kind: "open"; readonly why: string };

/** The list of interfaces is read anew after this. */
const interfacesMs = 1000;

export interface WaysParts {
  /** As it was last asked; undefined without a fence. */
  readonly fence: () => FenceStatus | undefined;
  /** A fence was asked for. */
  readonly hasFence: boolean;
  /** User space refuses nobody: at all gates, or at some. */
  readonly inline: () => "all" | "some" | "none";
  readonly dryRun: boolean;
  /** Clients come through a proxy (--accept-proxy). */
  readonly isBehindProxy: (gate: string | undefined) => boolean;
  readonly nowMs: () => number;
}

export class Ways implements Disposable {
  readonly #parts: WaysParts;
  #routes: ({ interfaceTo(prefix: Prefix): string | undefined } & Disposable) | undefined;
  #interfaces: readonly string[] = [];
  #readMs = Number.NEGATIVE_INFINITY;

  constructor(parts: WaysParts) {
    this.#parts = parts;
  }

  /** Without it, and where the kernel refuses to tell routes, only what all interfaces have in common is known. */
  async open(native: Native, log: Log): Promise<void> {
    if (!this.#parts.hasFence) return;
    try {
      const { Routes } = await import("../kernel/route.ts");
      const { openLibraries } = await import("../kernel/libraries.ts");
      this.#routes = new Routes(await openLibraries(native));
    } catch (error) {
      log("warn", `By which interface a source comes cannot be told: ${messageOf(error)}`);
    }
  }

  /** By which packets to a source leave, and presumably come; of a range, to its first address. */
  interfaceOf(prefix: Prefix): string | undefined {
    return this.#routes?.interfaceTo(prefix);
  }

  /** The way of a source; of a range, that of its first address. */
  of(prefix: Prefix): Way {
    const fence = this.#parts.fence();
    if (fence === undefined) return { kind: "open", why: "there is no block map (-B)" };
    const { places, managedBy, proof, capabilities } = fence;
    const obstacle = this.#isGuardedAll(places) ? undefined : obstacleOf(places, this.interfaceOf(prefix));
    if (obstacle !== undefined) return { kind: "open", why: obstacle };
    if (managedBy !== undefined) return { kind: "managed", by: managedBy };
    if (proof?.passed === true) return { kind: "proven" };
    if (proof === undefined) return { kind: "open", why: "the kernel program is not proven yet" };
    const wrong = "the kernel program answered wrongly";
    return { kind: "open", why: capabilities.asks ? wrong : (proof.failure ?? wrong) };
  }

  /** Who keeps a banned source out. */
  refusalOf(ban: Ban): Refusal {
    const { hasFence, dryRun, nowMs } = this.#parts;
    if (dryRun) return { by: "nobody", why: "dry run" };
    if (ban.isLocal === true && (everywhere(ban)?.untilMs ?? 0) <= nowMs()) {
      return { by: "user space", why: `it holds at gate "${ban.gate}" alone` };
    }
    if (!hasFence) return { by: "user space", why: null };
    if (this.#parts.isBehindProxy(ban.gate)) return { by: "user space", why: behindProxy };
    const way = this.of(ban.prefix);
    if (way.kind === "open") return this.#otherwise(way.why);
    if (ban.standsIn === undefined) return this.#otherwise("the kernel's map has no room for it, or refused it");
    return way.kind === "proven"
      ? { by: "kernel", why: null }
      : { by: "other program", why: `${way.by} reads the map` };
  }

  /** Where the kernel does not keep it out. */
  #otherwise(why: string): Refusal {
    switch (this.#parts.inline()) {
      case "all":
        return { by: "nobody", why };
      case "some":
        return { by: "user space", why: `${why}; the inline gates let it in` };
      case "none":
        return { by: "user space", why };
    }
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#routes?.[Symbol.dispose]();
    this.#routes = undefined;
  }

  #isGuardedAll(places: readonly FencePlace[]): boolean {
    const nowMs = this.#parts.nowMs();
    if (nowMs - this.#readMs >= interfacesMs) {
      this.#interfaces = interfaceNames();
      this.#readMs = nowMs;
    }
    return this.#interfaces.length > 0 && this.#interfaces.every((name) => isGuarded(places, name));
  }
}

const behindProxy = "the packets of --accept-proxy are the proxy's own; the kernel blocks what comes directly";

/** What keeps the fence from holding on an interface, where not all of them are guarded. */
function obstacleOf(places: readonly FencePlace[], interfaceName: string | undefined): string | undefined {
  if (places.length === 0) return "no interface is guarded";
  if (interfaceName === undefined) return "no route leads to it, and not every interface is guarded";
  if (isGuarded(places, interfaceName)) return undefined;
  return notGuarded(interfaceName, places.find(({ name }) => name === interfaceName)?.reason);
}

function notGuarded(name: string, reason: string | undefined): string {
  return `interface ${name} is not guarded${reason === undefined ? "" : `: ${reason}`}`;
}

function isGuarded(places: readonly FencePlace[], interfaceName: string): boolean {
  return places.some(({ name, attach }) => name === interfaceName && attach !== "none");
}
