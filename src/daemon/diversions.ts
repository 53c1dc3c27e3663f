// SPDX-License-Identifier: Apache-2.0
// Rules of the packet filter that lead connections to a guarded port past its gate: strangers reach what is behind it,
// or nobody does. Looked for whenever the rules were changed.
import type { HostPort } from "../config/endpoints.ts";
import { isIpv4, isWildcard, type Prefix, parsePrefix } from "../core/address.ts";
import { interfacesOf, isOfBridge, isVirtual } from "../host/addresses.ts";
import {
  type Diversion,
  diversionsFrom,
  type Family,
  type FilterRules,
  type Guarded,
  hasLegacyTables,
  readFilterRules,
} from "../host/redirects.ts";
import { FilterGeneration } from "../kernel/filter_generation.ts";
import type { Libc } from "../kernel/libc.ts";
import { hasAddress } from "../kernel/own_address.ts";
import type { Log } from "../log.ts";

/** Of the time: where there are many rules, listing them takes seconds, and some tools change them all the time. */
const share = 1 / 50;
/** Of the legacy iptables nobody tells that they were changed. */
const legacyMs = 4000;

export interface DiversionsParts {
  readonly libc: Libc;
  readonly listens: () => readonly HostPort[];
  readonly log: Log;
}

export class Diversions implements Disposable {
  readonly #parts: DiversionsParts;
  #generations: FilterGeneration | undefined;
  #generation: number | undefined;
  #dueMs = Number.NEGATIVE_INFINITY;
  #rules: FilterRules = { nft: [], ip: [], ip6: [] };
  #reasons: readonly string[] = [];
  #isClosed = false;

  constructor(parts: DiversionsParts) {
    this.#parts = parts;
  }

  /** For /readyz. */
  get reasons(): readonly string[] {
    return this.#reasons;
  }

  /** For /readyz, where the gate is ready all the same. */
  get notes(): readonly string[] {
    const { unread } = this.#rules;
    return unread === undefined ? [] : [unreadText(unread)];
  }

  /** Once a second. Where the rules cannot be read there are none. */
  async tick(nowMs: number): Promise<void> {
    if (this.#isClosed) return;
    const { libc } = this.#parts;
    this.#generations ??= new FilterGeneration(libc);
    const generation = this.#generations.read();
    const isChanged = generation !== undefined && generation !== this.#generation;
    if (nowMs >= this.#dueMs && (isChanged || hasLegacyTables())) {
      const startMs = performance.now();
      this.#rules = await readFilterRules();
      this.#generation = generation;
      this.#dueMs = nowMs + Math.max((performance.now() - startMs) / share, isChanged ? 0 : legacyMs);
    }
    this.#judge();
  }

  /** Again and again: the ports, and this host's addresses, change too. */
  #judge(): void {
    const { libc, listens, log } = this.#parts;
    const before = this.#reasons;
    const all = listens();
    this.#reasons = all.flatMap((listen) =>
      diversionsFrom(this.#rules, guarded(libc, listen, all)).flatMap((rule) =>
        rule.isWhole ? [`${divertedText(listen.port, rule)}: ${diversionRemedy}`] : [],
      ),
    );
    for (const reason of this.#reasons) if (!before.includes(reason)) log("error", reason);
    if (this.#reasons.length === 0 && before.length > 0)
      log("info", "No rule leads connections past the gate any more");
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#generations?.[Symbol.dispose]();
  }
}

export function guarded(libc: Libc, { host, port }: HostPort, all: readonly HostPort[]): Guarded {
  const isOwn = (address: string) => hasAddress(libc, address);
  const listened = parsePrefix(host);
  const isListenedTo = (address: string) =>
    isWildcard(host) ? isOwn(address) : parsePrefix(address)?.text === listened?.text;
  const comesBy = (isMatched: (name: string) => boolean) => {
    const ways = waysTo(host);
    return (ways.length > 0 && ways.every(isMatched)) || ways.some((name) => isMatched(name) && !isVirtual(name));
  };
  const ports = all.map((listen) => listen.port);
  return { port, ports, families: familiesOf(listened), isOwn, isListenedTo, comesBy };
}

/** Those by which clients come; bridges of containers, and what hangs on them, only where there are no others. */
function waysTo(host: string): readonly string[] {
  const all = interfacesOf(host);
  const outside = all.filter((name) => !isOfBridge(name));
  return outside.length > 0 ? outside : all;
}

/** Whoever listens at :: has the connections of IPv4 too. */
function familiesOf(listened: Prefix | undefined): readonly Family[] {
  if (listened === undefined || listened.text === "::") return ["ip", "ip6"];
  return isIpv4(listened) ? ["ip"] : ["ip6"];
}

/** Also said by doctor. */
export function unreadText(why: string): string {
  return `Rules of the legacy iptables cannot be listed, and may lead connections past the gate: ${why}`;
}

/** Likewise. */
export const diversionRemedy = "remove the rule, or guard the port that it leads to";

export function divertedText(port: number, { text, isWhole }: Diversion): string {
  const whose = isWhole ? "Connections to port " : "Some connections to port ";
  return `${whose}${port} are led past the gate: ${text}`;
}
